#!/usr/bin/env python3
"""Checks every #include "folder/..." under src/ against the table in src/README.md.

    scripts/check_layers.py               names what points up, and fails
    scripts/check_layers.py --self-test   plants bad includes in a copy and fails unless each is found
"""

import re
import shutil
import sys
import tempfile
from pathlib import Path

SRC = Path(__file__).resolve().parent.parent / "src"


def read_table(readme):
    """folder -> the folders that it may include, itself among them. A sub-folder may have a row of its own."""
    rows = re.findall(r"^\| ([a-z_/, ]+) \| ([a-z_/, -]+) \|$", readme.read_text(), re.MULTILINE)
    names = [name for left, _ in rows[1:] for name in left.split(", ")]
    table = {}
    for left, right in rows[1:]:
        allowed = names if right == "everything" else [] if right == "-" else right.split(", ")
        for name in left.split(", "):
            table[name] = {name, *allowed}
    unknown = {name for allowed in table.values() for name in allowed} - set(names)
    unknown |= {name for name in table if not (readme.parent / name).is_dir()}
    if not table or unknown:
        sys.exit(f"{readme}: no table of layers, or unknown folders in it: {sorted(unknown)}")
    return table


def row_of(table, path):
    """The row that decides on a file: of its own folder, or of the nearest one around it; None outside of all."""
    return next((str(folder) for folder in Path(path).parents if str(folder) in table), None)


def may_include(table, row, target):
    """Who may include a folder may include what lies in it."""
    return any(target == allowed or target.startswith(allowed + "/") for allowed in table[row])


def violations(src):
    table = read_table(src / "README.md")
    found = [f"src/{folder.name}: not in the table of src/README.md"
             for folder in sorted(src.iterdir()) if folder.is_dir() and folder.name not in table]
    for path in sorted(file for suffix in ("h", "cpp", "inc", "cu", "cuh") for file in src.rglob(f"*.{suffix}")):
        row = row_of(table, path.relative_to(src))
        if row is None:  # main.cpp
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            include = re.match(r'\s*#\s*include\s*"([^"]+)"', line)
            if not include:
                continue
            where, target = f"src/{path.relative_to(src)}:{number}", row_of(table, include[1])
            if target is None:
                found.append(f'{where}: #include "{include[1]}" names no folder of src/; write "folder/file.h"')
            elif not may_include(table, row, target):
                found.append(f"{where}: {row} may not include {target} (the table in src/README.md)")
    return found


def self_test():
    planted = {"shard/planted.h": "models/model.h", "nn/deep/planted.cpp": "shard/layer_streamer.h", "base/planted.cpp": "tensor/tensor.h",
               "io/planted.h": "planted_beside.h", "data/tokenizer/planted.cpp": "data/template/value.h",
               "data/template/planted.h": "data/turns.h"}
    for file, include in planted.items():
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "src"
            shutil.copytree(SRC, copy)
            before = violations(copy)
            (copy / file).parent.mkdir(parents=True, exist_ok=True)
            (copy / file).write_text(f'#include <vector>\n#include "{include}"\n')
            new = [line for line in violations(copy) if line not in before]
            if len(new) != 1 or not new[0].startswith(f"src/{file}:2:"):
                sys.exit(f'self-test: #include "{include}" in {file} was not found; new findings: {new}')
    print(f"found each of {len(planted)} planted includes")


def main():
    if sys.argv[1:] == ["--self-test"]:
        return self_test()
    if sys.argv[1:]:
        sys.exit(__doc__)
    found = violations(SRC)
    print("\n".join(found) if found else "every #include points down the table in src/README.md")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()

"""Our own declarations of CUDA, cuBLASLt, NCCL and NVML against a library's own header, where it is:

    headers_test.py LIBRARY COMPILER [FOLDER ...]     LIBRARY: cuda_runtime, cublaslt, nccl or nvml

The compiler only looks at a file of static_asserts, and at a second one with a wrong value in it, which it has to refuse.
Exit code 77 where the header is in none of the folders.
"""
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
HEADERS = {"cuda_runtime": "cuda_runtime_api.h", "cublaslt": "cublasLt.h", "nccl": "nccl.h", "nvml": "nvml.h"}
EMULATED = ROOT / "tests/emulation/include/cuda_runtime_api.h"
TABLES = {"cublaslt": "src/backend/cuda/cublaslt_table.cpp", "nccl": "src/comm/nccl/nccl_table.cpp"}


def cuda_runtime():
    """The emulation's header against the real one: its values, and its functions, which C takes twice only if they are
    the same."""
    text = re.sub(r"//.*", "", EMULATED.read_text())
    values = re.findall(r"\b(cuda[A-Z]\w+) = (\d+)\s*[,;]", text)
    functions = re.search(r'extern "C" \{(.*?)\n\}', text, re.S)[1]
    functions = re.sub(r" = \w+(?=[,)])", "", functions)  # defaults are the real header's
    if len(values) < 50 or functions.count(";") < 30:
        sys.exit(f"{EMULATED} was not understood: {len(values)} values, {functions.count(';')} functions")
    checks = "\n".join(f"static_assert(static_cast<int>({name}) == {value});" for name, value in values)
    return f'#include <cuda_runtime_api.h>\n#include <cstddef>\n{checks}\nextern "C" {{{functions}\n}}\n'


def table(library):
    """The static_asserts of LIBRARY.cpp here, and every function that the table finds."""
    text = (ROOT / f"tests/headers/{library}.cpp").read_text()
    if library not in TABLES:
        return text
    found = re.findall(r'library\.find\(t\.(\w+), "(\w+)"\);', (ROOT / TABLES[library]).read_text())
    if len(found) < 10:
        sys.exit(f"{TABLES[library]} was not understood: {len(found)} functions")
    return text + "".join(f"static_assert(headers::kCalledAlike<decltype(shardlora::{library}::Table::{ours}), "
                          f"decltype(&{theirs})>);\n" for ours, theirs in found)


def spoilt(source):
    """The same with the last value that is compared changed."""
    checks = list(re.finditer(r"static_assert\(([^;]*?) == ", source))
    return source[:checks[-1].end()] + "1 + " + source[checks[-1].end():]


def refused(source, compiler, folders):
    with tempfile.NamedTemporaryFile("w", suffix=".cpp") as file:
        file.write(source)
        file.flush()
        includes = [f"-I{ROOT}/src", f"-I{ROOT}/tests/headers", *(f"-isystem{folder}" for folder in folders)]
        done = subprocess.run([compiler, "-std=c++20", "-fsyntax-only", "-Wno-invalid-offsetof", *includes, file.name],
                              capture_output=True, text=True)
    return done.stderr if done.returncode != 0 else ""


def main():
    library, compiler, *folders = sys.argv[1:]
    folders = [folder for folder in folders if Path(folder).is_dir()]
    if not any((Path(folder) / HEADERS[library]).is_file() for folder in folders):
        print(f"skipped: {HEADERS[library]} is in none of: {', '.join(folders) or 'no folder'}")
        sys.exit(77)
    source = cuda_runtime() if library == "cuda_runtime" else table(library)
    if why := refused(source, compiler, folders):
        sys.exit(f"ours differs from {HEADERS[library]}:\n{why}")
    if not refused(spoilt(source), compiler, folders):
        sys.exit("a wrong value was not refused: this test sees nothing")


if __name__ == "__main__":
    main()

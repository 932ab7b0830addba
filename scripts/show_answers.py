#!/usr/bin/env python3
"""Prints what `shardlora eval --answers --json` found, for launch/quickstart.

    show_answers.py score FILE.json
    show_answers.py compare BASE.json TUNED.json
"""

import json
import sys
import textwrap

WIDTH = 80


def read(path):
    with open(path, encoding="utf-8") as file:
        return json.loads(file.read())


def share(result):
    return f"{result['exact']} of {result['answered']} ({100 * result['exact'] / result['answered']:.1f} %)"


def paragraph(label, text):
    """The label, then the text on lines that keep clear of it. Long answers are cut: a base model rambles."""
    text = " ".join(text.split()).replace(',"', ', "').replace("},{", "}, {") or "(nothing)"
    indent = " " * len(label)
    lines = textwrap.wrap(text, WIDTH - len(label), break_on_hyphens=False) or [""]
    if len(lines) > 4:
        lines = lines[:4]
        lines[3] = lines[3][: WIDTH - len(label) - 4] + " ..."
    return label + ("\n" + indent).join(lines)


def compare(base, tuned):
    print("Three held-out orders")
    for before, after in zip(base["shown"], tuned["shown"]):
        print("-" * WIDTH)
        print(paragraph("order     ", before["prompt"]))
        print(paragraph("base      ", before["answer"]))
        print(paragraph("tuned     ", after["answer"]))
        print(paragraph("expected  ", after["expected"]))
    print("-" * WIDTH)
    print(f"Held-out orders answered exactly:  before {share(base)}, after {share(tuned)}")


def main():
    if len(sys.argv) == 3 and sys.argv[1] == "score":
        print(f"exact answers: {share(read(sys.argv[2]))}")
    elif len(sys.argv) == 4 and sys.argv[1] == "compare":
        compare(read(sys.argv[2]), read(sys.argv[3]))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Writes src/data/unicode_classes.inc: the code points that `tokenizers` puts into each class of its patterns.

Asks the package itself, code point by code point, so that our classes are its classes and not another Unicode
version's. Last made with tokenizers 0.23.3:

    pip install tokenizers==0.23.3 && python scripts/generate_unicode_classes.py
"""
import pathlib

import tokenizers
from tokenizers import Regex, pre_tokenizers

CLASSES = {
    "kLetterRanges": pre_tokenizers.Split(Regex(r"\p{L}"), "isolated"),
    "kNumberRanges": pre_tokenizers.Split(Regex(r"\p{N}"), "isolated"),
    "kSpaceRanges": pre_tokenizers.Split(Regex(r"\s"), "isolated"),
    "kNumericRanges": pre_tokenizers.Digits(individual_digits=True),
}


def ranges(splitter):
    """Ranges of code points that the splitter cuts out of their neighbours."""
    found = []
    for code_point in range(0x110000):
        if 0xD800 <= code_point <= 0xDFFF:
            continue
        if len(splitter.pre_tokenize_str("\x01" + chr(code_point) + "\x01")) != 3:
            continue
        if found and found[-1][1] == code_point - 1:
            found[-1][1] = code_point
        else:
            found.append([code_point, code_point])
    return found


def lines(items, width=118):
    line = " "
    for item in items:
        if len(line) + len(item) + 1 > width:
            yield line
            line = " "
        line += " " + item
    yield line


def main():
    text = f"// Written by scripts/generate_unicode_classes.py with tokenizers {tokenizers.__version__}. Do not edit.\n"
    text += "// clang-format off\n"
    for name, splitter in CLASSES.items():
        text += f"constexpr Range {name}[] = {{\n"
        text += "\n".join(lines(f"{{0x{a:X}, 0x{b:X}}}," for a, b in ranges(splitter))) + "\n};\n"
    text += "// clang-format on\n"
    target = pathlib.Path(__file__).resolve().parent.parent / "src/data/unicode_classes.inc"
    target.write_text(text)


if __name__ == "__main__":
    main()

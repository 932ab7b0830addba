#!/usr/bin/env python3
"""Writes src/data/tokenizer/unicode_tables.inc: what the `tokenizers` package knows of every code point.

Asks the package itself, so that our classes are its classes and not another Unicode version's (its parts are made with
several). Last made with tokenizers 0.23.3:

    pip install tokenizers==0.23.3 && python scripts/generate_unicode_classes.py
"""
import pathlib

import tokenizers
from tokenizers import Regex, normalizers, pre_tokenizers

CATEGORIES = "Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Co Cn".split()
SCRIPTS = "Latin Greek Cyrillic Armenian Hebrew Arabic Devanagari Bengali Thai Hangul Hiragana Katakana Bopomofo Han".split()
CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]


def members(splitter, apart="\x01"):
    """Code points that the splitter cuts out of `apart` around them. Where it isolates `apart` too, they still stand alone."""
    found = []
    for at in range(0, len(CODE_POINTS), 8192):
        block = CODE_POINTS[at : at + 8192]
        words = splitter.pre_tokenize_str(apart + "".join(chr(c) + apart for c in block))
        found += [block[begin // 2] for _, (begin, end) in words if end - begin == 1 and begin % 2 == 1]
    return found


def outside(splitter):
    """Code points that are in no word at all, or alone in one."""
    found = []
    for at in range(0, len(CODE_POINTS), 8192):
        block = CODE_POINTS[at : at + 8192]
        words = splitter.pre_tokenize_str("\x02" + "".join(chr(c) + "\x02" for c in block))
        inside = {i for _, (begin, end) in words if end - begin > 1 or begin % 2 == 0 for i in range(begin, end)}
        found += [c for i, c in enumerate(block) if 2 * i + 1 not in inside]
    return found


def regex(pattern):
    return members(pre_tokenizers.Split(Regex(pattern), "isolated"), "a" if pattern in (r"\p{Cc}", r"\p{C}") else "\x01")


def moved_by_normalisation():
    """Code points with a decomposition or a combining class other than 0."""
    nfd, nfkd = normalizers.NFD(), normalizers.NFKD()

    def moves(text):
        return nfd.normalize_str(text) != text

    for c in CODE_POINTS:
        letter = chr(c)
        if nfkd.normalize_str(letter) != letter or moves("a" + letter + "\u0334") or moves("a\u0345" + letter):
            yield c


def ranges(code_points):
    found = []
    for c in code_points:
        if found and found[-1][1] == c - 1:
            found[-1][1] = c
        else:
            found.append([c, c])
    return found


def lines(items, width=118):
    line = " "
    for item in items:
        if len(line) + len(item) + 1 > width:
            yield line
            line = " "
        line += " " + item
    yield line


def table(declaration, items):
    return f"constexpr {declaration}[] = {{\n" + "\n".join(lines(items)) + "\n};\n"


def set_table(name, code_points):
    return table(f"Range {name}", (f"{{0x{a:X}, 0x{b:X}}}," for a, b in ranges(code_points)))


def category_table():
    of = {}
    for category in CATEGORIES:
        for c in regex(rf"\p{{{category}}}"):
            assert c not in of, (hex(c), category, of[c])
            of[c] = category
    assert len(of) == len(CODE_POINTS)
    runs = [c for i, c in enumerate(CODE_POINTS) if i == 0 or of[c] != of[CODE_POINTS[i - 1]]]
    return table("CategoryRun kCategoryRuns", (f"{{0x{c:X}, k{of[c]}}}," for c in runs))


def main():
    text = f"// Written by scripts/generate_unicode_classes.py with tokenizers {tokenizers.__version__}. Do not edit.\n"
    text += "// clang-format off\n"
    text += category_table()
    text += set_table("kSpaceRanges", regex(r"\s"))
    text += set_table("kWordRanges", regex(r"\w"))
    text += set_table("kNumericRanges", members(pre_tokenizers.Digits(individual_digits=True)))
    text += set_table("kPunctuationRanges", outside(pre_tokenizers.Punctuation()))
    text += set_table("kNormalisedRanges", moved_by_normalisation())
    for script in SCRIPTS:
        text += set_table(f"k{script}Ranges", regex(rf"\p{{{script}}}"))
    text += "// clang-format on\n"
    assert outside(pre_tokenizers.WhitespaceSplit()) == regex(r"\s")
    target = pathlib.Path(__file__).resolve().parent.parent / "src/data/tokenizer/unicode_tables.inc"
    target.write_text(text)


if __name__ == "__main__":
    main()

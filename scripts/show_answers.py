#!/usr/bin/env python3
"""Prints what `shardlora eval --answers --show N --json` wrote, for launch/quickstart.

    show_answers.py score OUTPUT
    show_answers.py compare ROWS.jsonl BASE_OUTPUT TUNED_OUTPUT
"""

import json
import sys
import textwrap

WIDTH = 80


def read_text(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def score(path):
    """The last line is JSON."""
    return json.loads(read_text(path).splitlines()[-1])


def shown_answers(path, rows):
    """The answers to the first of `rows` that the output shows: what stands between "answer" and the expected text."""
    text, place, answers = read_text(path), 0, []
    for row in rows:
        begin = text.find("\nanswer    ", place)
        end = text.find("\nexpected  " + row["messages"][-1]["content"], begin)
        if begin < 0 or end < 0:
            break
        answers.append(text[begin + len("\nanswer    ") : end])
        place = end + 1
    return answers


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


def compare(rows_path, base_path, tuned_path):
    rows = [json.loads(line) for line in read_text(rows_path).splitlines()[:16]]
    shown = list(zip(rows, shown_answers(base_path, rows), shown_answers(tuned_path, rows)))
    print(f"The same {len(shown)} held-out orders, before and after")
    for row, before, after in shown:
        print("-" * WIDTH)
        print(paragraph("order     ", row["messages"][-2]["content"]))
        print(paragraph("base      ", before))
        print(paragraph("tuned     ", after))
        print(paragraph("expected  ", row["messages"][-1]["content"]))
    print("-" * WIDTH)
    print("Held-out orders answered exactly")
    print(f"  before  {share(score(base_path))}")
    print(f"  after   {share(score(tuned_path))}")


def main():
    if len(sys.argv) == 3 and sys.argv[1] == "score":
        print(f"exact answers: {share(score(sys.argv[2]))}")
    elif len(sys.argv) == 5 and sys.argv[1] == "compare":
        compare(*sys.argv[2:])
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Writes tests/data/tokenizer/folder_tokens.json: the tokens that only files beside tokenizer.json name, as transformers
has them.

Last made with transformers 5.23.0, tokenizers 0.23.3: scripts/make_goldens folder_tokens

    tokenizer   a tokenizer.json with three added tokens
    texts       lines
    cases       files beside it, and the ids of each line
"""
import json
import os
import pathlib
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"
from transformers import AutoTokenizer  # noqa: E402


def token(content, **more):
    return {"content": content, "lstrip": False, "normalized": True, "rstrip": False, "single_word": False, "special": False, **more}


TOKENIZER = {
    "version": "1.0", "truncation": None, "padding": None,
    "added_tokens": [{"id": 10, **token("<s>", special=True, normalized=False)}, {"id": 11, **token("</s>", special=True, normalized=False)},
                     {"id": 12, **token("<w>")}],
    "normalizer": {"type": "Lowercase"}, "pre_tokenizer": None, "post_processor": None, "decoder": {"type": "Fuse"},
    "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2, "<unk>": 3, "<": 4, ">": 5, "x": 6, " ": 7, "w": 8, "<eot>": 9},
              "merges": [["a", "b"]], "unk_token": "<unk>"}}
TEXTS = ["a<x>b", "a <y> b", "<W> <w>", "<X><Y>", "abab <z>", "<eot>a<unk>", "</s><q>"]
CASES = [
    {},
    {"config": {"added_tokens_decoder": {"13": token("<x>"), "14": token("<y>", special=True, rstrip=True)}}},
    {"config": {"added_tokens_decoder": {"14": token("<x>"), "13": token("<y>", normalized=False, lstrip=True)}}},
    # Its word about a token of tokenizer.json, and about words of the vocabulary.
    {"config": {"added_tokens_decoder": {"12": token("<w>", special=True, normalized=False), "2": token("ab"), "13": token("<x>", single_word=True)}}},
    {"config": {"added_tokens_decoder": {"13": token("<x>"), "11": token("</s>", special=True, normalized=False)}, "eos_token": "<x>"}},
    {"added": {"<y>": 14, "<x>": 13}},
    {"added": {"<y>": 14, "<x>": 13}, "config": {"pad_token": "<x>", "additional_special_tokens": ["<y>"]}},
    {"added": {"<y>": 13}, "config": {"added_tokens_decoder": {"13": token("<x>")}}},  # which of them counts
    # Names without an id: words of the vocabulary, or new tokens; the pad_token that is none takes a number.
    {"config": {"eos_token": "<eot>", "unk_token": "<unk>"}},
    {"config": {"pad_token": "a"}},
    {"config": {"additional_special_tokens": ["<x>", "<y>", "ab"]}},
    {"config": {"extra_special_tokens": ["<z>", "</s>"]}},
    {"map": {"additional_special_tokens": ["<x>"], "pad_token": "<q>", "eos_token": {**token("<eot>"), "special": True}}},
]


def main():
    cases = []
    for case in CASES:
        with tempfile.TemporaryDirectory() as folder:
            files = {"tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>", **case.get("config", {})}}
            if "added" in case:
                files["added_tokens.json"] = case["added"]
            if "map" in case:
                files["special_tokens_map.json"] = case["map"]
            for name, content in {"tokenizer.json": TOKENIZER, **files}.items():
                (pathlib.Path(folder) / name).write_text(json.dumps(content))
            tokenizer = AutoTokenizer.from_pretrained(folder)
            ids = [tokenizer(text, add_special_tokens=False).input_ids for text in TEXTS]
        cases.append({"files": files, "ids": ids})
    out = pathlib.Path(__file__).resolve().parents[2] / "tests/data/tokenizer/folder_tokens.json"
    out.write_text(json.dumps({"tokenizer": TOKENIZER, "texts": TEXTS, "cases": cases}, ensure_ascii=False) + "\n")


main()

#!/usr/bin/env python3
"""Writes tests/data/tokenizer/: token ids of odd lines as the `tokenizers` package gives them.

Last made with tokenizers 0.23.3, gguf 0.19.0: scripts/make_goldens tokenizer
Needs the model that launch/quickstart fetches ($SHARDLORA_TEST_MODEL) and ../shared/data/tokenizers beside the repository.

The oracle for SmolLM2 is built from the vocabulary and merges inside the GGUF file with the pre-tokenizer that `smollm`
names. (transformers' own import of a GGUF file loses the digit split.)
    lines.jsonl        odd lines, a JSON string each
    digests.json       for each real tokenizer, three characters of base64 of SHA-256 a line: over the ids, and over what
                       they decode to with and without control tokens
    tiny.gguf          a vocabulary of some 600 tokens, trained here
    tiny.jsonl         lines for it: [text, ids], or [text, ids, decoded, decoded without control tokens] where decoding
                       does not give the text
    code_points.json   for each block of 4,096 code points below U+40000 a hash of where the pre-tokenizers cut, and of what
                       the normalisation forms make of a line around each code point
"""
import base64
import hashlib
import json
import os
import pathlib
import random
import unicodedata

import gguf
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests/data/tokenizer"
CONTROL, USER_DEFINED = 3, 4

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
          r"\s+(?!\S)|\s+")
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
CASED = rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+%s|[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*%s|"
OTHERS = r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
TEKKEN = CASED % ("", "") + r"\p{N}" + OTHERS
GPT4O = CASED % (("(?i:'s|'t|'re|'ve|'m|'ll|'d)?",) * 2) + r"\p{N}{1,3}" + OTHERS
DEEPSEEK_LETTERS = (
    r"\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝ\u1F5F-\u1F7Dᾀ-ᾴᾶ-ᾼ\u1FBEῂ-ῄῆ-ῌ\u1FD0-\u1FD3\u1FD6-\u1FDBῠ-Ῥῲ-ῴῶ-ῼ"
    r"ℂℇℊ-ℓℕℙ-ℝℤ\u2126ℨ\u212A-\u212Dℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+")
DEEPSEEK_CJK = "[一-龥ࠀ-一가-퟿]+"
DEEPSEEK_V3 = (r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|"""
               r"\s*[\r\n]+|\s+(?!\S)|\s+")


def splits(*patterns):
    steps = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in patterns]
    return pre_tokenizers.Sequence(steps + [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


PRE_TOKENIZERS = {
    "smollm": pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]
    ),
    "gpt-2": pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
    "llama-bpe": splits(LLAMA3),
    "qwen2": splits(LLAMA3.replace("{1,3}", "")),
    "tekken": splits(TEKKEN),
    "gpt-4o": splits(GPT4O),
    "deepseek-llm": splits("[\r\n]", DEEPSEEK_LETTERS, r"\s?[!-/:-~！-／：-～‘-‟　-。]+", r"\s+$", DEEPSEEK_CJK, r"\p{N}+"),
    "deepseek-coder": splits("[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", DEEPSEEK_CJK, r"\p{N}"),
    "deepseek-v3": splits(r"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+", DEEPSEEK_V3),
}

# One sentence of our own for many scripts.
SENTENCES = """The small boat left the harbour before sunrise; nobody waved.
Das kleine Boot verließ früh den Hafen, und überall wehte Wärme über Straßen.
Le bateau a quitté le port très tôt, où l'été s'achève déjà à Noël.
Łódź opuściła port wcześnie rano, gdy żółć i gęś śpią.
El barco salió mañana por la mañana: ¿quién señaló aquél año?
Маленькая лодка вышла из гавани до рассвета.
Η μικρή βάρκα έφυγε από το λιμάνι πριν την αυγή.
הסירה הקטנה עזבה את הנמל לפני הזריחה.
غادر القارب الصغير الميناء قبل شروق الشمس ١٢٣٤٥.
छोटी नाव सूर्योदय से पहले बंदरगाह से निकल गई १२३।
ছোট নৌকাটি সূর্যোদয়ের আগে বন্দর ছেড়েছিল।
சிறிய படகு சூரிய உதயத்திற்கு முன் புறப்பட்டது.
เรือเล็กออกจากท่าเรือก่อนรุ่งสาง ๑๒๓
小船在日出前离开了港口。没有人挥手!
小さな船は日の出前に港を出た。誰も手を振らなかった、ツギハギ。
작은 배가 해 뜨기 전에 항구를 떠났다.
Chiếc thuyền nhỏ rời bến cảng trước bình minh.
Փոքրիկ նավակը լքեց նավահանգիստը։
პატარა ნავი გამთენიისას გავიდა.
ትንሽ ጀልባ ከፀሐይ መውጣት በፊት ወጣች።
ᐊᓪᓚᖅ ᑲᔪᓯᕗᖅ ᏣᎳᎩ ᎦᏬᏂᎯᏍᏗ
𝒯𝒽ℯ 𝓈𝓂𝒶𝓁𝓁 𝟏𝟐𝟑 𝕓𝕠𝕒𝕥 𐌰𐌱𐌲 𓀀𓀁 𠀀𠀁𪛖
Ⅷ ⅷ ½ ¾ ² ³ ₁ ₂ ① ⑳ ㊿ 〇 〡 ୵ ൰ ༳
Zażółć gęślą jaźń — “quotes” ‘single’ «guillemets» … • ‰ ™ ® © ¶ § † ‡
I'm you're we've they'll he'd it's don't I'M YOU'RE 'tis 'll'd 's's ''s 'ſ ’s ’re
def f(x):\n    return {k: v**2 for k, v in x.items() if k != 'a'}  # done\n
for (int i = 0; i < 10; ++i) { a[i] += b->c(i, "x\\n"); }\t// loop
SELECT id, name FROM t WHERE x >= 1.5e-3 AND y IN (1,22,333,4444);
{"name": "Ada", "tags": ["a", "b\\u00e9"], "n": -12.50e+3, "ok": true, "z": null}
<div class="a b" id='c'>&nbsp;text &amp; more</div><!-- no -->
https://example.org/a/b?c=d&e=%20f#g me+you@example.com 2024-02-29T23:59:60Z 192.168.0.1
$3,141.59 + 10% = ~€42 / £7 ^ 2 @home #tag _snake_case_ camelCase HTTPServer2Go x86-64 C++20""".split("\n")
SENTENCES = [s.replace("\\n", "\n").replace("\\t", "\t") for s in SENTENCES]

EMOJI = ["👩‍👩‍👧‍👦", "👍🏽", "🏳️‍🌈", "🇩🇪🇫🇷", "❤️", "☎︎", "1️⃣", "#️⃣", "🧑🏿‍🚀", "🫠", "🪿", "\U0001FAE9", "😀😀😀", "🏴󠁧󠁢󠁳󠁣󠁴󠁿", "⛷🏻‍♀️"]
SPACES = list(
    " \t\n\r\v\f\x1c\x1d\x1e\x1f\x85\xa0"
    "\u1680\u180e\u2000\u2003\u2009\u200a\u200b\u200c\u200d\u2028\u2029\u202f\u205f\u2060\u3000\ufeff"
)
CONTROLS = [chr(c) for c in list(range(0x20)) + [0x7F, 0x80, 0x85, 0x9F, 0xAD]]
EDGES = [chr(c) for c in (0x7F, 0x80, 0x7FF, 0x800, 0xFFF, 0x1000, 0xD7FF, 0xE000, 0xFDD0, 0xFFFD, 0xFFFE, 0xFFFF, 0x10000,
                          0x1FFFF, 0x3FFFF, 0x40000, 0x7FFFF, 0x80000, 0xBFFFF, 0xF0000, 0xFFFFF, 0x10FFFF)]
MARKS = ["e\u0301", "a\u0308\u0323", "Z\u0351\u036b\u0343", "\u0301", " \u0301x", "\u0e33", "ﬁ", "ß", "İ", "ı", "\u01c5", "\u2126",
         "\U00016ff4", "\U00011de5", "\U00016ff5", "\U0001fbf5", "\u19da", "\u3007", "\u4e00", "\U0001d7ff", "\u200d\u200d"]
DIGITS = ["0", "7", "12", "345", "6789", "0000000", "3.14", "1e-9", "٣٤", "१२", "Ⅳ", "½", "²", "𝟗"]


def special_mixes(controls):
    """Control tokens whole, cut, doubled, nested and in other letters."""
    for t in controls:
        yield from (t, t + t, "a" + t + "b", " " + t + " ", t[:-1], t[1:], t[: len(t) // 2] + t, t.upper(), t[0] + t + t[-1])


def code_point_sample(draw):
    """A valid code point, small planes more often."""
    while True:
        c = draw.choice([draw.randrange(0x80), draw.randrange(0x800), draw.randrange(0x10000), draw.randrange(0x20000),
                         draw.randrange(0x110000)])
        if not 0xD800 <= c <= 0xDFFF:
            return chr(c)


def lines(count, controls, seed):
    """The odd lines, then random mixtures of their parts until there are `count` different ones."""
    draw = random.Random(seed)
    fixed = ["", " ", "  ", "\n", "\n\n", "a", "\0", "a\0b"] + SENTENCES + [s.upper() for s in SENTENCES[:4]]
    fixed += EMOJI + SPACES + CONTROLS + EDGES + MARKS + DIGITS + list(special_mixes(controls))
    fixed += [c * n for c in ("a", " ", "\n", "-", "=", "0", "é", "한", "😀", ".", "_", "\t") for n in (2, 3, 7, 31, 64, 200)]
    fixed += [a + b for a in ("x", " ", "1", ".", "\n") for b in SPACES] + [b + "x" for b in SPACES]
    fixed += ["c" + c + "c" for c in EDGES] + ["a" + c + "n" for c in CONTROLS]
    words = [w for s in SENTENCES for w in s.split(" ")]
    parts = [lambda: draw.choice(words), lambda: draw.choice(EMOJI), lambda: draw.choice(SPACES), lambda: draw.choice(CONTROLS),
             lambda: draw.choice(MARKS), lambda: draw.choice(DIGITS), lambda: draw.choice(controls), lambda: draw.choice(EDGES),
             lambda: code_point_sample(draw), lambda: draw.choice(" \n\t.,;'\"-_") * draw.randrange(1, 6),
             lambda: chr(draw.randrange(32, 127)) * draw.randrange(1, 4), lambda: draw.choice(["'s", "'T", "'ll", "'v", "'d"])]
    seen = dict.fromkeys(fixed)
    while len(seen) < count:
        joint = draw.choice(["", "", " "])
        seen[joint.join(draw.choice(parts)() for _ in range(draw.randrange(1, 9)))] = None
    return list(seen)[:count]


CONTROLS_OF_ALL = ["<|im_start|>", "<|im_end|>", "<|endoftext|>", "<s>", "</s>", "<unk>", "<|begin_of_text|>", "<|eot_id|>",
                   "<|start_header_id|>", "<|reserved_special_token_5|>", "<think>", "</think>", "<tool_call>", "<repo_name>"]


def oracle(tokens, types, merges, pre):
    added = [(t, k) for t, k in zip(tokens, types) if k in (CONTROL, USER_DEFINED)]
    model = models.BPE({t: i for i, t in enumerate(tokens)}, [tuple(m.split(" ")) for m in merges])
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = PRE_TOKENIZERS[pre]
    tokenizer.decoder = decoders.ByteLevel()
    for token, kind in added:
        entry = AddedToken(token, normalized=False, special=kind == CONTROL)
        tokenizer.add_special_tokens([entry]) if kind == CONTROL else tokenizer.add_tokens([entry])
    assert tokenizer.get_vocab_size() == len(tokens)
    return tokenizer, [t for t, _ in added]


def write_lines(name, tokenizer, controls, count, seed):
    rows = []
    for text in lines(count, controls, seed):
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        decoded, plain = tokenizer.decode(ids, skip_special_tokens=False), tokenizer.decode(ids)
        rows.append([text, ids] if decoded == plain == text else [text, ids, decoded, plain])
    text = "\n".join(json.dumps(row, separators=(",", ":"), ensure_ascii=True) for row in rows)
    (OUT / name).write_text(text + "\n")


def write_real(model):
    shared = OUT.parents[3] / "shared/data/tokenizers"
    c = contents(model)
    real = {"smollm2": oracle(c["tokens"], c["token_type"], c["merges"], c["pre"])[0]}
    for name in ("llama2", "llama3_1", "qwen3"):
        real[name] = Tokenizer.from_file(str(shared / name / "tokenizer.json"))
        real[name].no_truncation(), real[name].no_padding()
    texts = lines(9600, CONTROLS_OF_ALL, seed=1)
    draw = random.Random(2)
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        texts += [unicodedata.normalize(form, text) for text in SENTENCES[:25] + MARKS + EMOJI]
    texts += [c * n for c in ("ab", "x ", "  \n", "1.", "é", "\u0301", "한글", "👩‍👩‍👧‍👦", "\t\t ", "<s>", "\u2581", "=-") for n in (5, 33, 90)]
    while len(texts) < 10500:  # letters of one script, as a foreign text would have them
        first = draw.choice((0x370, 0x400, 0x530, 0x5D0, 0x620, 0x905, 0x985, 0xB85, 0xE01, 0x10A0, 0x1200, 0x13A0, 0x1780, 0x3041,
                             0x30A1, 0x4E00, 0xAC00, 0x1F300, 0x10330, 0x20000))
        texts.append("".join(draw.choice([" ", chr(first + draw.randrange(64)), chr(first + draw.randrange(64))]) for _ in range(24)))
    texts = list(dict.fromkeys(texts))
    assert len(texts) >= 10000
    (OUT / "lines.jsonl").write_text("".join(json.dumps(text, ensure_ascii=False) + "\n" for text in texts))

    def digest(text):
        return base64.b64encode(hashlib.sha256(text.encode()).digest())[:3].decode()

    digests = {}
    for name, tokenizer in real.items():
        ids, decoded = "", ""
        for text in texts:
            of_text = tokenizer.encode(text, add_special_tokens=False).ids
            ids += digest(",".join(map(str, of_text)))
            decoded += digest(tokenizer.decode(of_text, skip_special_tokens=False) + "\0" + tokenizer.decode(of_text))
        digests[name] = {"ids": ids, "decoded": decoded}
    (OUT / "digests.json").write_text(json.dumps(digests, indent=0) + "\n")


def contents(path):
    reader = gguf.GGUFReader(path)
    return {key.rsplit(".", 1)[-1]: field.contents() for key, field in reader.fields.items() if ".ggml." in key}


def write_tiny():
    """All bytes, some merges, control tokens that are each other's beginning, user-defined tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = PRE_TOKENIZERS["smollm"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=600, min_frequency=1, initial_alphabet=sorted(alphabet), show_progress=False)
    tokenizer.train_from_iterator(SENTENCES * 2, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    types = [1] * len(tokens)
    for token, kind in [("<|end|>", CONTROL), ("<|a|>", CONTROL), ("<|a|><|b", CONTROL), ("<|b|>", CONTROL), ("<tab>", USER_DEFINED),
                        ("<|", USER_DEFINED), ("note\u00e9 ", USER_DEFINED), ("<s>", CONTROL)]:
        tokens.append(token)
        types.append(kind)
    writer = gguf.GGUFWriter(OUT / "tiny.gguf", "llama")
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges([" ".join(m) for m in model["merges"]])
    writer.add_eos_token_id(tokens.index("<|end|>"))
    writer.add_chat_template("{{ messages }}")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()


def cuts(pre):
    """Per 4,096 code points, SHA-256 over the byte lengths of the words of a line around each code point.

    Beyond U+3FFFF there are no letters, numbers or spaces."""
    hashes = []
    for first in range(0, 0x40000, 4096):
        block = hashlib.sha256()
        for code_point in range(first, first + 4096):
            if 0xD800 <= code_point <= 0xDFFF:
                continue
            c = chr(code_point)
            line = f"x{c} {c}1{c}'s.{c}  {c}\n"
            pieces = pre.pre_tokenize_str(line)
            assert "".join(line[a:b] for _, (a, b) in pieces) == line
            block.update(bytes(len(line[a:b].encode()) for _, (a, b) in pieces))
        hashes.append(block.hexdigest()[:16])
    return hashes


def forms(form):
    """As cuts(), over the normalised text of a line with marks of several classes around each code point."""
    hashes = []
    for first in range(0, 0x40000, 4096):
        block = hashlib.sha256()
        for c in range(first, first + 4096):
            if not 0xD800 <= c <= 0xDFFF:
                block.update(form.normalize_str(f"a{chr(c)}\u0323\u0301{chr(c)}\u0334x{chr(c)}\u1161\u11a8 \u0345{chr(c)}\n").encode())
        hashes.append(block.hexdigest()[:16])
    return hashes


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    write_tiny()
    c = contents(OUT / "tiny.gguf")
    write_lines("tiny.jsonl", *oracle(c["tokens"], c["token_type"], c["merges"], c["pre"]), 900, seed=900)
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    write_real(os.environ.get("SHARDLORA_TEST_MODEL", cache / "shardlora/SmolLM2-135M-Instruct.Q4_1.gguf"))
    hashes = {name: cuts(pre) for name, pre in PRE_TOKENIZERS.items()}
    hashes |= {name: forms(getattr(normalizers, name)()) for name in ("NFC", "NFD", "NFKC", "NFKD")}
    (OUT / "code_points.json").write_text(json.dumps(hashes, indent=0) + "\n")


if __name__ == "__main__":
    main()

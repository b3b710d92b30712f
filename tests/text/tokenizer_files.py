# SPDX-License-Identifier: MIT
"""Tokenizers, training text and hard strings for the tokenizer tests, all made here and the same in every run."""
import json
import random

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

# A sentence or two in many scripts; what they say does not matter.
SENTENCES = [
    "The quick brown fox jumps over the lazy dog, and it's the dog's fault that they've won 1,234,567 prizes.",
    "I'll say we'd rather DON'T SHOUT: I'M, YOU'RE, WE'VE, they'll see 3.14159 and 42 (or 007).",
    "El pingüino Wenceslao hizo kilómetros bajo exhaustiva lluvia y frío; añoraba a su querido cachorro.",
    "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich. Straße, Maß, naïve, façade.",
    "Съешь же ещё этих мягких французских булок, да выпей чаю. Привет, мир! Ёлка.",
    "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία. Καλημέρα κόσμε, ΟΔΥΣΣΕΥΣ.",
    "いろはにほへと ちりぬるを。色は匂へど散りぬるを。カタカナとﾊﾝｶｸ。東京都千代田区１２３",
    "天地玄黄，宇宙洪荒。日月盈昃，辰宿列张。中文没有空格，也有标点符号！你好，世界？",
    "다람쥐 헌 쳇바퀴에 타고파. 키스의 고유조건은 입술끼리 만나야 하고. 안녕하세요 세계",
    "نص حكيم له سر قاطع وذو شأن عظيم مكتوب على ثوب أخضر. السَّلَامُ عَلَيْكُمْ ١٢٣٤٥",
    "דג סקרן שט בים מאוכזב ולפתע מצא לו חברה. שָׁלוֹם עולם",
    "ऋषियों को सताने वाले दुष्ट राक्षसों के राजा रावण का सर्वनाश करने वाले विष्णुवतार। नमस्ते १२३",
    "เป็นมนุษย์สุดประเสริฐเลิศคุณค่า กว่าบรรดาฝูงสัตว์เดรัจฉาน สวัสดีชาวโลก ๑๒๓",
    "যদি কেউ জানতে চায় তবে বলো। নমস্কার বিশ্ব", "தமிழ் மொழி வணக்கம் உலகம்", "ქართული ენა გამარჯობა მსოფლიო",
    "Բարեւ աշխարհ, հայերեն լեզու", "አማርኛ ሰላም ልዑል", "ភាសាខ្មែរ សួស្តី", "မြန်မာဘာသာ မင်္ဂလာပါ",
    "def f(x):\n    return x ** 2  # comment\n\n\tif (a && b) { c++; }\r\n", "<html>&amp;</html> C:\\path\\file.txt https://ex.am/ple?q=1",
    "∀x∈ℝ: ⌈x⌉ = −⌊−x⌋, α ∧ ¬β = ¬(¬α ∨ β), ½ ² Ⅳ ① ㊿ ﬁ ﬂ Å Å ｆｕｌｌ",
    "😀😃 👨‍👩‍👧‍👦 👩🏽‍🚀 🏳️‍🌈 🇩🇪🇯🇵 ❤️ ☎️ 1️⃣ #️⃣ 🤦🏼‍♂️",
    "Ünïcödé ẅïth čömbïñïng: é ä ñ Z̷̢͍͌ȃ̶͚l̸̫̈g̵̩̿o̷̯͐ ạ̈̀",
    "Việt Nam: Tiếng Việt có dấu thanh. İstanbul Iğdır ıssız DİYARBAKIR", "ŠĐČĆŽ šđčćž ŁÓDŹ ǅ ǆ ß ẞ ŉ ſ K Å",
]

SPACES = [" ", "  ", "\n", "\r\n", "\t", "\r", "\n\n", " \n", "\u00a0", "\u2003", "\u3000", "\u2028", "\u0085", "\u180e",
          "\u200b", "\u202f", "\v", "\f", "\x1c", "\ufeff"]
ODD = ["\0", "\x01", "\x7f", "\x80", "\u200d", "\u200c", "\u0301", "\u0338", "\ufffd", "\ufffe", "\uffff", "\U0010ffff",
       "\U000e0001", "\ud7ff", "\ue000", "\U00010000", "\u1e9b\u0323", "\u0130", "\u0345", "\u1100\u1161\u11a8", "\u03a3",
       "\u212a", "\u017f", "\u24d0", "\u0660", "\u2167", "\u00bd", "\u3007", "_", "\u203f", "\u0902", "\u20dd"]
ADDED = ["<|eot_id|>", "<|start_header_id|>", "<|a|>", "<|a|><|b|>", "<left>", "<right>", "<both>", "word", "Größe", "<think>",
         "</think>", "<|e\u0301|>", "<|\u00e9|>"]


def training_text():
    """The sentences with their words shuffled, so that a few hundred merges exist in every script."""
    draw = random.Random(1)
    lines = list(SENTENCES)
    for _ in range(20):
        for sentence in SENTENCES:
            words = sentence.split(" ")
            draw.shuffle(words)
            lines.append(" ".join(words))
    return lines


def hard_strings():
    """More than 500 strings: every script, edge cases, and random mixtures of both."""
    strings = ["", " ", "a"] + SENTENCES + SPACES + ODD + ADDED
    strings += [s * n for s in ["a", " ", "\n", "\r\n", "1", "ab", "e\u0301", "\u0301", "\u4e00", "!", "\0", "\t ", "\U0001f468\u200d"]
                for n in (2, 3, 7, 64, 65, 1000)]
    strings += [a + token + b for token in ADDED for a, b in
                [("x", "y"), (" ", " "), ("\n ", " \n"), ("\u3000", "\u3000"), ("é", "é"), (token, ""), ("a ", "b"), ("_", "1"),
                 ("\u0301", "\u0301"), ("\u200d", "!")]]
    draw = random.Random(2)
    pools = [list("".join(SENTENCES)), SPACES, ODD, ADDED, [w for s in SENTENCES for w in s.split(" ")]]
    for _ in range(400):
        weights = [draw.random() for _ in pools]
        strings.append("".join(draw.choice(draw.choices(pools, weights)[0]) for _ in range(draw.randint(1, 60))))
    for _ in range(100):  # any code points at all
        strings.append("".join(chr(draw.choice([draw.randrange(0x250), draw.randrange(0xd800), draw.randrange(0xe000, 0x110000)]))
                               for _ in range(draw.randint(1, 20))))
    return [s.encode("utf-8", "surrogatepass").decode("utf-8", "replace") for s in strings]


GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
# Possessive quantifiers and single digits: the family LLaDA's tokenizer belongs to.
LLADA = (r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+")
O200K = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
         r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
         r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")

SPECIAL = [AddedToken("<|endoftext|>", special=True, normalized=False), AddedToken("<|eot_id|>", special=True, normalized=False),
           AddedToken("<|start_header_id|>", special=True, normalized=False)]
FLAGGED = [
    AddedToken("<|a|>", special=True, normalized=False), AddedToken("<|a|><|b|>", special=True, normalized=False),
    AddedToken("<left>", lstrip=True, normalized=False), AddedToken("<right>", rstrip=True, normalized=False),
    AddedToken("<both>", lstrip=True, rstrip=True, normalized=True), AddedToken("word", single_word=True, normalized=False),
    AddedToken("Größe", single_word=True, normalized=True), AddedToken("<think>", normalized=True),
    AddedToken("</think>", normalized=False), AddedToken("<|e\u0301|>", normalized=True),
]


# What Oniguruma and PCRE2 read differently, one cut after the other.
CONSTRUCTS = [r"\h{2}+", r"\bthe\b", r"(?i)k", r"\v|\f", r"\p{Han}+", r"[[:upper:]]+", r"[\w&]+", r"\R", r"^\S", r".$", r"(?m:\n.)",
              r"a{,2}n", r"\p{^Latin}{2,3}?", r"[^\x{600}-\x{6ff}\u0900-\u097f]+?\d", r"\B\.\B", r"[\s\p{P}]++"]


def train(pre_tokenizer, normalizer=None, decoder=None, flagged=(), vocab_size=1500, model=None, alphabet=None, more=(),
          word_end=None):
    tokenizer = Tokenizer(model or models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.decoder = decoder or decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet() if alphabet is None else alphabet
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False,
                                  **({"end_of_word_suffix": word_end} if word_end else {}))
    tokenizer.train_from_iterator(training_text(), trainer)
    if more:  # units that the trainer did not meet
        file = json.loads(tokenizer.to_str())
        vocabulary = file["model"]["vocab"]
        for unit in more:
            vocabulary.setdefault(unit, len(vocabulary))
        tokenizer = Tokenizer.from_str(json.dumps(file))
    for token in flagged:
        (tokenizer.add_special_tokens if token.special else tokenizer.add_tokens)([token])
    return tokenizer


def byte_level(prefix=False, regex=True):
    return pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=regex)


def split_then_bytes(pattern, behavior="isolated", invert=False):
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), behavior, invert), byte_level(regex=False)])


CLIP_WORDS = pre_tokenizers.Sequence([pre_tokenizers.Split(
    Regex(r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"), "removed", invert=True), byte_level()])
CLIP_TEXT = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()])
WORD_ENDS = [unit + "</w>" for unit in pre_tokenizers.ByteLevel.alphabet()]
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


def configurations():
    """Name -> tokenizer. Each is a kind of published tokenizer.json, or one component on its own."""
    made = {
        "gpt2": train(byte_level()),
        "gpt2_prefix_space": train(byte_level(prefix=True), flagged=FLAGGED),
        "llama3": train(split_then_bytes(LLAMA3), flagged=FLAGGED, model=models.BPE(ignore_merges=True)),
        "llada": train(split_then_bytes(LLADA), normalizer=normalizers.NFC(), flagged=FLAGGED),
        "o200k": train(split_then_bytes(O200K)),
        "digits": train(pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level()])),
        "digit_runs": train(pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=False), byte_level()])),
        "nfkc_lower": train(byte_level(), normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()]), flagged=FLAGGED),
        "nfd": train(byte_level(), normalizers.NFD(), flagged=FLAGGED),
        "nfkd_strip": train(byte_level(), normalizers.Sequence([normalizers.NFKD(), normalizers.Strip()]), flagged=FLAGGED),
        "strip_left": train(byte_level(), normalizers.Strip(left=True, right=False)),
        "replace": train(byte_level(), normalizers.Sequence([normalizers.Replace(Regex(r"\s+"), " "), normalizers.Replace("a", "bb"),
                                                              normalizers.Prepend("_")])),
        "whitespace": train(pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), byte_level()])),
        "whitespace_split": train(pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), byte_level()])),
        "words": train(split_then_bytes(r"\w+|\W")),
        # CLIP's: the last unit of a word carries a mark
        "word_end": train(CLIP_WORDS, CLIP_TEXT, flagged=FLAGGED,
                          model=models.BPE(unk_token="<|endoftext|>"), word_end="</w>", more=WORD_ENDS),
        "word_end_unknown": train(CLIP_WORDS, CLIP_TEXT, model=models.BPE(unk_token="<|endoftext|>"), word_end="</w>",
                                  alphabet=["a"], vocab_size=320),
        "word_end_fallback": train(pre_tokenizers.WhitespaceSplit(), decoder=decoders.Fuse(), vocab_size=600, more=BYTES,
                                   model=models.BPE(byte_fallback=True), word_end="</w>", alphabet=["a"]),
        "constructs": train(pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(p), "isolated") for p in CONSTRUCTS] +
                                                    [byte_level(regex=False)])),
        "bytes_then_split": train(pre_tokenizers.Sequence([byte_level(), pre_tokenizers.Split("Ġ", "isolated")])),
        # SentencePiece-like: no byte alphabet, bytes as a fallback for unknown characters.
        "byte_fallback": train(pre_tokenizers.Split("▁", "merged_with_next"),
                               normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]),
                               decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
                                                  decoders.Strip(" ", 1, 0)]), flagged=FLAGGED,
                               model=models.BPE(byte_fallback=True, fuse_unk=True), alphabet=["a"]),
        "unknown": train(pre_tokenizers.WhitespaceSplit(), decoder=decoders.Fuse(), vocab_size=320,
                         model=models.BPE(unk_token="<|endoftext|>"), alphabet=["a"]),
        "unknown_fused": train(pre_tokenizers.WhitespaceSplit(), decoder=decoders.Fuse(), vocab_size=320,
                               model=models.BPE(unk_token="<|endoftext|>", fuse_unk=True), alphabet=["a"]),
    }
    for behavior in ("isolated", "removed", "merged_with_previous", "merged_with_next", "contiguous"):
        for invert in (False, True):
            made[f"split_{behavior}_{invert}"] = train(split_then_bytes(r"[,.]|\s", behavior, invert), vocab_size=600)
            made[f"split_string_{behavior}_{invert}"] = train(
                pre_tokenizers.Sequence([pre_tokenizers.Split("a", behavior, invert), byte_level()]), vocab_size=600)
    return made

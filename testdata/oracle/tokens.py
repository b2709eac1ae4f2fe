"""What Python's `tokenizers` makes of committed text, by tokenizers of every family, small and trained by itself on that text.
tests/tokens.rs holds the shards of the same text against it, token by token.

    python3 testdata/oracle/tokens.py          (writes testdata/oracle/tokens/)

Needs tokenizers. `documents.jsonl` is the committed corpus. NAME.json is a tokenizer, NAME.ids a line of ids a document.
Python's trainers do not make the same tokenizer twice: one that is there stays, until it is removed.
`long.json` has, for documents that are made by repeating (`LONG` here and in the test), how many ids there are and the SHA-256 of
them as 32-bit little-endian numbers. Nothing adds a token of its own: no BOS, no separator. `trained.json` is none of Python's: `l402
shard --train-tokenizer` made it (`L402_REGENERATE=1 cargo test --test corpora`), and its ids are what Python reads in it.
"""

import hashlib
import json
import pathlib

import tokenizers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

HERE = pathlib.Path(__file__).parent
OUT = HERE / "tokens"
SHAKESPEARE = (HERE.parent / "text/tinyshakespeare.txt").read_text()
END = "<|endoftext|>"

# Article 1 of the Universal Declaration of Human Rights (United Nations, 1948).
ARTICLE = [
    "All human beings are born free and equal in dignity and rights. They are endowed with reason and conscience and should "
    "act towards one another in a spirit of brotherhood.",
    "Alle Menschen sind frei und gleich an Würde und Rechten geboren. Sie sind mit Vernunft und Gewissen begabt und sollen "
    "einander im Geist der Brüderlichkeit begegnen.",
    "Tous les êtres humains naissent libres et égaux en dignité et en droits. Ils sont doués de raison et de conscience et "
    "doivent agir les uns envers les autres dans un esprit de fraternité.",
    "Все люди рождаются свободными и равными в своем достоинстве и правах. Они наделены разумом и совестью и должны поступать "
    "в отношении друг друга в духе братства.",
    "人人生而自由，在尊严和权利上一律平等。他们赋有理性和良心，并应以兄弟关系的精神相对待。",
    "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。",
    "يولد جميع الناس أحرارًا متساوين في الكرامة والحقوق.",
    "सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है।",
    "Bütün insanlar hür, haysiyet ve haklar bakımından eşit doğarlar. İstanbul, ıssız.",
]
ODD = [
    "",
    " ",
    "\n\n\n",
    "  two  spaces,\ttabs\t\tand blanks at the end   ",
    "e\u0301 is not \u00e9; \ufb01 is not fi; \u2460 \u00bd \u2167 \u212b \uff21\uff42\uff43",
    "\U0001f469\u200d\U0001f680\U0001f1e8\U0001f1ed \U0001f44d\U0001f3fd \U0001d54f \u0000 \ufeff \u00ad \u200b \ufffd",
    "I'll say you'RE 12345678901234567890 times 3.14159, 1,000,000 or 0x1F; a_b-c/d@e.f#g",
    "ends here <|endoftext|> and goes on <unk> [UNK] \u2581 \u0120 \u010a ##ing",
    "x" * 3000,
    "la" * 1500 + " " * 700 + "1" * 900,
]
SPEECH = [SHAKESPEARE[at:at + 900] for at in range(40_000, 1_000_000, 160_000)]
CRLF = [SHAKESPEARE[500_000:501_500].replace("\n", "\r\n"), "a\r\n\r\nb\rc\n\r\n\td\x85e\u2028f"]
DOCUMENTS = [*ARTICLE, *ODD, *SPEECH, *CRLF]

# Documents of more than the mebibyte that is encoded at once.
LONG = {
    "carriage returns": SHAKESPEARE.replace("\n", "\r\n"),
    "one line": SHAKESPEARE.replace("\n", " "),
    "many scripts": ("\n".join(ARTICLE) + "\n") * 700,
}

# The pattern of Llama 3 and Qwen 2: contractions, words, up to three digits, signs, blanks.
PATTERN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def byte_bpe(pre_tokenizer, normalizer=None):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizer, decoders.ByteLevel()
    if normalizer:
        tokenizer.normalizer = normalizer
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    return tokenizer, trainers.BpeTrainer(vocab_size=700, special_tokens=[END], initial_alphabet=alphabet,
                                          show_progress=False)


def gpt2():
    return byte_bpe(pre_tokenizers.ByteLevel(add_prefix_space=False))


def pattern():
    split = pre_tokenizers.Split(Regex(PATTERN), behavior="isolated")
    sequence = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    return byte_bpe(sequence, normalizers.NFC())


def sentencepiece():
    """BPE over characters as Llama 2 has it: no pre-tokenizer, a space before all, bytes for what is not known."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    special = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    return tokenizer, trainers.BpeTrainer(vocab_size=800, special_tokens=special, limit_alphabet=90, show_progress=False,
                                          max_token_length=12)


def wordpiece():
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer, trainers.WordPieceTrainer(vocab_size=900, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]"],
                                                limit_alphabet=150, show_progress=False)


def unigram():
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC(),
                                                 normalizers.Replace(Regex(" {2,}"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    return tokenizer, trainers.UnigramTrainer(vocab_size=800, unk_token="<unk>", special_tokens=["<unk>", "</s>"],
                                              show_progress=False)


KINDS = {"gpt2": gpt2, "pattern": pattern, "sentencepiece": sentencepiece, "wordpiece": wordpiece, "unigram": unigram}


def ids(tokenizer, text):
    return tokenizer.encode(text, add_special_tokens=False).ids


def main():
    OUT.mkdir(exist_ok=True)
    lines = [json.dumps({"text": text}, ensure_ascii=False) for text in DOCUMENTS]
    (OUT / "documents.jsonl").write_text("".join(line + "\n" for line in lines), newline="")
    long = {}
    for name, make in (KINDS | {"trained": None}).items():
        path = OUT / f"{name}.json"
        if not path.exists():
            tokenizer, trainer = make()
            tokenizer.train_from_iterator([SHAKESPEARE[:150_000], *ARTICLE], trainer)
            # A word of its own that is looked for before all else, with the blanks around it.
            tokenizer.add_tokens([AddedToken("ROMEO:", lstrip=True, rstrip=True, normalized=False)])
            tokenizer.save(str(path), pretty=False)
        tokenizer = Tokenizer.from_file(str(path))
        # Text that spells a special token is text.
        tokenizer.encode_special_tokens = True
        found = [ids(tokenizer, text) for text in DOCUMENTS]
        if name == "trained":
            assert [tokenizer.decode(line, skip_special_tokens=False) for line in found] == DOCUMENTS
        (OUT / f"{name}.ids").write_text("".join(" ".join(map(str, line)) + "\n" for line in found))
        long[name] = {}
        for what, text in LONG.items():
            whole = ids(tokenizer, text)
            digest = hashlib.sha256(b"".join(i.to_bytes(4, "little") for i in whole)).hexdigest()
            long[name][what] = {"ids": len(whole), "sha256": digest}
        print(name, tokenizer.get_vocab_size(), sum(map(len, found)), long[name])
    about = {"tokenizers": tokenizers.__version__, "documents": long}
    (OUT / "long.json").write_text(json.dumps(about, indent=1) + "\n")


if __name__ == "__main__":
    main()

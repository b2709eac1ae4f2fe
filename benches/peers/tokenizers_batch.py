"""The benchmark's peer: Python's `tokenizers` over documents that are in memory already. benches/tokens.py drives it.

    python3 tokenizers_batch.py DOCUMENTS.jsonl TOKENIZER.json...      (then a tokenizer's number and a method a line)

With --train KIND VOCAB TEXT OUT it makes the benchmark's tokenizer of a kind instead.
"""

import json
import os
import sys
import time

# One thread, as the other side has.
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"

import tokenizers  # noqa: E402
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers  # noqa: E402

BATCH = 1000


def train(kind, vocab, text, out):
    special = ["<unk>", "<|endoftext|>"]
    options = dict(vocab_size=vocab, special_tokens=special, show_progress=False)
    if kind == "bpe":
        tokenizer, byte_level = Tokenizer(models.BPE()), pre_tokenizers.ByteLevel
        tokenizer.pre_tokenizer = byte_level(add_prefix_space=False)
        trainer = trainers.BpeTrainer(initial_alphabet=byte_level.alphabet(), **options)
    elif kind == "wordpiece":
        tokenizer = Tokenizer(models.WordPiece(unk_token="<unk>"))
        tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
        trainer = trainers.WordPieceTrainer(**options)
    else:
        tokenizer = Tokenizer(models.Unigram())
        tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.NFKC(), pre_tokenizers.Metaspace()
        trainer = trainers.UnigramTrainer(unk_token="<unk>", **options)
    with open(text, encoding="utf-8") as lines:
        tokenizer.train_from_iterator(lines, trainer)
    tokenizer.save(out)


def drive(documents, names):
    with open(documents, encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line in lines]
    every = [Tokenizer.from_file(name) for name in names]
    print(json.dumps({"tokenizers": tokenizers.__version__}), flush=True)
    for line in sys.stdin:
        number, method = line.split()
        encode, count = getattr(every[int(number)], method), 0
        wall, cpu = time.perf_counter(), time.process_time()
        for at in range(0, len(texts), BATCH):
            encoded = encode(texts[at:at + BATCH], add_special_tokens=False)
            count += sum(map(len, encoded))
        found = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu, "tokens": count}
        print(json.dumps(found), flush=True)


def main():
    if sys.argv[1] == "--train":
        kind, vocab, text, out = sys.argv[2:]
        train(kind, int(vocab), text, out)
    else:
        drive(sys.argv[1], sys.argv[2:])


main()

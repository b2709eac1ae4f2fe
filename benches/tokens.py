"""`l402 shard` beside Python's `tokenizers`: the same documents, one thread each, in turn; medians of what each took.

    python3 benches/tokens.py [--rounds 5] [--vocab 8000] [--megabytes 8] [--binary l402] [--document BYTES] [TEXT...]

Ours is the whole command: it starts, reads the tokenizer and the documents, encodes, hashes and writes the shards. Theirs is
`encode_batch`, or `encode_batch_fast`, which tells no offsets, alone, over strings that are in memory. TEXT is the committed text where none is named; it is repeated until it
has so many megabytes, and cut into documents at line ends. The ratio is of processor time, which other people's work on the same
machine disturbs least. `tokenizers` is that of the python that the variable PYTHON names, or else of this one.
"""

import argparse
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).parent
PYTHON = os.environ.get("PYTHON") or sys.executable
PEER = [PYTHON, str(HERE / "peers/tokenizers_batch.py")]
METHODS = ["encode_batch", "encode_batch_fast"]
KINDS = {"bpe": "BPE over bytes, as GPT-2", "wordpiece": "WordPiece, as BERT", "unigram": "Unigram, as T5"}


def build():
    subprocess.run(["cargo", "build", "--release"], cwd=HERE.parent, check=True)
    target = os.environ.get("CARGO_TARGET_DIR") or HERE.parent / "target"
    return str(pathlib.Path(target) / "release/l402")


def documents(texts, most, size):
    """Documents of about so many bytes, each ending with a line, until there are `most` bytes."""
    whole, made, total = "".join(path.read_text(errors="replace") for path in texts), [], 0
    while total < most:
        begin = 0
        while begin < len(whole) and total < most:
            end = whole.find("\n", begin + size)
            end = len(whole) if end < 0 else end + 1
            made.append(whole[begin:end])
            total += len(made[-1].encode())
            begin = end
    return whole, made, total


def ours(command):
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall": time.perf_counter() - began, "cpu": cpu}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--vocab", type=int, default=8000)
    parser.add_argument("--megabytes", type=float, default=8)
    parser.add_argument("--document", type=int, default=3000, help="bytes of a document")
    parser.add_argument("--binary", help="l402, where it is built already")
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("text", nargs="*", type=pathlib.Path, default=[HERE.parent / "testdata/text/tinyshakespeare.txt"])
    args = parser.parse_args()
    binary, kinds = args.binary or build(), args.kinds.split(",")
    with tempfile.TemporaryDirectory() as place:
        place = pathlib.Path(place)
        whole, made, total = documents(args.text, args.megabytes * 1e6, args.document)
        (place / "text.txt").write_text(whole[:4_000_000])
        corpus = place / "corpus.jsonl"
        corpus.write_text("".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in made))
        for kind in kinds:
            subprocess.run([*PEER, "--train", kind, str(args.vocab), place / "text.txt", place / f"{kind}.json"], check=True)
        pipe = subprocess.PIPE
        names = [str(place / f"{kind}.json") for kind in kinds]
        peer = subprocess.Popen([*PEER, str(corpus), *names], stdin=pipe, stdout=pipe, text=True)
        version = json.loads(peer.stdout.readline())["tokenizers"]
        runs = {kind: [] for kind in kinds}
        for turn in range(args.rounds + 1):
            for number, kind in enumerate(kinds):
                command = [binary, "shard", str(corpus), "--tokenizer", names[number], "--eod", "<|endoftext|>", "--seq-len", "1024",
                           "--shards", "1", "--val-shards", "0", "--threads", "1", "--force", "-o", str(place / "shards")]
                made_by = [ours(command)]
                for method in METHODS:
                    print(number, method, file=peer.stdin, flush=True)
                    made_by.append(json.loads(peer.stdout.readline()))
                if turn:
                    runs[kind].append(made_by)
            print(f"round {turn} of {args.rounds}", file=sys.stderr, flush=True)
        peer.stdin.close()
        peer.wait()
    print(f"{total / 1e6:.1f} MB in {len(made)} documents, {args.vocab} tokens, {args.rounds} rounds; tokenizers {version}\n")
    print(f"| tokenizer | l402 shard | {' | | '.join(METHODS)} | |")
    print("|---|---:|---:|---:|---:|---:|")
    for kind in kinds:
        rate = [statistics.median(total / 1e6 / run[side]["cpu"] for run in runs[kind]) for side in range(3)]
        ratio = [statistics.median(run[side]["cpu"] / run[0]["cpu"] for run in runs[kind]) for side in range(3)]
        peers = "".join(f" | {rate[side]:.2f} MB/s | {ratio[side]:.2f}x" for side in (1, 2))
        print(f"| {KINDS[kind]} | {rate[0]:.2f} MB/s{peers} |")


main()

"""What we write opens in transformers, with the same logits: a step of CI (`just test-hf`), and no part of `cargo test`, for torch is
gigabytes.

    python3 tests/hf/opens.py L402      (the binary)

For each checkpoint of testdata/oracle/architectures: exported in float32, in files of some kilobytes, and in bfloat16; opened by
AutoModelForCausalLM; the logits held against those that are recorded, and in bfloat16 against the checkpoint rounded by torch.
And an adapter that a round has trained, beside a random model: opened by PEFT, its loss on the held-out shard is the one that
`l402 score` prints, and so is the merged model's. Needs torch, transformers, peft and safetensors.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import peft
import torch
import torch.nn.functional as F
import transformers
from safetensors.torch import load_file

ROOT = pathlib.Path(__file__).parents[2] / "testdata/oracle/architectures"


def logits(folder, tokens, dtype):
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="eager")
    return model, model(tokens[:, :-1]).logits.detach()


RECIPE = """arithmetic = 1
name = "t"
[data]
tokenizer = "bytes"
seq_len = 32
[inner]
steps = 8
batch = 4
lr = 1e-2
[codec]
name = "dense"
[adapter]
rank = 4
alpha = 8
"""


def loss_of(model, tokens):
    with torch.no_grad():
        logits = model(tokens[:, :-1]).logits
    return float(F.cross_entropy(logits.reshape(-1, logits.shape[-1]), tokens[:, 1:].reshape(-1)))


def adapter(l402, case, scratch):
    def run(line):
        return subprocess.run([l402, "--quiet", *line.split()], check=True, stdout=subprocess.PIPE, cwd=scratch, text=True).stdout

    config = json.loads((case / "config.json").read_text()) | {"vocab_size": 257}
    (scratch / "config.json").write_text(json.dumps(config))
    (scratch / "run.toml").write_text(RECIPE)
    (scratch / "corpus.txt").write_bytes((ROOT.parents[1] / "text/tinyshakespeare.txt").read_bytes()[:40_000])
    run("init --config config.json --seed 1 -o base")
    run("shard corpus.txt --tokenizer bytes --seq-len 32 --shards 1 -o shards")
    run("init --recipe run.toml --model base --seed 2 -o theta-0")
    run("train --recipe run.toml --model theta-0 --shard shards/train-00000.safetensors --round 0 --worker ann -o delta")
    run("compress --recipe run.toml delta -o update")
    run("aggregate --recipe run.toml --model theta-0 update -o theta-1")
    run("merge theta-1 -o whole")
    tokens = load_file(scratch / "shards/val-00000.safetensors")["tokens"].to(torch.int64)
    whole = lambda folder: transformers.AutoModelForCausalLM.from_pretrained(
        scratch / folder, dtype=torch.float32, attn_implementation="eager")
    found = {"base": whole("base"), "theta-1": peft.PeftModel.from_pretrained(whole("base"), scratch / "theta-1"),
             "whole": whole("whole")}
    losses = {}
    for name, model in found.items():
        said = run(f"score --model {name} --val shards/val-00000.safetensors --json")
        losses[name] = json.loads(said)["loss"]
        assert abs(loss_of(model, tokens) / losses[name] - 1) < 1e-5, (case.name, name, losses)
    assert losses["theta-1"] < losses["base"] - 0.01, losses
    print(f"{case.name}: an adapter opens in peft: {losses}")


def main(l402):
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    cases = sorted(path for path in ROOT.iterdir() if path.is_dir())
    assert len(cases) == 11, cases
    for case in cases:
        expected = load_file(case / "expected.safetensors")
        tokens = expected["tokens"].long()
        with tempfile.TemporaryDirectory() as scratch:
            for name, options in [("one", []), ("many", ["--max-shard-size", "8KB"]), ("bf16", ["--dtype", "bfloat16"])]:
                out = pathlib.Path(scratch) / name
                subprocess.run([l402, "--quiet", "export", case, "-o", out, *options], check=True, stdout=subprocess.PIPE)
                model, found = logits(out, tokens, torch.float32)
                if name == "bf16":
                    truth, _ = logits(case, tokens, torch.bfloat16)
                    ours = dict(model.named_parameters())
                    for key, parameter in truth.named_parameters():
                        assert torch.equal(ours[key], parameter.float()), (case.name, key)
                else:
                    assert torch.equal(found, expected["logits"]), (case.name, name)
                assert (len(list(out.glob("*.safetensors"))) > 1) == (name == "many")
        print(f"{case.name}: opens, in one file, in many, and in bfloat16")
        with tempfile.TemporaryDirectory() as scratch:
            adapter(l402, case, pathlib.Path(scratch))


if __name__ == "__main__":
    main(str(pathlib.Path(sys.argv[1]).resolve()))

"""What we write opens in transformers, with the same logits: by hand (`just test-hf`), for torch is gigabytes.

    python3 tests/hf/opens.py L402      (the binary)

For each checkpoint of testdata/oracle/architectures: exported in float32, in files of some kilobytes, and in bfloat16; opened by
AutoModelForCausalLM; the logits held against those that are recorded, and in bfloat16 against the checkpoint rounded by torch.
Needs torch, transformers and safetensors.
"""

import pathlib
import subprocess
import sys
import tempfile

import torch
import transformers
from safetensors.torch import load_file

ROOT = pathlib.Path(__file__).parents[2] / "testdata/oracle/architectures"


def logits(folder, tokens, dtype):
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="eager")
    return model, model(tokens[:, :-1]).logits.detach()


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


if __name__ == "__main__":
    main(sys.argv[1])

"""Adapters of the checkpoints beside this, written by PEFT itself, with what it makes of them: logits, loss, gradients, a short
training curve, and the merged model's logits. tests/adapters_oracle.rs holds ours against them.

    python3 testdata/oracle/adapters.py          (writes testdata/oracle/adapters/)

Needs torch, transformers, peft and safetensors.
"""

import json
import pathlib
import shutil

import peft
import torch
import torch.nn.functional as F
import transformers
from safetensors.torch import load_file, save_file

from torch_curve import BETAS, CLIP, EPS, WEIGHT_DECAY, batch

STEPS, LR = 50, 3e-3
# Fused projections, biases, norms on both sides; few targets and all.
CASES = {
    "qwen2": (3, 6, ["q_proj", "v_proj", "down_proj"]),
    "phi3": (4, 2, ["qkv_proj", "o_proj", "gate_up_proj", "down_proj"]),
    "gemma3": (2, 5, ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]),
}


def make(name, rank, alpha, targets, root):
    torch.manual_seed(402)
    base = root.parent / "architectures" / name
    folder = root / name

    def whole():
        return transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, attn_implementation="eager")

    config = peft.LoraConfig(r=rank, lora_alpha=alpha, target_modules=targets, lora_dropout=0.0, task_type="CAUSAL_LM")
    model = peft.get_peft_model(whole(), config)
    for key, parameter in model.named_parameters():
        if "lora_B" in key:
            parameter.data = 0.2 * torch.randn_like(parameter)
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    path = folder / "adapter_config.json"
    said = json.loads(path.read_text())
    said["base_model_name_or_path"] = f"../architectures/{name}"
    said["target_modules"] = sorted(said["target_modules"])
    path.write_text(json.dumps(said, indent=2, sort_keys=True) + "\n")
    save_file({k: v.contiguous() for k, v in load_file(folder / "adapter_model.safetensors").items()},
              folder / "adapter_model.safetensors", metadata={"format": "pt"})
    model = peft.PeftModel.from_pretrained(whole(), folder, is_trainable=True)
    vocabulary = model.config.vocab_size

    def loss_of(tokens):
        logits = model(tokens[:, :-1]).logits
        return logits, F.cross_entropy(logits.reshape(-1, vocabulary), tokens[:, 1:].reshape(-1))

    tokens = batch(0)
    logits, loss = loss_of(tokens)
    loss.backward()
    expected = {"logits": logits.detach(), "loss": loss.detach().reshape(1)}
    trained = {k.replace(".default", ""): p for k, p in model.named_parameters() if p.requires_grad}
    for key, parameter in trained.items():
        expected["gradient." + key] = parameter.grad.clone()
    merged = peft.PeftModel.from_pretrained(whole(), folder).merge_and_unload()
    expected["merged"] = merged(tokens[:, :-1]).logits.detach()
    optimizer = torch.optim.AdamW(trained.values(), lr=LR, betas=BETAS, eps=EPS, weight_decay=WEIGHT_DECAY)
    losses = []
    for step in range(STEPS):
        _, loss = loss_of(batch(step))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained.values(), CLIP)
        optimizer.step()
        losses.append(float(loss.detach()))
    expected["curve"] = torch.tensor(losses, dtype=torch.float64).to(torch.float32)
    save_file(expected, folder / "expected.safetensors")
    print(name, sum(p.numel() for p in trained.values()), losses[0], losses[-1])


def main():
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    root = pathlib.Path(__file__).parent / "adapters"
    shutil.rmtree(root, ignore_errors=True)
    for name, (rank, alpha, targets) in CASES.items():
        make(name, rank, alpha, targets, root)


if __name__ == "__main__":
    main()

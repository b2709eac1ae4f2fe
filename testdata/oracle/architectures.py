"""Tiny random checkpoints of every kind of model that we compute, written by transformers itself, with what it makes of them:
logits, loss, gradients, and a short training curve. tests/architectures.rs holds ours against them.

    python3 testdata/oracle/architectures.py          (writes testdata/oracle/architectures/)

Needs torch, transformers and safetensors.
"""

import pathlib
import shutil

import torch
import torch.nn.functional as F
import transformers
from safetensors.torch import load_file, save_file

from torch_curve import BATCH, BETAS, CLIP, EPS, SEQ_LEN, WEIGHT_DECAY, batch

VOCAB, STEPS, LR = 32, 50, 3e-3
SIZES = dict(vocab_size=VOCAB, hidden_size=24, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=64, initializer_range=0.2, attn_implementation="eager",
             pad_token_id=None, bos_token_id=None, eos_token_id=None)
CASES = {
    "llama-biases-linear": (transformers.LlamaConfig, dict(
        attention_bias=True, mlp_bias=True, rope_parameters=dict(rope_type="linear", factor=4.0, rope_theta=1e3))),
    "llama-llama3": (transformers.LlamaConfig, dict(tie_word_embeddings=True, head_dim=10, rope_parameters=dict(
        rope_type="llama3", rope_theta=5e2, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
        original_max_position_embeddings=32))),
    "llama-yarn": (transformers.LlamaConfig, dict(rope_parameters=dict(
        rope_type="yarn", rope_theta=1e3, factor=4.0, original_max_position_embeddings=16, beta_fast=4.0))),
    "mistral": (transformers.MistralConfig, dict(sliding_window=7)),
    "qwen2": (transformers.Qwen2Config, dict(
        tie_word_embeddings=True, use_sliding_window=True, sliding_window=9, max_window_layers=1)),
    "qwen3": (transformers.Qwen3Config, dict(head_dim=8)),
    "smollm3": (transformers.SmolLM3Config, dict(num_hidden_layers=3, no_rope_layer_interval=2)),
    "olmo2": (transformers.Olmo2Config, dict()),
    "phi3": (transformers.Phi3Config, dict(sliding_window=11)),
    "granite": (transformers.GraniteConfig, dict(
        tie_word_embeddings=True, embedding_multiplier=12.0, residual_multiplier=0.22, attention_multiplier=0.3,
        logits_scaling=8.0)),
    "gemma3": (transformers.Gemma3TextConfig, dict(
        num_hidden_layers=3, head_dim=8, sliding_window=6, query_pre_attn_scalar=12,
        layer_types=["sliding_attention", "full_attention", "sliding_attention"],
        rope_parameters=dict(full_attention=dict(rope_type="linear", factor=8.0, rope_theta=1e4),
                             sliding_attention=dict(rope_type="default", rope_theta=1e3)))),
}


def make(name, kind, options, folder):
    torch.manual_seed(402)
    model = transformers.AutoModelForCausalLM.from_config(kind(**SIZES | options), dtype=torch.float32)
    # What transformers begins with ones and zeros would hide what is done with it.
    for parameter in model.parameters():
        if parameter.dim() == 1:
            parameter.data += 0.2 * torch.randn_like(parameter)
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    # As our own reader takes it: one file, whatever transformers would say of it.
    save_file({k: v.contiguous() for k, v in load_file(folder / "model.safetensors").items()},
              folder / "model.safetensors", metadata={"format": "pt"})
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    model.train()

    def loss_of(tokens):
        logits = model(tokens[:, :-1]).logits
        return logits, F.cross_entropy(logits.reshape(-1, VOCAB), tokens[:, 1:].reshape(-1))

    tokens = batch(0)
    logits, loss = loss_of(tokens)
    loss.backward()
    expected = {"tokens": tokens.to(torch.int32), "logits": logits.detach(), "loss": loss.detach().reshape(1)}
    for key, parameter in model.named_parameters():
        if parameter.grad is not None:
            expected["gradient." + key] = parameter.grad.clone()

    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() == 1]
    groups = [{"params": matrices, "weight_decay": WEIGHT_DECAY}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=LR, betas=BETAS, eps=EPS)
    losses = []
    for step in range(STEPS):
        _, loss = loss_of(batch(step))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        losses.append(float(loss.detach()))
    expected["curve"] = torch.tensor(losses, dtype=torch.float64).to(torch.float32)
    save_file(expected, folder / "expected.safetensors")
    print(name, sum(p.numel() for p in model.parameters()), losses[0], losses[-1])


def main():
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    root = pathlib.Path(__file__).parent / "architectures"
    shutil.rmtree(root, ignore_errors=True)
    for name, (kind, options) in CASES.items():
        make(name, kind, options, root / name)


if __name__ == "__main__":
    main()

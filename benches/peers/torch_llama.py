"""The benchmark's step in PyTorch: eager, or with torch.compile. Speaks as `cargo bench --bench train_step` does.

    python3 torch_llama.py [--compile] [--bf16] [--shape 5.3M] [--steps 6 | --drive]
                           [--device cuda:0 [--tf32]] [--batch N --seq-len T]
"""

import argparse
import json
import pathlib
import resource
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F


class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        d, ff, size = c["hidden_size"], c["intermediate_size"], c["head_dim"]
        self.heads, self.kv_heads, self.size = c["num_attention_heads"], c["num_key_value_heads"], size
        self.norm1, self.norm2 = nn.RMSNorm(d, c["rms_norm_eps"]), nn.RMSNorm(d, c["rms_norm_eps"])
        self.q = nn.Linear(d, self.heads * size, bias=False)
        self.k = nn.Linear(d, self.kv_heads * size, bias=False)
        self.v = nn.Linear(d, self.kv_heads * size, bias=False)
        self.o = nn.Linear(self.heads * size, d, bias=False)
        self.gate, self.up = nn.Linear(d, ff, bias=False), nn.Linear(d, ff, bias=False)
        self.down = nn.Linear(ff, d, bias=False)

    def forward(self, x, cos, sin):
        b, t, _ = x.shape
        normed = self.norm1(x)

        def split(y, heads):
            return y.view(b, t, heads, self.size).transpose(1, 2)

        def rope(y):
            low, high = y.chunk(2, -1)
            return torch.cat([low * cos - high * sin, low * sin + high * cos], -1)

        q, k = rope(split(self.q(normed), self.heads)), rope(split(self.k(normed), self.kv_heads))
        v = split(self.v(normed), self.kv_heads)
        grouped = self.heads != self.kv_heads
        attention = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=grouped)
        x = x + self.o(attention.transpose(1, 2).reshape(b, t, -1))
        normed = self.norm2(x)
        return x + self.down(F.silu(self.gate(normed)) * self.up(normed))


class Llama(nn.Module):
    def __init__(self, c, seq_len):
        super().__init__()
        self.embedding = nn.Embedding(c["vocab_size"], c["hidden_size"])
        self.blocks = nn.ModuleList(Block(c) for _ in range(c["num_hidden_layers"]))
        self.norm = nn.RMSNorm(c["hidden_size"], c["rms_norm_eps"])
        self.head = nn.Linear(c["hidden_size"], c["vocab_size"], bias=False)
        if c["tie_word_embeddings"]:
            self.head.weight = self.embedding.weight
        for p in self.parameters():
            if p.dim() == 2:
                nn.init.normal_(p, std=0.02)
        size = c["head_dim"]
        frequencies = c["rope_theta"] ** (-torch.arange(0, size, 2).double() / size)
        angles = torch.outer(torch.arange(seq_len).double(), frequencies)
        self.register_buffer("cos", angles.cos().float())
        self.register_buffer("sin", angles.sin().float())

    def forward(self, inputs, targets):
        x = self.embedding(inputs)
        for block in self.blocks:
            x = block(x, self.cos, self.sin)
        logits = self.head(self.norm(x))
        return F.cross_entropy(logits.view(-1, logits.shape[-1]), targets.reshape(-1))


def say(line):
    print(json.dumps(line), flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--bf16", action="store_true", help="autocast: products in bf16, float32 weights")
    parser.add_argument("--shape", default="5.3M")
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--tf32", action="store_true", help="on a GPU: float32 products on its matrix cores, rounded to TF32")
    parser.add_argument("--batch", type=int, help="other sequences a step than the shape's")
    parser.add_argument("--seq-len", type=int)
    parser.add_argument("--drive", action="store_true")
    args = parser.parse_args()

    device = torch.device(args.device)
    if device.type == "cpu":
        torch.set_num_threads(1)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = args.tf32
    torch.manual_seed(402)
    shape = json.loads((pathlib.Path(__file__).parents[1] / "shapes.json").read_text())[args.shape]
    batch, seq_len = args.batch or shape["batch"], args.seq_len or shape["seq_len"]
    vocab = shape["config"]["vocab_size"]
    with device:
        model = Llama(shape["config"], seq_len)
    step = torch.compile(model) if args.compile else model
    groups = [
        {"params": [p for p in model.parameters() if p.dim() > 1], "weight_decay": 0.1},
        {"params": [p for p in model.parameters() if p.dim() == 1], "weight_decay": 0.0},
    ]
    # Of AdamW's three implementations the fused one is the fastest on a CPU.
    optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.95), fused=True)
    about = {"engine": "torch.compile" if args.compile else "torch", "shape": args.shape, "torch": torch.__version__}
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        about |= {"device": properties.name, "multiprocessors": properties.multi_processor_count}
    say(about | {"ready": True, "parameters": sum(p.numel() for p in model.parameters())})
    count = 0
    while sys.stdin.readline() if args.drive else count < args.steps:
        began = time.perf_counter()
        tokens = torch.randint(0, vocab, (batch, seq_len + 1)).to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=args.bf16):
            loss = step(tokens[:, :-1], tokens[:, 1:])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        loss = loss.item()
        seconds = time.perf_counter() - began
        rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        say(about | {"step": count, "seconds": seconds, "loss": loss, "peak_rss_mib": rss,
                     "tokens_per_s": batch * seq_len / seconds})
        count += 1


main()

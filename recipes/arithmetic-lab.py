"""What a linear layer's arithmetic costs in quality: small Llamas, trained in PyTorch from the same start on the same
batches, each with its linear layers' three products in another arithmetic.

    python3 arithmetic-lab.py --sizes 0.8M --modes float32,int14 --heads mixed --seeds 1,2,3 --steps 400
    python3 arithmetic-lab.py --sizes 0.8M --seeds 1 --steps 400 --swap
    python3 arithmetic-lab.py --table arithmetic-lab.tsv

A mode says how the operands of the three products of a linear layer are rounded: forward, gradient of the input,
gradient of the weight. Rounded integers are multiplied as floats (integer * step), in float32: this is `arithmetic = 2`
but for the last bits of a sum. Attention, norms, softmax and AdamW are float32 in every mode. The head, a linear layer
too, is chosen by itself where the mode is one of integers; in the others it is as the body.

Runs are appended to a table of tabs, and those that are there are not done again.

Two runs that differ a little at first are two different runs in the end, by chance one better than the other:
`float32-nudged` shows how much, where nothing is lost. At a learning rate of 3e-3 that can be a percent, at 1e-3 it is
next to nothing. With --swap only float32 is trained, and then the loss and the gradient of its weights are computed in
each mode.
"""

import argparse
import collections
import math
import pathlib
import time
from typing import NamedTuple

import torch
import torch.nn as nn
import torch.nn.functional as F


class Integers(NamedTuple):
    """Integers of so many bits, with one step (a power of two) for every `block` numbers that a product runs over."""

    bits: int = 14
    block: int | None = None

    @property
    def largest(self):
        # Of 14 bits: what two balanced digits to the base 128 reach.
        return 8127 if self.bits == 14 else 2 ** (self.bits - 1) - 1


FLOAT, BFLOAT, REVERSED, NUDGED = "float32", "bfloat16", "float32, summed backwards", "float32, nudged"
INT14, INT8 = Integers(14), Integers(8)

# How much the weights of a nudged run differ at its start: about as much as 14 bits do. It is float32 for the rest.
NUDGE = 2e-4

# Forward, gradient of the input, gradient of the weight.
MODES = {
    "float32": (FLOAT, FLOAT, FLOAT),
    "float32-reversed": (REVERSED, REVERSED, REVERSED),
    "float32-nudged": (NUDGED, NUDGED, NUDGED),
    "bf16": (BFLOAT, BFLOAT, BFLOAT),
    "int14": (INT14, INT14, INT14),
    "int14/128": (Integers(14, 128),) * 3,
    "int14/32": (Integers(14, 32),) * 3,
    "int8-forward": (INT8, INT14, INT14),
    "int8-input-gradient": (INT14, INT8, INT14),
    "int8-weight-gradient": (INT14, INT14, INT8),
    "int8": (INT8, INT8, INT8),
    "int8/128": (Integers(8, 128),) * 3,
    "int8/32": (Integers(8, 32),) * 3,
}

HEADS = {"float": (FLOAT, FLOAT, FLOAT), "int": (INT14, INT14, INT14), "mixed": (INT14, FLOAT, INT14)}

# The most tokens of a block in the gradient of a weight; blocks begin with each sequence.
TOKENS = 256

# By Cauchy and Schwarz a sum of products stays below 2^31 where each side's sum of squares is within this.
SQUARES = 15 * 2**27

TEXT = pathlib.Path(__file__).parents[1] / "testdata/text/tinyshakespeare.txt"

SIZES = {
    # d, ff, layers, heads, kv heads, head size, sequence, batch, learning rate, vocabulary
    "0.8M": (128, 352, 4, 4, 2, 32, 128, 8, 1e-3, 257),
    "0.8M-bpe": (128, 352, 4, 4, 2, 32, 128, 8, 1e-3, 8192),
    "5M": (256, 688, 6, 8, 8, 32, 256, 8, 1e-3, 257),
    "30M": (512, 1376, 9, 8, 8, 64, 256, 4, 1e-3, 257),
}
SIZES = {name: dict(zip("d ff layers heads kv_heads size seq_len batch lr vocab".split(), size, strict=True))
         for name, size in SIZES.items()}


def quantised(x, dim, form):
    """Each vector along `dim` as integers times its step: src/engine/integer/scale.rs says how."""
    shift = form.bits - 2
    carry = 2**23 - ((2 * form.largest + 1 - 2 ** (shift + 1)) << (22 - shift))
    top = x.abs().amax(dim, keepdim=True)
    exponent = (((top.view(torch.int32) + carry) >> 23) - 127).clamp_(min=-115)

    def rounded(exponent):
        up = ((shift - exponent + 127) << 23).view(torch.float32)
        return (x * up).round_(), up

    q, up = rounded(exponent)
    if form.bits == 14:
        squares = q.square().sum(dim, keepdim=True)
        coarser = (squares / SQUARES).log2_().div_(2).ceil_().clamp_(min=0).int()
        if coarser.any():
            q, up = rounded(exponent + coarser)
    return q.mul_(up.reciprocal_())


def rounded(x, dim, form, block=None):
    """An operand as its product takes it; the product runs over `dim`, at most `block` numbers at a time."""
    if form in (FLOAT, NUDGED):
        return x
    if form == REVERSED:
        return x.flip(dim)
    if form == BFLOAT:
        return x.bfloat16().float()
    dim, n = dim % x.dim(), x.shape[dim]
    block = min(b for b in (block, form.block, n) if b)
    if block == n:
        return quantised(x, dim, form)
    if rest := -n % block:
        x = torch.cat([x, x.new_zeros(*x.shape[:dim], rest, *x.shape[dim + 1 :])], dim)
    return quantised(x.unflatten(dim, (-1, block)), dim + 1, form).flatten(dim, dim + 1).narrow(dim, 0, n)


class Product(torch.autograd.Function):
    """y = x W^T and its gradients. `x` is [sequences, tokens, in]."""

    @staticmethod
    def forward(ctx, x, w, forms):
        ctx.save_for_backward(x, w)
        ctx.forms = forms
        return rounded(x, -1, forms[0]) @ rounded(w, -1, forms[0]).T

    @staticmethod
    def backward(ctx, dy):
        (x, w), (_, of_input, of_weight) = ctx.saved_tensors, ctx.forms
        dx = rounded(dy, -1, of_input) @ rounded(w, 0, of_input)
        dy, x = (rounded(z, 1, of_weight, TOKENS).reshape(-1, z.shape[-1]) for z in (dy, x))
        return dx, dy.T @ x, None


class Linear(nn.Linear):
    def __init__(self, inner, out, forms):
        super().__init__(inner, out, bias=False)
        self.forms = forms

    def forward(self, x):
        return Product.apply(x, self.weight, self.forms)


class Block(nn.Module):
    def __init__(self, c, forms):
        super().__init__()
        d, ff, size = c["d"], c["ff"], c["size"]
        self.heads, self.kv_heads, self.size = c["heads"], c["kv_heads"], size
        self.norm1, self.norm2 = nn.RMSNorm(d, 1e-5), nn.RMSNorm(d, 1e-5)
        self.q = Linear(d, self.heads * size, forms)
        self.k, self.v = Linear(d, self.kv_heads * size, forms), Linear(d, self.kv_heads * size, forms)
        self.o = Linear(self.heads * size, d, forms)
        self.gate, self.up, self.down = Linear(d, ff, forms), Linear(d, ff, forms), Linear(ff, d, forms)

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
    def __init__(self, c, forms, head):
        super().__init__()
        self.embedding = nn.Embedding(c["vocab"], c["d"])
        self.blocks = nn.ModuleList(Block(c, forms) for _ in range(c["layers"]))
        self.norm = nn.RMSNorm(c["d"], 1e-5)
        self.head = Linear(c["d"], c["vocab"], head)
        for p in self.parameters():
            if p.dim() == 2:
                nn.init.normal_(p, std=0.02)
        frequencies = 10_000.0 ** (-torch.arange(0, c["size"], 2).double() / c["size"])
        angles = torch.outer(torch.arange(c["seq_len"]).double(), frequencies)
        self.register_buffer("cos", angles.cos().float())
        self.register_buffer("sin", angles.sin().float())

    def forward(self, tokens):
        """The mean loss of sequences of tokens, each with one more token than the model sees."""
        x = self.embedding(tokens[:, :-1])
        for block in self.blocks:
            x = block(x, self.cos, self.sin)
        logits = self.head(self.norm(x))
        return F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())


def texts(path, vocab):
    """The tokens to train on, and the last tenth. Tokens are bytes, or a BPE's that is fitted to the former."""
    text = path.read_bytes()
    parts = text[: len(text) * 9 // 10], text[len(text) * 9 // 10 :]
    if vocab <= 257:
        return [torch.tensor(list(part)) for part in parts]
    from tokenizers import ByteLevelBPETokenizer

    tokenizer = ByteLevelBPETokenizer()
    parts = [part.decode(errors="replace") for part in parts]
    tokenizer.train_from_iterator(parts[0].splitlines(keepends=True), vocab_size=vocab, show_progress=False)
    return [torch.tensor(tokenizer.encode(part).ids) for part in parts]


def sequences(tokens, starts, seq_len):
    return tokens[starts[:, None] + torch.arange(seq_len + 1)]


def draw(c, train_on, batches):
    starts = torch.randint(len(train_on) - c["seq_len"], (c["batch"],), generator=batches)
    return sequences(train_on, starts, c["seq_len"])


def train(c, forms, head, seed, steps, train_on):
    """A trained model, and the seconds of a step."""
    torch.manual_seed(seed)
    model = Llama(c, forms, head)
    if forms[0] == NUDGED:
        with torch.no_grad():
            for p in model.parameters():
                p.mul_(1 + NUDGE * torch.randn(p.shape))
    batches = torch.Generator().manual_seed(seed)
    groups = [
        {"params": [p for p in model.parameters() if p.dim() > 1], "weight_decay": 0.1},
        {"params": [p for p in model.parameters() if p.dim() == 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=c["lr"], betas=(0.9, 0.95), fused=True)
    warmup = max(1, steps // 10)
    began = time.perf_counter()
    for step in range(steps):
        cosine = 0.55 + 0.45 * math.cos(math.pi * max(0, step - warmup) / (steps - warmup))
        for group in optimizer.param_groups:
            group["lr"] = c["lr"] * min(cosine, (step + 1) / warmup)
        loss = model(draw(c, train_on, batches))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return model, (time.perf_counter() - began) / steps


@torch.no_grad()
def evaluate(model, c, held_out, count):
    """The loss on sequences that are spread evenly over held-out text, in the model's own arithmetic."""
    starts = torch.linspace(0, len(held_out) - c["seq_len"] - 1, count).long()
    losses = [model(sequences(held_out, part, c["seq_len"])).item() for part in starts.split(c["batch"])]
    return sum(losses) / len(losses)


def swap(model, c, modes, heads, held_out, count, batch):
    """How loss and gradient of a model's weights change from float32 to each mode, in Markdown."""
    print("| products | head | loss to float32 | gradient's error |\n|---|---|---:|---:|")
    base = None
    for mode, head in [("float32", "same"), *variants(modes, heads)]:
        forms = MODES[mode]
        for layer in model.modules():
            if isinstance(layer, Linear):
                layer.forms = HEADS.get(head, forms) if layer is model.head else forms
        loss = evaluate(model, c, held_out, count)
        grads = torch.autograd.grad(model(batch), list(model.parameters()))
        gradient = torch.cat([g.flatten() for g in grads]).double()
        base = base or (loss, gradient)
        error = (gradient - base[1]).norm() / base[1].norm()
        print(f"| {mode} | {head} | {100 * (loss / base[0] - 1):+.4f} % | {100 * error:.4f} % |", flush=True)


def variants(modes, heads):
    for mode in modes:
        for head in heads if isinstance(MODES[mode][0], Integers) else ["same"]:
            yield mode, head


COLUMNS = "size lr mode head seed steps tokens loss seconds_a_step".split()


def lines(path):
    """The runs of a file, each as what it was and its loss."""
    if not path.exists():
        return {}
    rows = [dict(zip(COLUMNS, line.split("\t"))) for line in path.read_text().splitlines()[1:]]
    return {(r["size"], float(r["lr"]), r["mode"], r["head"], int(r["seed"]), int(r["steps"])): float(r["loss"])
            for r in rows}


def table(path):
    """Each mode beside float32 of the same size, rate, steps and seeds, in Markdown."""
    runs = lines(path)
    groups = collections.defaultdict(lambda: collections.defaultdict(dict))
    for (size, lr, mode, head, seed, steps), loss in runs.items():
        groups[size, lr, steps][mode, head][seed] = loss
    for (size, lr, steps), group in groups.items():
        base = group["float32", "same"]
        print(f"\n{size}, {steps} steps, learning rate {lr:g}:\n")
        print("| products | head | seeds | loss | to float32 | least | most |")
        print("|---|---|---:|---:|---:|---:|---:|")
        for (mode, head), losses in group.items():
            by_seed = [100 * (loss / base[seed] - 1) for seed, loss in losses.items() if seed in base]
            beside = [sum(by_seed) / len(by_seed), min(by_seed), max(by_seed)] if by_seed else []
            cells = [f"{x:+.3f} %" for x in beside] if mode != "float32" else [""] * 3
            loss = sum(losses.values()) / len(losses)
            print(f"| {mode} | {head} | {len(losses)} | {loss:.4f} | {' | '.join(cells)} |")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--text", type=pathlib.Path, default=TEXT)
    parser.add_argument("--sizes", default="0.8M", help=f"of {', '.join(SIZES)}")
    parser.add_argument("--modes", default="float32,bf16,int14", help=f"of {', '.join(MODES)}")
    parser.add_argument("--heads", default="mixed", help=f"of {', '.join(HEADS)}; for modes of integers")
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--lr", type=float, help="other than the size's")
    parser.add_argument("--eval-sequences", type=int, default=64)
    parser.add_argument("--swap", action="store_true", help="train float32 only, and compute the rest of its weights")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("arithmetic-lab.tsv"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--table", type=pathlib.Path, metavar="FILE", help="print a file of runs in Markdown, and end")
    args = parser.parse_args()
    if args.table:
        return table(args.table)

    torch.set_num_threads(args.threads)
    modes, heads = args.modes.split(","), args.heads.split(",")
    if not args.swap and not args.out.exists():
        args.out.write_text("\t".join(COLUMNS) + "\n")
    for size in args.sizes.split(","):
        c = SIZES[size] | ({"lr": args.lr} if args.lr else {})
        train_on, held_out = texts(args.text, c["vocab"])
        for seed in map(int, args.seeds.split(",")):
            if args.swap:
                model, _ = train(c, MODES["float32"], MODES["float32"], seed, args.steps, train_on)
                batch = draw(c, train_on, torch.Generator().manual_seed(-seed))
                print(f"\n{size}, seed {seed}, after {args.steps} steps:\n")
                swap(model, c, modes, heads, held_out, args.eval_sequences, batch)
                continue
            for mode, head in variants(modes, heads):
                if (size, c["lr"], mode, head, seed, args.steps) in lines(args.out):
                    continue
                forms = MODES[mode]
                model, seconds = train(c, forms, HEADS.get(head, forms), seed, args.steps, train_on)
                loss = evaluate(model, c, held_out, args.eval_sequences)
                tokens = args.steps * c["batch"] * c["seq_len"]
                row = [size, c["lr"], mode, head, seed, args.steps, tokens, f"{loss:.6f}", f"{seconds:.4f}"]
                line = "\t".join(map(str, row))
                print(line, flush=True)
                with args.out.open("a") as out:
                    out.write(line + "\n")


if __name__ == "__main__":
    main()

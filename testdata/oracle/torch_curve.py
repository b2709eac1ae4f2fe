"""The loss curve of Hugging Face's LlamaForCausalLM under PyTorch's AdamW, which tests/oracle_torch.rs holds ours against.

    l402 init --config testdata/oracle/model/config.json --seed 402 --force -o testdata/oracle/model
    python3 testdata/oracle/torch_curve.py > testdata/oracle/torch_curve.json

Needs torch, transformers and safetensors.
"""

import json
import math
import pathlib

import torch
import torch.nn.functional as F
import transformers

STEPS, BATCH, SEQ_LEN, VOCAB = 200, 4, 24, 32
LR, MIN_LR_RATIO, WARMUP, WEIGHT_DECAY, CLIP = 1e-2, 0.1, 20, 0.1, 1.0
BETAS, EPS = (0.9, 0.95), 1e-8


def batch(step):
    """Sequences in which a token depends on the one before and on chance; tests/oracle_torch.rs has the same."""
    sequences = []
    for row in range(BATCH):
        token, sequence = (step * 7 + row * 11) % VOCAB, []
        for position in range(SEQ_LEN + 1):
            sequence.append(token)
            number = (step * BATCH + row) * (SEQ_LEN + 1) + position
            chance = (number * 2654435761 % 2**32) >> 29
            token = (5 * token + 3 + (0 if chance < 5 else chance)) % VOCAB
        sequences.append(sequence)
    return torch.tensor(sequences)


def learning_rate(step):
    if step < WARMUP:
        return LR * (step + 1) / WARMUP
    floor = LR * MIN_LR_RATIO
    return floor + 0.5 * (LR - floor) * (1 + math.cos(math.pi * (step - WARMUP) / (STEPS - WARMUP)))


def main():
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    folder = pathlib.Path(__file__).parent / "model"
    model = transformers.LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    model.train()
    matrices = [p for p in model.parameters() if p.dim() > 1]
    norms = [p for p in model.parameters() if p.dim() == 1]
    groups = [{"params": matrices, "weight_decay": WEIGHT_DECAY}, {"params": norms, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=LR, betas=BETAS, eps=EPS)
    losses, norms_seen = [], []
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step)
        tokens = batch(step)
        logits = model(tokens[:, :-1]).logits
        loss = F.cross_entropy(logits.reshape(-1, VOCAB), tokens[:, 1:].reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        losses.append(float(loss.detach()))
        norms_seen.append(float(norm))
    print(json.dumps({
        "made_by": "python3 testdata/oracle/torch_curve.py > testdata/oracle/torch_curve.json",
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "losses": [round(loss, 7) for loss in losses],
        "gradient_norms": [round(norm, 7) for norm in norms_seen],
    }, indent=1))


if __name__ == "__main__":
    main()

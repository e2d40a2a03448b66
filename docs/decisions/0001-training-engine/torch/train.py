"""Comparison program for decision 0001: the reference model trained with PyTorch on the CPU.

A Llama-shaped character model in f32, written with the framework's own fused pieces (rms_norm,
scaled_dot_product_attention, fused AdamW). The query, key and value projections share one matrix,
and so do gate and up: the same arithmetic in fewer, larger products. `--compile` adds torch.compile.
"""

import argparse
import json
import math
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

BATCH, CONTEXT = 12, 64
DIM, LAYERS, HEADS, HIDDEN = 128, 4, 4, 344
HEAD_DIM = DIM // HEADS
EPS, THETA = 1e-5, 10_000.0
LR, LR_END, WARM_UP = 1e-3, 1e-4, 100
VAL_BATCHES, VAL_SEED = 200, 20_000


def weight(generator, *shape, std):
    return nn.Parameter(torch.randn(*shape, generator=generator) * std)


def rope(x, cos, sin):
    """Rotates the two halves of each head (x: batch, heads, time, head dim)."""
    low, high = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-high, low), dim=-1) * sin


class Layer(nn.Module):
    def __init__(self, generator):
        super().__init__()
        out_std = 0.02 / math.sqrt(2 * LAYERS)
        self.attn_norm = nn.Parameter(torch.ones(DIM))
        self.qkv = weight(generator, 3 * DIM, DIM, std=0.02)
        self.o_proj = weight(generator, DIM, DIM, std=out_std)
        self.mlp_norm = nn.Parameter(torch.ones(DIM))
        self.gate_up = weight(generator, 2 * HIDDEN, DIM, std=0.02)
        self.down_proj = weight(generator, DIM, HIDDEN, std=out_std)

    def forward(self, x, cos, sin):
        batch, time_, _ = x.shape
        h = F.rms_norm(x, (DIM,), self.attn_norm, EPS)
        qkv = F.linear(h, self.qkv).view(batch, time_, 3, HEADS, HEAD_DIM)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        h = F.scaled_dot_product_attention(rope(q, cos, sin), rope(k, cos, sin), v, is_causal=True)
        x = x + F.linear(h.transpose(1, 2).reshape(batch, time_, DIM), self.o_proj)
        h = F.rms_norm(x, (DIM,), self.mlp_norm, EPS)
        gate, up = F.linear(h, self.gate_up).chunk(2, dim=-1)
        return x + F.linear(F.silu(gate) * up, self.down_proj)


class Model(nn.Module):
    def __init__(self, vocab, seed):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.embedding = weight(generator, vocab, DIM, std=0.02)
        self.layers = nn.ModuleList(Layer(generator) for _ in range(LAYERS))
        self.norm = nn.Parameter(torch.ones(DIM))
        half = HEAD_DIM // 2
        frequency = THETA ** (-torch.arange(half, dtype=torch.float64) / half)
        angle = torch.outer(torch.arange(CONTEXT, dtype=torch.float64), frequency).repeat(1, 2)
        self.register_buffer("cos", angle.cos().float())
        self.register_buffer("sin", angle.sin().float())

    def forward(self, ids, targets):
        x = F.embedding(ids, self.embedding)
        for layer in self.layers:
            x = layer(x, self.cos, self.sin)
        logits = F.linear(F.rms_norm(x, (DIM,), self.norm, EPS), self.embedding)
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def load(path):
    with open(path, encoding="utf-8") as file:
        text = file.read()
    alphabet = {char: index for index, char in enumerate(sorted(set(text)))}
    ids = torch.tensor([alphabet[char] for char in text])
    cut = len(ids) * 9 // 10
    return len(alphabet), ids[:cut], ids[cut:]


class Batches:
    """Random windows of a text, from a seeded generator."""

    def __init__(self, ids, seed):
        # Every window with the character after it, as a view: nothing is copied until it is drawn.
        self.windows = ids.unfold(0, CONTEXT + 1, 1)
        self.generator = torch.Generator().manual_seed(seed)

    def draw(self):
        rows = self.windows[torch.randint(len(self.windows), (BATCH,), generator=self.generator)]
        return rows[:, :-1], rows[:, 1:]


def learning_rate(step, steps):
    if step < WARM_UP:
        return LR * (step + 1) / WARM_UP
    progress = (step - WARM_UP) / max(1, steps - WARM_UP)
    return LR_END + (LR - LR_END) * 0.5 * (1 + math.cos(math.pi * progress))


def peak_rss_mib():
    with open("/proc/self/status", encoding="utf-8") as file:
        line = next(line for line in file if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--compile", action="store_true")
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    vocab, train, validation = load(args.data)
    model = Model(vocab, args.seed)
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.dim() == 2], "weight_decay": 0.1},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=LR, betas=(0.9, 0.99), eps=1e-8, fused=True)
    run = torch.compile(model, dynamic=False) if args.compile else model
    batches = Batches(train, args.seed + 1)

    compile_seconds = 0.0
    if args.compile:
        # One pass outside the clock, without an update: compiling is reported by itself.
        start = time.perf_counter()
        run(*Batches(train, 0).draw()).backward()
        optimiser.zero_grad()
        compile_seconds = time.perf_counter() - start

    losses = []
    start = time.perf_counter()
    for step in range(args.steps):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step, args.steps)
        loss = run(*batches.draw())
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0, foreach=True)
        optimiser.step()
        optimiser.zero_grad()
        losses.append(loss.item())
        if (step + 1) % 200 == 0:
            print(f"step {step + 1} loss {losses[-1]:.4f}", file=sys.stderr)
    seconds = time.perf_counter() - start

    held_out = Batches(validation, VAL_SEED)
    with torch.no_grad():
        val_loss = sum(model(*held_out.draw()).item() for _ in range(VAL_BATCHES)) / VAL_BATCHES
    last = losses[-50:]
    result = {
        "engine": "torch-compile" if args.compile else "torch",
        "version": torch.__version__,
        "steps": args.steps,
        "seconds": round(seconds, 3),
        "tokens_per_s": round(args.steps * BATCH * CONTEXT / seconds),
        "train_loss": round(sum(last) / len(last), 4),
        "val_loss": round(val_loss, 4),
        "peak_rss_mib": round(peak_rss_mib(), 1),
        "threads": args.threads,
    }
    if args.compile:
        result["compile_seconds"] = round(compile_seconds, 1)
    print(json.dumps(result))


if __name__ == "__main__":
    main()

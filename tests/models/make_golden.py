"""Writes a tiny Llama of `transformers` with random weights, and the logits and tokens that the reference computes for
it. The crate's tests compare with them, so that the gate needs neither PyTorch nor the network:

    python make_golden.py ../../crates/pintle-model/tests/data/llama
"""

import json
import shutil
import sys
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

TEXTS = [
    "The loading gate closes at 18:00.",
    "Über 12 % der Paletten – ja, 12,5 % – sind beschädigt.",
    "a",
    "keys\tand  spaces\n\nand lines",
]


def tokenizer():
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    raw.train_from_iterator(TEXTS * 10, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<|end|>")


def main():
    folder = Path(sys.argv[1])
    shutil.rmtree(folder, ignore_errors=True)
    torch.manual_seed(3)
    torch.set_num_threads(1)
    config = LlamaConfig(
        vocab_size=304,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        rms_norm_eps=1e-5,
        initializer_range=0.3,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=0,
    )
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    tokenizer().save_pretrained(folder)

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    reader = AutoTokenizer.from_pretrained(folder)
    expected = []
    for text in TEXTS:
        tokens = reader(text)["input_ids"]
        with torch.no_grad():
            logits = model(torch.tensor([tokens])).logits[0, -1]
        expected.append({"text": text, "tokens": tokens, "logits": [round(value, 5) for value in logits.tolist()]})
    (folder / "expected.json").write_text(json.dumps(expected) + "\n")


if __name__ == "__main__":
    main()

"""Makes random BERT encoders in sentence-transformers' layout with `transformers`: for check_embeddings.py, and the one that
the crate's own tests read, with what the reference makes of some texts.

Use: tiny_encoder.py FOLDER writes that one, with `expected.json` beside its files.
"""

import json
import os
import sys
from pathlib import Path

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", TOKENIZERS_PARALLELISM="false")

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast
from transformers.utils import logging

logging.disable_progress_bar()

CORPUS = [
    "The travel allowance is paid by the office.",
    "Who pays for a train to the meeting?",
    "An employee writes a report after each journey.",
]
TEXTS = [
    "Who pays the allowance?",
    "the OFFICE pays",
    "a",
    "A report about the journey, written by an employee: it is short.",
    "zzz unknown 日本",
]


def word_piece(corpus, size):
    """As BERT's: lower case, whole words and their pieces, [CLS] before a text and [SEP] behind it."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.train_from_iterator(corpus, trainers.WordPieceTrainer(
        vocab_size=size, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], show_progress=False))
    ends = [(name, tokenizer.token_to_id(name)) for name in ["[CLS]", "[SEP]"]]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=ends)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", sep_token="[SEP]", pad_token="[PAD]", cls_token="[CLS]",
        mask_token="[MASK]", model_max_length=512)


def make(folder, corpus, vocabulary, pooling, normalises, dtype=torch.float32, tokens_max=None, **sizes):
    """Writes a random encoder. Its weights are larger than fresh ones, so that every part of it counts."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = word_piece(corpus, vocabulary)
    torch.manual_seed(7)
    config = BertConfig(vocab_size=len(tokenizer) + 1, initializer_range=0.3, **sizes)
    model = BertModel(config).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith("bias") or "LayerNorm" in name:
                weight.add_(torch.randn_like(weight) * 0.2)
    model.to(dtype).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    kinds = ["Transformer", "Pooling"] + ["Normalize"] * normalises
    paths = ["", "1_Pooling", "2_Normalize"]
    write(folder / "modules.json", [
        {"idx": index, "name": str(index), "path": paths[index], "type": f"sentence_transformers.models.{kind}"}
        for index, kind in enumerate(kinds)])
    write(folder / "1_Pooling" / "config.json", {
        "word_embedding_dimension": config.hidden_size, "pooling_mode_cls_token": pooling == "cls",
        "pooling_mode_mean_tokens": pooling == "mean", "pooling_mode_max_tokens": False})
    write(folder / "sentence_bert_config.json", {"max_seq_length": tokens_max, "do_lower_case": False})


def write(path, value):
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(value, indent=1) + "\n")


def reference(folder, texts):
    """The tokens and embeddings of texts, one by one so that nothing is padded."""
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json")).backend_tokenizer
    tokenizer.no_truncation()
    tokenizer.no_padding()
    model = BertModel.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    modules = json.loads((folder / "modules.json").read_text())
    pooling = json.loads((folder / "1_Pooling" / "config.json").read_text())
    normalises = any(module["type"].endswith("Normalize") for module in modules)
    rows = []
    for text in texts:
        tokens = tokenizer.encode(text).ids
        with torch.no_grad():
            states = model(torch.tensor([tokens])).last_hidden_state[0]
        row = states[0] if pooling["pooling_mode_cls_token"] else states.mean(0)
        if normalises:
            row = torch.nn.functional.normalize(row, dim=0)
        rows.append({"text": text, "tokens": tokens, "embedding": row.tolist()})
    return rows


def main():
    folder = Path(sys.argv[1])
    make(folder, CORPUS, 60, "mean", True, hidden_size=12, intermediate_size=20, num_hidden_layers=2,
         num_attention_heads=3, max_position_embeddings=48, type_vocab_size=2, tokens_max=46)
    write(folder / "expected.json", reference(folder, TEXTS))


if __name__ == "__main__":
    main()

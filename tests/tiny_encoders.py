"""Tiny random text classifiers of every architecture, with a tokenizer of a few words, saved as folders. Not a test
file."""

from __future__ import annotations

from pathlib import Path

import torch
import transformers as tf

from tiny_models import lively

WORDS = (
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    *["good", "bad", "film", "the", "a", "is", "was", "very", "not", "and", "plot", "actor"],
)
_SIZE = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
_COMMON = {"vocab_size": len(WORDS), "pad_token_id": 0, "num_labels": 2}
_QUIET = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


def config(architecture: str) -> tf.PretrainedConfig:
    """Of a classifier of texts of up to 32 tokens."""
    made = {
        "bert": lambda: tf.BertConfig(**_COMMON, **_SIZE, **_QUIET, max_position_embeddings=32),
        "roberta": lambda: tf.RobertaConfig(**_COMMON, **_SIZE, **_QUIET, max_position_embeddings=33),
        "deberta": lambda: tf.DebertaV2Config(**_COMMON, **_SIZE, **_QUIET, max_position_embeddings=32),
        "electra": lambda: tf.ElectraConfig(
            **_COMMON, **_SIZE, **_QUIET, max_position_embeddings=32, embedding_size=16
        ),
        "distilbert": lambda: tf.DistilBertConfig(
            **_COMMON, dim=16, n_layers=2, n_heads=2, hidden_dim=24, max_position_embeddings=32, dropout=0.0,
            attention_dropout=0.0, seq_classif_dropout=0.0,
        ),
        "modernbert": lambda: tf.ModernBertConfig(
            **_COMMON, **_SIZE, max_position_embeddings=32, cls_token_id=2, sep_token_id=3, bos_token_id=2,
            eos_token_id=3, global_attn_every_n_layers=1,
        ),
        "llama": lambda: tf.LlamaConfig(
            vocab_size=len(WORDS), num_labels=2, **_SIZE, max_position_embeddings=32, bos_token_id=2, eos_token_id=3
        ),
    }  # fmt: skip
    return made[architecture]()


ARCHITECTURES = ("bert", "roberta", "deberta", "electra", "distilbert", "modernbert", "llama")


def save_encoder(folder: Path, architecture: str, headless: bool = False) -> Path:
    """A folder as the hub has it; headless: the encoder alone, as it comes from pretraining."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    made = config(architecture)
    model = tf.AutoModel.from_config(made) if headless else tf.AutoModelForSequenceClassification.from_config(made)
    lively(model).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    special = {} if architecture != "llama" else {"pad_token": None, "eos_token": "[SEP]"}
    tokenizer = tf.BertTokenizerFast(vocab=str(folder / "vocab.txt"), **special)
    if architecture in ("roberta", "distilbert", "modernbert", "llama"):
        tokenizer.model_input_names = ["input_ids", "attention_mask"]
    tokenizer.save_pretrained(folder)
    return folder

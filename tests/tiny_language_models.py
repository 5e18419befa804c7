"""Tiny causal language models and tokenizers of every kind, in folders, with questions to ask. Not a test file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers as tf
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from lora_ensemble.contracts import Example, Split
from tiny_models import lively

TEXTS = [
    "Q: Where does a cat sleep?\nAnswer Choices:\n(a) on the mat\n(b) in a tree\n(c) under water\nA: (a).",
    "Q: What do people drink in the morning?\nAnswer Choices:\n(a) coffee\n(b) sand\n(c) paper\nA: (b).",
    "Q: Which of these is cold: the sun, ice, or a fire?\nAnswer Choices:\n(a) sun\n(b) ice\n(c) fire\nA: (c).",
]
SHORT: Example = {"question": "Where?", "choices": ["here", "there", "on the mat"]}
FEWER: Example = {"question": "What do people drink in the morning, at home?", "choices": ["coffee", "sand"]}
LONG: Example = {"question": "Which of these is cold, " * 6 + "the sun?", "choices": ["the sun", "ice", "a fire"]}
QUESTIONS = [SHORT, FEWER, LONG]


def byte_level() -> Any:
    """As GPT-2's: bytes, no special token but the end of text, none for padding."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=330, initial_alphabet=alphabet, special_tokens=["<|endoftext|>"])
    tokenizer.train_from_iterator(TEXTS, trainer)
    return tf.PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>", bos_token="<|endoftext|>")


def sentence_piece() -> Any:
    """As Llama's: spaces are part of the tokens, unknown characters are bytes, a text begins with <s>."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    bytes_ = [f"<0x{b:02X}>" for b in range(256)]
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=["<unk>", "<s>", "</s>", *bytes_])
    # Words are cut at spaces and punctuation only here, so that there are no merges across them.
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(" ", "merged_with_next")])
    tokenizer.train_from_iterator([text.replace("(", "( ").replace(")", " )") for text in TEXTS], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return tf.PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>")


def words(*left_out: str) -> Any:
    """Whole words and punctuation marks, all the others unknown; a text ends with [SEP]."""
    tokenizer = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.WordLevelTrainer(special_tokens=["[UNK]", "[PAD]", "[SEP]"])
    texts = [t for text in TEXTS for t, _ in pre_tokenizers.Whitespace().pre_tokenize_str(text) if t not in left_out]
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="$A [SEP]", special_tokens=[("[SEP]", 2)])
    return tf.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]", sep_token="[SEP]"
    )


TOKENIZERS = {"byte-level": byte_level, "sentence-piece": sentence_piece, "words": words}

VOCABULARY = 401
"""A number of its own, so that an axis of that length is the vocabulary's."""

_SIZE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
_GROUPED = {**_SIZE, "num_key_value_heads": 2, "max_position_embeddings": 256}

CONFIGS: dict[str, Callable[[], tf.PreTrainedConfig]] = {
    "llama": lambda: tf.LlamaConfig(vocab_size=VOCABULARY, **_GROUPED),
    "gpt2": lambda: tf.GPT2Config(
        vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=4, n_positions=256,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
    ),
    "mistral": lambda: tf.MistralConfig(vocab_size=VOCABULARY, sliding_window=16, **_GROUPED),
    "qwen2": lambda: tf.Qwen2Config(vocab_size=VOCABULARY, **_GROUPED),
    "gemma": lambda: tf.GemmaConfig(vocab_size=VOCABULARY, head_dim=8, pad_token_id=0, **_GROUPED),
    "phi": lambda: tf.PhiConfig(vocab_size=VOCABULARY, max_position_embeddings=256, **_SIZE),
    "phi3": lambda: tf.Phi3Config(vocab_size=VOCABULARY, pad_token_id=0, **_GROUPED),
    "gpt-neox": lambda: tf.GPTNeoXConfig(vocab_size=VOCABULARY, max_position_embeddings=256, **_SIZE),
    "bloom": lambda: tf.BloomConfig(vocab_size=VOCABULARY, hidden_size=32, n_layer=2, n_head=4),
    "opt": lambda: tf.OPTConfig(
        vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, ffn_dim=48,
        word_embed_proj_dim=32, max_position_embeddings=256, dropout=0.0,
    ),
}  # fmt: skip


def save_model(folder: Path, architecture: str = "llama", tokenizer: str = "byte-level") -> str:
    """A folder with a model and a tokenizer, as the hub has it."""
    torch.manual_seed(0)
    lively(tf.AutoModelForCausalLM.from_config(CONFIGS[architecture]())).save_pretrained(folder)
    TOKENIZERS[tokenizer]().save_pretrained(folder)
    return str(folder)


def questions(rows: int = 24, seed: int = 0) -> Split:
    """Questions of very different lengths; the answer is the one choice that the question names."""
    generator = np.random.default_rng(seed)
    things = ["coffee", "sand", "paper", "ice", "fire", "a tree", "water"]
    examples, labels = [], []
    for _ in range(rows):
        choices = list(generator.permutation(things)[: generator.integers(2, 4)])
        labels.append(int(generator.integers(len(choices))))
        padding = "in the morning, " * int(generator.integers(0, 6))
        examples.append({"question": f"{padding}where is {choices[labels[-1]]}?", "choices": choices})
    return Split(examples, np.array(labels), [f"q{i}" for i in range(rows)], ["a", "b", "c"], "choices")

"""Texts and pairs on their way into a classifier: tokens, cut at the limit, padded to the longest of their batch."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from lora_ensemble.contracts import Batch, Example
from lora_ensemble.errors import DataError

_TOGETHER = 1000  # texts that are tokenised at once where only their lengths are asked for


@dataclass(frozen=True)
class TextInputs:
    """What a model wants of its texts."""

    tokenizer: Any
    limit: int | None
    """Most tokens of a text or a pair, special tokens included; None for any number."""
    arguments: Sequence[str]
    """Of the model."""

    def collate(self, examples: Sequence[Example]) -> Batch:
        """input_ids, attention_mask and, where the model takes them, token_type_ids, (B, T). Of longer texts the end is
        cut off, of pairs that of the longer text."""
        found = self.tokenizer(
            *_columns(examples),
            truncation=self.limit is not None,
            max_length=self.limit,
            padding=True,
            return_tensors="pt",
            verbose=False,
        )
        return {name: found[name] for name in self.arguments if name in found}

    def lengths(self, examples: Sequence[Example]) -> list[int]:
        """Tokens of each that are read. Of those that are longer than the limit, a warning says how many there are."""
        whole: list[int] = []
        for start in range(0, len(examples), _TOGETHER):
            texts = _columns(examples[start : start + _TOGETHER])
            ids = self.tokenizer(*texts, return_attention_mask=False, return_token_type_ids=False, verbose=False)
            whole += [len(tokens) for tokens in ids["input_ids"]]
        if self.limit is None:
            return whole
        if cut := sum(length > self.limit for length in whole):
            warnings.warn(
                f"{cut} of {len(whole)} texts are longer than {self.limit} tokens (the longest has {max(whole)}): the "
                "rest is not read",
                stacklevel=2,
            )
        return [min(length, self.limit) for length in whole]


def model_inputs(batch: Batch) -> Batch:
    """Nothing is left to do on the model's device."""
    return {name: values if values.dtype == torch.long else values.long() for name, values in batch.items()}


def _columns(examples: Sequence[Example]) -> list[list[str]]:
    """One list of texts, or two of pairs. Raises DataError for a mixture."""
    texts = [example["text"] for example in examples]
    seconds = [example.get("text_pair") for example in examples]
    if all(second is None for second in seconds):
        return [texts]
    if None in seconds:
        raise DataError(f"{seconds.count(None)} of {len(texts)} texts are no pairs, and others are")
    return [texts, seconds]

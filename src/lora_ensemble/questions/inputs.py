"""Multiple-choice questions on their way into a causal language model: tokens, padded on the left."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from lora_ensemble.contracts import Batch, Example
from lora_ensemble.engine.losses import IGNORE
from lora_ensemble.errors import DataError
from lora_ensemble.questions.letters import Encode, LetterTokens
from lora_ensemble.questions.prompts import Prompts, beginning


@dataclass(frozen=True)
class Questions:
    """What turns raw questions into batches."""

    prompts: Prompts
    encode: Encode
    letters: LetterTokens
    limit: int | None
    """Most tokens of a prompt with its answer; None: any number."""
    truncate: bool
    """Whether longer ones lose their beginning; otherwise they are refused."""
    first: int
    """How many special tokens a prompt begins with; truncation keeps them."""
    padding: int
    """Any token; the attention mask hides it."""
    vocabulary: int
    """How many tokens the model knows."""
    whole: bool
    """Whether texts are learned with their answer, which then counts in their lengths."""

    def collate(self, examples: Sequence[Example]) -> Batch:
        """Prompts up to the letter: input_ids and attention_mask (B, T), choices (B,)."""
        batch = self._padded(self._shortened(examples, self._tokens(examples), 1))
        return {**batch, "choices": torch.tensor([len(example["choices"]) for example in examples])}

    def answers(self, examples: Sequence[Example], labels: np.ndarray) -> Batch:
        """`collate`, with "labels" (B,) that are checked; -100 is none."""
        self._check(
            [e for e, answer in zip(examples, labels, strict=True) if answer != IGNORE], labels[labels != IGNORE]
        )
        return {**self.collate(examples), "labels": torch.as_tensor(labels)}

    def texts(self, examples: Sequence[Example], labels: np.ndarray) -> Batch:
        """Whole texts, answer included: input_ids and attention_mask (B, T), and labels (B, T), the tokens themselves;
        -100 for padding and for each text's first token, which nothing predicts."""
        self._check(examples, labels)
        prompts = self._tokens(examples)
        whole = [self.prompts.before(e) + self.prompts.answered(a) for e, a in zip(examples, labels, strict=True)]
        ids = self.encode(whole)
        for example, answer, prompt, text in zip(examples, labels, prompts, ids, strict=True):
            expected = [*prompt, *self.letters.ids[answer : answer + 1]]  # a letter beyond the classes is not known
            if text[: len(expected)] != expected:
                letter = self.prompts.letters[answer]
                raise DataError(
                    f"question {beginning(example)}: what follows the letter {letter!r} changes its token; change "
                    "backbone.prompt"
                )
        batch = self._padded(self._shortened(examples, ids, 0))
        predicted = batch["attention_mask"].cumsum(1) > 1
        return {**batch, "labels": batch["input_ids"].masked_fill(~predicted, IGNORE)}

    def lengths(self, examples: Sequence[Example]) -> list[int]:
        """Tokens of each prompt with its letter, or of each whole text. Raises DataError for those beyond the limit;
        where they lose their beginning, a warning counts them."""
        if self.whole:  # all answers are equally long
            ids = self.encode([self.prompts.before(e) + self.prompts.answered(0) for e in examples])
        else:
            ids = self._tokens(examples)
        reserved = 0 if self.whole else 1
        kept = [len(tokens) + reserved for tokens in self._shortened(examples, ids, reserved)]
        if cut := sum(len(tokens) + reserved > n for tokens, n in zip(ids, kept, strict=True)):
            warnings.warn(
                f"{cut} of {len(ids)} questions are longer than {self.limit} tokens and lose their beginning",
                stacklevel=2,
            )
        return kept

    def prepare(self, batch: Batch) -> Batch:
        """Adds position_ids, counted from each text's first token."""
        positions = (batch["attention_mask"].cumsum(1) - 1).clamp(min=0)
        return {**batch, "position_ids": positions}

    def _tokens(self, examples: Sequence[Example]) -> list[list[int]]:
        """Prompts without their letter, as tokenised with it."""
        first_letter = self.prompts.letters[0]
        found = []
        texts = self.encode([self.prompts.before(e) + first_letter for e in examples])
        for example, ids in zip(examples, texts, strict=True):
            prompt = self.letters.cut(ids)
            if prompt is None:
                raise DataError(
                    f"question {beginning(example)}: the letter {first_letter!r} is not the token that it is after "
                    "other questions; change backbone.prompt"
                )
            found.append(prompt)
        return found

    def _shortened(self, examples: Sequence[Example], texts: list[list[int]], reserved: int) -> list[list[int]]:
        """Within the limit, `reserved` tokens of which are still to come."""
        if self.limit is None:
            return texts
        limit = self.limit - reserved
        long = [i for i, ids in enumerate(texts) if len(ids) > limit]
        if long and not self.truncate:
            raise DataError(
                f"{len(long)} of {len(texts)} questions are longer than {self.limit} tokens, the first of them, "
                f"{beginning(examples[long[0]])}, has {len(texts[long[0]]) + reserved}; remove them, or set "
                "backbone.truncate to 'left'"
            )
        keep = limit - self.first
        return [ids if len(ids) <= limit else ids[: self.first] + ids[len(ids) - keep :] for ids in texts]

    def _padded(self, texts: list[list[int]]) -> Batch:
        """On the left, to the longest."""
        longest = max(len(ids) for ids in texts)
        if (highest := max(map(max, texts))) >= self.vocabulary:
            raise DataError(f"the tokenizer does not fit the model: token {highest} of {self.vocabulary}")
        rows = [[self.padding] * (longest - len(ids)) + ids for ids in texts]
        mask = [[0] * (longest - len(ids)) + [1] * len(ids) for ids in texts]
        return {"input_ids": torch.tensor(rows), "attention_mask": torch.tensor(mask)}

    def _check(self, examples: Sequence[Example], labels: np.ndarray) -> None:
        for example, answer in zip(examples, labels, strict=True):
            if not 0 <= answer < len(example["choices"]):
                raise DataError(
                    f"question {beginning(example)}: answer {answer} is out of range, it has "
                    f"{len(example['choices'])} choices (0 to {len(example['choices']) - 1})"
                )

"""Multiple-choice questions whose choices are continuations: the tokens of the question, and those of each choice."""

from __future__ import annotations

import string
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lora_ensemble.contracts import Batch, Example
from lora_ensemble.engine.losses import IGNORE
from lora_ensemble.errors import DataError
from lora_ensemble.questions.letters import Encode
from lora_ensemble.questions.prompts import BETWEEN, beginning

DELIMITER = " "
"""Between the question and a choice."""


@dataclass(frozen=True)
class Continuations:
    """What turns raw questions into batches. Tokens are split between question and choice as lm-evaluation-harness
    does: both are encoded together, and what the question alone takes is cut off."""

    template: str
    """Of a question, with {question}."""
    encode: Encode
    special: tuple[int, int]
    """How many special tokens the tokenizer adds before and behind a text; those behind are left out."""
    first: int
    """The token that stands for nothing before a text."""
    limit: int | None
    """Most tokens of a question with its longest choice; None: any number."""
    truncate: bool
    """Whether longer questions lose their beginning; otherwise they are refused."""
    vocabulary: int
    """How many tokens the model knows."""

    def collate(self, examples: Sequence[Example]) -> Batch:
        """Questions padded on the left, input_ids and attention_mask (B, T); choices padded on the right, choice_ids
        (B, K, L) with -100 where there is no token, plain_ids the same without the question, characters (B, K)."""
        pairs = [self._pair(example) for example in examples]
        longest = max(len(question) for question, _, _ in pairs)
        ids = [[self.first] * (longest - len(question)) + question for question, _, _ in pairs]
        mask = [[0] * (longest - len(question)) + [1] * len(question) for question, _, _ in pairs]
        most = max(len(example["choices"]) for example in examples)
        sizes = [[len(c) for c in e["choices"]] + [0] * (most - len(e["choices"])) for e in examples]
        batch = {
            "input_ids": torch.tensor(ids),
            "attention_mask": torch.tensor(mask),
            "choice_ids": _padded([choices for _, choices, _ in pairs], most),
            "plain_ids": _padded([plain for _, _, plain in pairs], most),
            "characters": torch.tensor(sizes),
        }
        highest = max(int(batch[name].max()) for name in ("input_ids", "choice_ids", "plain_ids"))
        if highest >= self.vocabulary:
            raise DataError(f"the tokenizer does not fit the model: token {highest} of {self.vocabulary}")
        return batch

    def answers(self, examples: Sequence[Example], labels: np.ndarray) -> Batch:
        """`collate`, with "labels" (B,) that are checked; -100 is none."""
        for example, answer in zip(examples, labels, strict=True):
            if answer != IGNORE and not 0 <= answer < len(example["choices"]):
                raise DataError(
                    f"question {beginning(example)}: answer {answer} is out of range, it has "
                    f"{len(example['choices'])} choices (0 to {len(example['choices']) - 1})"
                )
        return {**self.collate(examples), "labels": torch.as_tensor(labels)}

    def lengths(self, examples: Sequence[Example]) -> list[int]:
        """Tokens of each question with its longest choice. Raises DataError for those beyond the limit; where they lose
        their beginning, a warning counts them."""
        found, cut = [], 0
        for example in examples:
            question, choices, _ = self._pair(example)
            found.append(len(question) + max(map(len, choices)))
            cut += self._excess(*self._split(example)[:2]) > 0
        if cut:
            text = f"{cut} of {len(found)} questions are longer than {self.limit} tokens and lose their beginning"
            warnings.warn(text, stacklevel=2)
        return found

    def _pair(self, example: Example) -> tuple[list[int], list[list[int]], list[list[int]]]:
        """Tokens of the question, within the limit, of each choice after it, and of each choice after nothing."""
        question, choices, plain = self._split(example)
        excess = self._excess(question, choices)
        if excess > 0:
            begin = self.special[0]
            if not self.truncate or excess > len(question) - begin - 1:
                raise DataError(
                    f"the question {beginning(example)} has {len(question) + max(map(len, choices))} tokens with its "
                    f"longest choice, more than {self.limit}; remove it, or set backbone.truncate to 'left'"
                )
            question = question[:begin] + question[begin + excess :]
        return question, choices, plain

    def _excess(self, question: list[int], choices: list[list[int]]) -> int:
        return 0 if self.limit is None else len(question) + max(map(len, choices)) - self.limit

    def _split(self, example: Example) -> tuple[list[int], list[list[int]], list[list[int]]]:
        check_choices(example)
        before = self.before(example)
        cut = before.rstrip()  # trailing spaces belong to what follows, to most tokenizers
        texts = [before[len(cut) :] + DELIMITER + choice for choice in example["choices"]]
        question, *wholes = self._encoded([cut, *(cut + text for text in texts)])
        plain = [ids[self.special[0] :] for ids in self._encoded([DELIMITER + c for c in example["choices"]])]
        question = question or [self.first]
        choices = [ids[len(question) :] for ids in wholes]
        for choice, ids, alone in zip(example["choices"], choices, plain, strict=True):
            if not ids or not alone:
                raise DataError(f"question {beginning(example)}: choice {choice!r} has no token of its own")
        return question, choices, plain

    def _encoded(self, texts: list[str]) -> list[list[int]]:
        """Without the special tokens behind a text."""
        behind = self.special[1]
        return [ids[: len(ids) - behind] for ids in self.encode(texts)]

    def before(self, example: Example) -> str:
        """The question's text, after the questions to show first, each with its answer."""
        shots = [
            self.template.format(question=shot["question"]) + DELIMITER + shot["choices"][shot["answer"]]
            for shot in example.get("shots", ())
        ]
        return BETWEEN.join([*shots, self.template.format(question=example["question"])])


def check_choices(example: Example) -> None:
    """Raises DataError for an empty choice, and for two of the same text, which no likelihood tells apart."""
    choices = [" ".join(choice.split()) for choice in example["choices"]]
    for k, choice in enumerate(choices):
        if not choice:
            raise DataError(f"question {beginning(example)}: choice {k} is empty")
        if choice in choices[:k]:
            raise DataError(
                f"question {beginning(example)}: choices {choices.index(choice)} and {k} are both {choice!r}; as "
                "continuations they cannot be told apart (backbone.answer = 'letters' can)"
            )


def template_problems(name: str, template: str) -> list[str]:
    """What is wrong with a template, a line each."""
    try:
        fields = [field for _, field, _, _ in string.Formatter().parse(template) if field is not None]
    except ValueError as error:
        return [f"backbone.{name} = {template!r}: {error}"]
    good = fields == ["question"] and "{question}" in template
    return [] if good else [f"backbone.{name} = {template!r}: must have {{question}}, once, and no other field"]


def _padded(texts: list[list[list[int]]], most: int) -> Tensor:
    """(B, K, L), with -100 behind each choice and for choices that a question does not have."""
    longest = max(len(ids) for choices in texts for ids in choices)
    rows = [
        [ids + [IGNORE] * (longest - len(ids)) for ids in choices] + [[IGNORE] * longest] * (most - len(choices))
        for choices in texts
    ]
    return torch.tensor(rows)

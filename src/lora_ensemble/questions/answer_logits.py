"""A causal language model that answers multiple-choice questions: logits over the letters instead of the vocabulary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lora_ensemble.engine.wrapping import Wrapper

MASKED = -1e4
"""Logit of a letter that is none of the choices: its probability is 0, and entropies stay finite."""


class AnswerModel(Wrapper):
    """Calls a causal language model. With `choices` (B,), the number of choices of each question, its logits are those
    of the answer at the last position, and no other position goes through the output layer; without, they are the
    language model's own, (B, T, V).

    scores, for K letters: "letters+rest" (B, K+1), "letters" (B, K), "vocabulary" (B, V), the letters first.
    """

    letters: Tensor
    order: Tensor

    def __init__(self, plain: nn.Module, letters: Sequence[int], scores: str, vocabulary: int):
        super().__init__(plain)
        self.scores = scores
        chosen = set(letters)
        others = [token for token in range(vocabulary) if token not in chosen] if scores == "vocabulary" else []
        self.register_buffer("letters", torch.tensor(letters), persistent=False)
        self.register_buffer("order", torch.tensor([*letters, *others]), persistent=False)

    def reads(self, inputs: Mapping[str, Any]) -> int | None:
        """The last one, where questions are answered."""
        return None if inputs.get("choices") is None else -1

    def forward(self, choices: Tensor | None = None, **inputs: Any) -> Tensor:
        if choices is None:
            logits_BTV: Tensor = self.plain(**inputs, use_cache=False).logits
            return logits_BTV
        last = self.plain(**inputs, use_cache=False, logits_to_keep=1).logits[:, -1].float()
        if self.scores == "vocabulary":
            ordered: Tensor = last[:, self.order]
            return ordered
        absent = torch.arange(len(self.letters), device=last.device) >= choices[:, None]
        if self.scores == "letters":
            of_letters: Tensor = last[:, self.letters].masked_fill(absent, MASKED)
            return of_letters
        return letters_and_rest(last, self.letters, absent)


def letters_and_rest(logits: Tensor, letters: Tensor, absent: Tensor) -> Tensor:
    """Log-probabilities of the letters and of everything else, (B, K+1), of logits (B, V).

    absent: (B, K), letters that are none of the choices; they belong to everything else. The result sums to one, so
    that its cross-entropy with a letter is that of the whole vocabulary.
    """
    letters_BK = logits[:, letters]
    others_B1 = logits.index_fill(1, letters, float("-inf")).logsumexp(1, keepdim=True)
    all_B1 = torch.cat([letters_BK, others_B1], 1).logsumexp(1, keepdim=True)
    rest_B1 = torch.cat([letters_BK.masked_fill(~absent, float("-inf")), others_B1], 1).logsumexp(1, keepdim=True)
    return torch.cat([(letters_BK - all_B1).masked_fill(absent, MASKED), rest_B1 - all_B1], 1)

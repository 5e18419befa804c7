"""A causal language model that answers by the likelihood of each choice's text after the question."""

from __future__ import annotations

import inspect
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import DynamicCache

from lora_ensemble.engine.checkpointing import checkpointed
from lora_ensemble.engine.losses import IGNORE
from lora_ensemble.engine.wrapping import Wrapper
from lora_ensemble.questions.answer_logits import MASKED


class ContinuationModel(Wrapper):
    """Calls a causal language model with what `Continuations` makes of questions; without choices, its logits are the
    language model's own, (B, T, V).

    normalise: what the summed log-likelihood of a choice's tokens is taken by: none; its characters; its tokens;
    unconditional, less its log-likelihood after no question. classes: C, to which choices are filled up.
    The question runs once, and its keys and values are kept for all choices; but for gradient checkpointing, under
    which each choice runs with its question.
    """

    def __init__(self, plain: nn.Module, classes: int, normalise: str, first: int, positions: bool):
        super().__init__(plain)
        parameters = inspect.signature(plain.forward).parameters
        self.cache = "cache" if "cache" in parameters else "past_key_values"  # as newer and older transformers call it
        self.classes, self.normalise, self.first, self.positions = classes, normalise, first, positions

    def forward(
        self,
        choice_ids: Tensor | None = None,
        plain_ids: Tensor | None = None,
        characters: Tensor | None = None,
        **inputs: Any,
    ) -> Tensor:
        if choice_ids is None:
            logits_BTV: Tensor = self.plain(**inputs, use_cache=False).logits
            return logits_BTV
        assert plain_ids is not None
        assert characters is not None
        ids, mask = inputs["input_ids"], inputs["attention_mask"]
        scores_BK = self.log_likelihoods(ids, mask, choice_ids)
        if self.normalise == "characters":
            scores_BK = scores_BK / characters.clamp(min=1)
        elif self.normalise == "tokens":
            scores_BK = scores_BK / (choice_ids != IGNORE).sum(-1).clamp(min=1)
        elif self.normalise == "unconditional":
            nothing = torch.full_like(ids[:, :1], self.first)
            scores_BK = scores_BK - self.log_likelihoods(nothing, torch.ones_like(nothing), plain_ids)
        scores_BK = scores_BK.masked_fill(characters == 0, MASKED)
        return F.pad(scores_BK, (0, self.classes - scores_BK.shape[1]), value=MASKED)

    def log_likelihoods(self, ids: Tensor, mask: Tensor, choice_ids: Tensor) -> Tensor:
        """Sum over each choice's tokens of log p(token | question, tokens before), (B, K), in nats; 0 without tokens.

        ids, mask: (B, T), padded on the left; choice_ids: (B, K, L)."""
        if torch.is_grad_enabled() and checkpointed(self.plain):
            return self._one_by_one(ids, mask, choice_ids)
        B, K, L = choice_ids.shape
        cache = DynamicCache()
        kept: dict[str, Any] = {self.cache: cache, "use_cache": True}
        begun = self.plain(**self._placed(ids, mask), **kept, logits_to_keep=1)
        first_BKV = begun.logits[:, -1:].float().log_softmax(-1).expand(B, K, -1)
        total = _picked(first_BKV, choice_ids[..., 0])
        if L > 1:
            cache.batch_repeat_interleave(K)
            rest = choice_ids.flatten(0, 1)
            whole = torch.cat([mask.repeat_interleave(K, 0), (rest[:, :-1] != IGNORE).to(mask)], 1)
            placed = self._placed(rest[:, :-1].clamp(min=0), whole)
            logits = self.plain(**placed, **kept).logits.float().log_softmax(-1)
            total = total + _picked(logits, rest[:, 1:]).sum(1).view(B, K)
        return total

    def _one_by_one(self, ids: Tensor, mask: Tensor, choice_ids: Tensor) -> Tensor:
        """The same by one run of question and choice for every choice."""
        B, K, L = choice_ids.shape
        rest = choice_ids.flatten(0, 1)
        whole_ids = torch.cat([ids.repeat_interleave(K, 0), rest[:, :-1].clamp(min=0)], 1)
        whole_mask = torch.cat([mask.repeat_interleave(K, 0), (rest[:, :-1] != IGNORE).to(mask)], 1)
        output = self.plain(**self._placed(whole_ids, whole_mask), use_cache=False, logits_to_keep=L)
        return _picked(output.logits.float().log_softmax(-1), rest).sum(1).view(B, K)

    def _placed(self, ids: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """With positions counted from each text's first token, where the model takes them."""
        inputs = {"input_ids": ids, "attention_mask": mask}
        if self.positions:
            inputs["position_ids"] = (mask.cumsum(1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        return inputs


def _picked(log_probs: Tensor, tokens: Tensor) -> Tensor:
    """The log-probability (...) of each token, of log_probs (..., V); 0 where there is none."""
    found = log_probs.gather(-1, tokens.clamp(min=0)[..., None])[..., 0]
    return found.masked_fill(tokens == IGNORE, 0.0)


def negative_log_likelihood(logits: Tensor, labels: Tensor) -> Tensor:
    """The loss of plain likelihood, (M,): the mean over the rows of minus the score of the right choice."""
    labels = labels.expand(logits.shape[:2])
    kept = labels != IGNORE
    right = logits.float().gather(-1, labels.clamp(min=0)[..., None])[..., 0]
    loss: Tensor = -(right * kept).sum(1) / kept.sum(1).clamp(min=1)
    return loss

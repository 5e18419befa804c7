"""A student that learns each member's distribution from it, on the same augmented inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from lora_ensemble.contracts import Batch
from lora_ensemble.engine.ensemble import Ensemble, evaluating
from lora_ensemble.errors import ConfigurationError


class Taught(Ensemble):
    """Trains the student's head m to predict what the teacher's member m predicts: KL(teacher || student) of each
    member, plus that of the pool. Labels play no part."""

    def __init__(self, student: Ensemble, teacher: Ensemble):
        super().__init__(student.members)
        self.student = student
        self._teacher = [teacher]  # in a list: no part of what is trained and saved
        self._targets: Tensor | None = None

    def member_logits(self, members: range, inputs: dict[str, Any], shared: bool) -> Tensor:
        teacher = self._teacher[0]
        with torch.no_grad(), evaluating(teacher):
            self._targets = teacher(members=members, shared=shared, **inputs).logits
        return self.student.member_logits(members, inputs, shared)

    def _losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        assert self._targets is not None
        of_pool = divergence(pooled(self._targets), pooled(logits))
        return divergence(self._targets.float().log_softmax(-1), logits.float().log_softmax(-1)) + of_pool

    def save_pretrained(self, folder: str | Path) -> None:
        """The student alone."""
        self.student.save_pretrained(folder)

    @classmethod
    def load(cls, model: nn.Module, folder: Path, manifest: dict[str, Any]) -> Self:
        """Raises ConfigurationError: what was saved is the student."""
        raise ConfigurationError(["a student is loaded as what it is, not with its teacher"])

    def called_model(self) -> Any:
        return self.student.called_model()

    def penalty_M(self, members: range) -> Tensor | None:
        return self.student.penalty_M(members)

    def gradient_checkpointing_enable(self, gradient_checkpointing_kwargs: dict[str, Any] | None = None) -> None:
        self.student.gradient_checkpointing_enable(gradient_checkpointing_kwargs)

    def to(self, *args: Any, **kwargs: Any) -> Self:
        self._teacher[0].to(*args, **kwargs)
        return super().to(*args, **kwargs)


def divergence(log_p: Tensor, log_q: Tensor) -> Tensor:
    """Mean over the rows of KL(p || q), nats, of log-probabilities (..., B, C): (...)."""
    return (log_p.exp() * (log_p - log_q)).sum(-1).mean(-1)


def pooled(logits_MBC: Tensor) -> Tensor:
    """Log-probabilities of the mean over the members, (B, C)."""
    return logits_MBC.float().log_softmax(-1).logsumexp(0) - torch.tensor(float(len(logits_MBC))).log()


@dataclass(frozen=True)
class Mixed:
    """Half of the rows of a batch become a mixture of two, so that the teacher is asked also between its training rows
    (Beyer et al., "Knowledge distillation: A good teacher is patient and consistent", CVPR 2022). Inputs that are whole
    numbers, as tokens, stay as they are."""

    own: Callable[[Batch, torch.Generator], Batch] | None
    """The data set's own augmentation, which comes first."""

    def __call__(self, batch: Batch, generator: torch.Generator) -> Batch:
        batch = batch if self.own is None else self.own(batch, generator)
        rows = len(next(iter(batch.values())))
        device = generator.device
        share_B = torch.rand(rows, generator=generator, device=device)
        share_B = torch.where(torch.rand(rows, generator=generator, device=device) < 0.5, share_B, 1.0)
        other_B = torch.randperm(rows, generator=generator, device=device)

        def mixed(x: Tensor) -> Tensor:
            share = share_B.view(-1, *[1] * (x.ndim - 1)).to(x.dtype)
            return share * x + (1 - share) * x[other_B]

        return {name: mixed(x) if x.is_floating_point() and x.ndim >= 3 else x for name, x in batch.items()}

"""Snapshot ensemble: one network under a cyclic learning rate; its weights at the end of each cycle are the members."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from lora_ensemble.contracts import LoadedBackbone, Method

if TYPE_CHECKING:
    from lora_ensemble.engine.ensemble import Ensemble
    from lora_ensemble.training.options import Training


@dataclass(frozen=True)
class Snapshot(Method):
    """Needs training.schedule = "cyclic-cosine" with as many cycles as members (the default number of cycles)."""

    head_init: Literal["default", "gaussian", "xavier", "kaiming", "copy"] = "default"
    """Start of the head: default (torch's, redrawn), gaussian, xavier, kaiming or copy."""
    head_gain: float | None = None
    """Gain of xavier for the head. Default: 1."""
    head_std: float | None = None
    """Standard deviation of gaussian for the head. Default: 0.02."""
    head_mean: float | None = None
    """Mean of gaussian for the head. Default: 0."""

    def build(self, backbone: LoadedBackbone, seed: int) -> Ensemble:
        from lora_ensemble.engine.networks import redraw_head
        from lora_ensemble.engine.snapshot import SnapshotEnsemble

        gain, std = 1.0 if self.head_gain is None else self.head_gain, 0.02 if self.head_std is None else self.head_std
        redraw_head(backbone.model, backbone.head, seed, 0, self.head_init, gain, std, self.head_mean or 0.0)
        return SnapshotEnsemble(backbone.model, self.members)

    def training_problems(self, training: Training) -> list[str]:
        found = []
        if training.schedule != "cyclic-cosine":
            found.append(f"training.schedule = {training.schedule!r}: snapshot needs 'cyclic-cosine'")
        if training.cycles not in (None, self.members):
            found.append(f"training.cycles = {training.cycles}: must be method.members = {self.members}, a cycle each")
        return found

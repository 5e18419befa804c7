"""Snapshot ensemble: one network under a cyclic learning rate; its weights at the end of each cycle are the members."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from lora_ensemble.contracts import LoadedBackbone, Method

if TYPE_CHECKING:
    from lora_ensemble.ensemble import Ensemble


@dataclass(frozen=True)
class Snapshot(Method):
    """Needs training.schedule = "cyclic-cosine" with as many cycles as members (the default number of cycles)."""

    head_init: Literal["default", "gaussian", "xavier", "kaiming", "copy"] = "default"
    """Start of the head: default (torch's, redrawn), gaussian, xavier, kaiming or copy."""

    def build(self, backbone: LoadedBackbone, seed: int) -> Ensemble:
        from lora_ensemble.networks import redraw_head
        from lora_ensemble.snapshot import SnapshotEnsemble

        redraw_head(backbone.model, backbone.head, seed, 0, self.head_init)
        ensemble = SnapshotEnsemble(backbone.model, self.members)
        ensemble.source = backbone.source
        return ensemble

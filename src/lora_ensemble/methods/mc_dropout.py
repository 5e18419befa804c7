"""Monte Carlo dropout: one network whose dropout stays on at prediction; each of M stochastic passes is a member."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from lora_ensemble.contracts import LoadedBackbone, Method

if TYPE_CHECKING:
    from lora_ensemble.engine.ensemble import Ensemble


@dataclass(frozen=True)
class McDropout(Method):
    """All weights are trained."""

    p: float = 0.2
    """Probability of dropping."""
    dropout: Literal["dropkey", "dropout"] = "dropkey"
    """What is dropped: attention keys before the softmax (dropkey), or what the model's own dropout layers drop."""
    heads: Literal["shared", "member"] = "shared"
    """One head (shared), or one per member, each trained on a pass of its own (member), as published."""

    def build(self, backbone: LoadedBackbone, seed: int) -> Ensemble:
        from lora_ensemble.engine.dropout import DropoutEnsemble
        from lora_ensemble.engine.networks import redraw_head

        redraw_head(backbone.model, backbone.head, seed, 0)
        own = backbone.head if self.heads == "member" else None
        ensemble = DropoutEnsemble(backbone.model, self.members, p=self.p, dropout=self.dropout, member_heads=own)
        ensemble.draw_heads(seed)
        return ensemble

    def problems(self) -> list[str]:
        found = super().problems()
        if not 0 < self.p < 1:
            found.append(f"method.p = {self.p}: must be above 0 and below 1")
        return found

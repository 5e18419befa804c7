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
    head_init: Literal["gaussian", "xavier", "kaiming"] | None = None
    """Start of the heads: gaussian, xavier or kaiming. Default: torch's, redrawn."""
    head_gain: float | None = None
    """Gain of xavier for the heads. Default: 1."""
    head_std: float | None = None
    """Standard deviation of gaussian for the heads. Default: 0.02."""
    head_mean: float | None = None
    """Mean of gaussian for the heads. Default: 0."""

    def build(self, backbone: LoadedBackbone, seed: int) -> Ensemble:
        from lora_ensemble.engine.dropout import DropoutEnsemble
        from lora_ensemble.engine.initialisation import Start
        from lora_ensemble.engine.networks import redraw_head

        gain, std = 1.0 if self.head_gain is None else self.head_gain, 0.02 if self.head_std is None else self.head_std
        start = Start(self.head_init or "default", gain, std, self.head_mean or 0.0)
        redraw_head(backbone.model, backbone.head, seed, 0, start.init, start.gain, start.std, start.mean)
        own = backbone.head if self.heads == "member" else None
        ensemble = DropoutEnsemble(backbone.model, self.members, p=self.p, dropout=self.dropout, member_heads=own)
        ensemble.draw_heads(seed, start)
        return ensemble

    def problems(self) -> list[str]:
        found = super().problems()
        if not 0 < self.p < 1:
            found.append(f"method.p = {self.p}: must be above 0 and below 1")
        return found

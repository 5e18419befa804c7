"""Explicit (deep) ensemble: M whole copies of the pretrained network, each trained with a head of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from lora_ensemble.contracts import LoadedBackbone, Method

if TYPE_CHECKING:
    from lora_ensemble.engine.ensemble import Ensemble


@dataclass(frozen=True)
class Deep(Method):
    """All weights are trained; members differ by their heads, and by noise on the weights where asked."""

    first_member: int = 0
    """Index of the first member within a larger ensemble."""
    noise_scale: float = 0.0
    """Noise added to the weight matrices of the last blocks at the start, relative to their standard deviation."""
    noise_blocks: int | None = None
    """How many of the last transformer blocks get noise. Default: all."""
    head_init: Literal["default", "gaussian", "xavier", "kaiming", "copy"] = "default"
    """Start of the heads: default (torch's, redrawn per member), gaussian, xavier, kaiming or copy."""
    head_gain: float = 1.0
    """Gain of xavier for the heads."""
    head_std: float = 0.02
    """Standard deviation of gaussian for the heads."""
    head_mean: float | None = None
    """Mean of gaussian for the heads. Default: 0."""

    def build(self, backbone: LoadedBackbone, seed: int) -> Ensemble:
        import copy

        from lora_ensemble.engine.networks import NetworkEnsemble, perturb, redraw_head

        networks = []
        for m in range(self.first_member, self.first_member + self.members):
            network = copy.deepcopy(backbone.model)
            start = (self.head_init, self.head_gain, self.head_std, self.head_mean or 0.0)
            redraw_head(network, backbone.head, seed, m, *start)
            if self.noise_scale:
                perturb(network, self.noise_scale, self.noise_blocks, seed, m)
            networks.append(network)
        # One network at a time is in memory: passes cost nothing here, and the numbers are the same.
        return NetworkEnsemble(networks, first_member=self.first_member, members_per_pass=1)

    def problems(self) -> list[str]:
        found = super().problems()
        if self.noise_scale < 0:
            found.append(f"method.noise_scale = {self.noise_scale}: must not be negative")
        if self.noise_blocks is not None and self.noise_blocks < 1:
            found.append(f"method.noise_blocks = {self.noise_blocks}: must be at least 1")
        if self.first_member < 0:
            found.append(f"method.first_member = {self.first_member}: must be at least 0")
        return found

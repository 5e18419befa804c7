"""BatchEnsemble: the attention projections of one frozen network, times a rank-1 matrix per member, and heads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from lora_ensemble.contracts import LoadedBackbone, Method

if TYPE_CHECKING:
    from lora_ensemble.engine.ensemble import Ensemble


@dataclass(frozen=True)
class BatchEnsemble(Method):
    """Wen et al., ICLR 2020, over pretrained weights, which stay frozen."""

    first_member: int = 0
    """Index of the first member within a larger ensemble."""
    init_std: float = 0.1
    """Standard deviation around 1 of the two vectors of each layer, at the start."""
    target_modules: tuple[str, ...] | None = None
    """Names of the layers to adapt. Default: query, key, value and output projection of every attention layer."""
    layers_to_transform: tuple[int, ...] | None = None
    """Numbers of the blocks to adapt. Default: all. Everything below the first of them runs once for all members."""
    head_init: Literal["default", "gaussian", "xavier", "kaiming", "copy"] = "default"
    """Start of the heads: default (torch's, redrawn per member), gaussian, xavier, kaiming or copy."""

    def build(self, backbone: LoadedBackbone, seed: int) -> Ensemble:
        from lora_ensemble.engine.config import LoraEnsembleConfig
        from lora_ensemble.engine.lora import LoraEnsemble
        from lora_ensemble.methods.lora import names_of_targets

        config = LoraEnsembleConfig(
            adapter="batch-ensemble",
            members=self.members,
            first_member=self.first_member,
            init_std=self.init_std,
            target_modules=names_of_targets(backbone, self.target_modules),
            layers_to_transform=None if self.layers_to_transform is None else list(self.layers_to_transform),
            modules_to_save=[] if backbone.head is None else [backbone.head],
            head_init=self.head_init,
            also_trained=list(backbone.also_trained) or None,
            seed=seed,
        )
        return LoraEnsemble(backbone.model, config)

    def problems(self) -> list[str]:
        found = super().problems()
        if not 0 < self.init_std < float("inf"):
            found.append(f"method.init_std = {self.init_std}: must be above 0, for members to differ")
        if self.first_member < 0:
            found.append(f"method.first_member = {self.first_member}: must be at least 0")
        return found

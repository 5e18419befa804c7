"""BLoB: one LoRA network that learns a Gaussian over its low-rank factor A; the members are samples of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lora_ensemble.contracts import LoadedBackbone
from lora_ensemble.methods.lora import Lora

if TYPE_CHECKING:
    from lora_ensemble.engine.ensemble import Ensemble


@dataclass(frozen=True)
class Blob(Lora):
    """Bayesian low-rank adaptation by backpropagation, arXiv 2406.11675."""

    prior_std: float = 0.2
    """Standard deviation of the prior of each element of A."""
    kl_weight: float = 1.0
    """Weight of the divergence from the prior; 1 is the evidence lower bound."""

    def build(self, backbone: LoadedBackbone, seed: int) -> Ensemble:
        from lora_ensemble.engine.config import LoraEnsembleConfig
        from lora_ensemble.engine.posteriors.blob import Blob as Learned
        from lora_ensemble.engine.sampled import SampledEnsemble

        config = LoraEnsembleConfig(**self.config_fields(backbone), seed=seed)
        return SampledEnsemble(backbone.model, config, Learned(self.prior_std, self.kl_weight))

    def config_fields(self, backbone: LoadedBackbone) -> dict[str, Any]:
        return {**super().config_fields(backbone), "adapter": "blob"}

    def problems(self) -> list[str]:
        found = super().problems()
        if not 0 < self.prior_std < float("inf"):
            found.append(f"method.prior_std = {self.prior_std}: must be above 0")
        if not 0 <= self.kl_weight < float("inf"):
            found.append(f"method.kl_weight = {self.kl_weight}: must be a number of at least 0")
        return found

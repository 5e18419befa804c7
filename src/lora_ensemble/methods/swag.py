"""SWAG: one LoRA network; the members are drawn from a Gaussian through the weights of its last steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lora_ensemble.contracts import LoadedBackbone
from lora_ensemble.methods.lora import Lora

if TYPE_CHECKING:
    from lora_ensemble.engine.ensemble import Ensemble
    from lora_ensemble.training.options import Training


@dataclass(frozen=True)
class Swag(Lora):
    """Maddox et al., NeurIPS 2019, over updates and head. Needs training.schedule = "constant"."""

    start: float = 0.5
    """Share of the steps before the first weights are taken."""
    taken: int = 20
    """How often weights are taken, at equal distances, the last time at the end."""
    rank: int = 20
    """How many of the last deviations from the mean make the low-rank part."""
    scale: float = 1.0
    """Factor of the covariance."""

    def build(self, backbone: LoadedBackbone, seed: int) -> Ensemble:
        from lora_ensemble.engine.config import LoraEnsembleConfig
        from lora_ensemble.engine.posteriors.swag import Swag as Gaussian
        from lora_ensemble.engine.sampled import Posterior, SampledEnsemble

        config = LoraEnsembleConfig(**self.config_fields(backbone), seed=seed)
        ensemble = SampledEnsemble(backbone.model, config, Posterior())
        numbers = sum(p.numel() for _, p in ensemble.network_parameters())
        ensemble.posterior = Gaussian(numbers, self.taken, self.rank, self.start, self.scale)
        return ensemble

    def problems(self) -> list[str]:
        found = super().problems()
        if not 0 <= self.start < 1:
            found.append(f"method.start = {self.start}: must be at least 0 and below 1")
        found += [
            f"method.{name} = {value}: must be at least {least}"
            for name, value, least in (("taken", self.taken, 2), ("rank", self.rank, 2))
            if value < least
        ]
        if not 0 < self.scale < float("inf"):
            found.append(f"method.scale = {self.scale}: must be above 0")
        return found

    def training_problems(self, training: Training) -> list[str]:
        found = super().training_problems(training)
        if training.schedule != "constant":
            found.append(f"training.schedule = {training.schedule!r}: swag needs weights that move, 'constant'")
        if training.early_stopping is not None:
            found.append("training.early_stopping: swag takes weights until the last step, which must come")
        return found

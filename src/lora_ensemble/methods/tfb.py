"""TFB: one LoRA network; the members get as much low-rank noise as its loss tolerates, without further training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from lora_ensemble.contracts import LoadedBackbone
from lora_ensemble.methods.lora import Lora

if TYPE_CHECKING:
    from lora_ensemble.engine.ensemble import Ensemble


@dataclass(frozen=True)
class Tfb(Lora):
    """Training-free Bayesianisation, arXiv 2412.05723."""

    tolerance: float = 0.01
    """By which share of itself the loss of the members' mean may change."""
    split: Literal["validation", "train"] = "validation"
    """Where that is looked at."""
    batches: int = 32
    """On how many batches of it, the first ones."""
    halvings: int = 10
    """Of the interval in which the deviation of the noise is looked for."""

    @property
    def splits_read(self) -> tuple[str, ...]:
        return () if self.split == "train" else (self.split,)

    def build(self, backbone: LoadedBackbone, seed: int) -> Ensemble:
        from lora_ensemble.engine.config import LoraEnsembleConfig
        from lora_ensemble.engine.posteriors.tfb import Tfb as Noise
        from lora_ensemble.engine.sampled import SampledEnsemble

        config = LoraEnsembleConfig(**self.config_fields(backbone), seed=seed)
        noise = Noise(self.tolerance, self.halvings, self.split, self.batches)
        return SampledEnsemble(backbone.model, config, noise)

    def problems(self) -> list[str]:
        found = super().problems()
        if not 0 < self.tolerance < float("inf"):
            found.append(f"method.tolerance = {self.tolerance}: must be above 0")
        found += [
            f"method.{name} = {value}: must be at least 1"
            for name, value in (("batches", self.batches), ("halvings", self.halvings))
            if value < 1
        ]
        if self.first_member:
            found.append(f"method.first_member = {self.first_member}: tfb's noise depends on all members together")
        return found

"""Hydra: one network with a LoRA update and M heads, at the price of one; what `distill` makes of an ensemble."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lora_ensemble.contracts import LoadedBackbone, Method
from lora_ensemble.methods.lora import Lora

if TYPE_CHECKING:
    from lora_ensemble.engine.ensemble import Ensemble


@dataclass(frozen=True)
class Hydra(Method):
    """Fields as in lora; there is one update, whatever the number of members."""

    r: int = 8
    """Rank of the update."""
    lora_dropout: float = 0.0
    """Dropout before A, in training."""
    target_modules: tuple[str, ...] | None = None
    """Names of the layers to adapt. Default: query, key, value and output projection of every attention layer."""
    last: int | None = None
    """Adapt the last so many blocks. Default: all."""

    def build(self, backbone: LoadedBackbone, seed: int) -> Ensemble:
        from lora_ensemble.engine.config import LoraEnsembleConfig
        from lora_ensemble.engine.hydra import HydraEnsemble
        from lora_ensemble.errors import ConfigurationError

        if backbone.head is None:
            raise ConfigurationError(["method hydra: this backbone has no head; it answers with its output layer"])
        config = LoraEnsembleConfig(**self._body.config_fields(backbone), seed=seed)
        return HydraEnsemble(backbone.model, self.members, backbone.head, config)

    @property
    def _body(self) -> Lora:
        """One member of a LoRA ensemble."""
        given = {"lora_dropout": self.lora_dropout, "target_modules": self.target_modules, "last": self.last}
        return Lora(members=1, r=self.r, **given)  # type: ignore[arg-type]

    def problems(self) -> list[str]:
        return [*super().problems(), *self._body.problems()]

"""Laplace: one LoRA network; the members are samples of its last layer from a Gaussian by the curvature of the loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from lora_ensemble.contracts import LoadedBackbone
from lora_ensemble.errors import ConfigurationError
from lora_ensemble.methods.lora import Lora

if TYPE_CHECKING:
    from lora_ensemble.engine.ensemble import Ensemble


@dataclass(frozen=True)
class Laplace(Lora):
    """The last-layer Laplace approximation, Daxberger et al., NeurIPS 2021."""

    hessian: Literal["auto", "full", "kronecker"] = "auto"
    """The whole Hessian of the last layer, or its Kronecker approximation; auto: full up to 2000 weights."""
    prior_precision: float | None = None
    """Of the weights of the last layer, around 0. Default: chosen as `precision_by` says."""
    precision_by: Literal["validation", "marginal-likelihood"] = "validation"
    """The lowest NLL of the members on the validation split, or the largest marginal likelihood on the training split,
    which of few members with few rows makes noise."""

    @property
    def splits_read(self) -> tuple[str, ...]:
        by_rows = self.prior_precision is None and self.precision_by == "validation"
        return ("validation",) if by_rows else ()

    def build(self, backbone: LoadedBackbone, seed: int) -> Ensemble:
        from lora_ensemble.engine.config import LoraEnsembleConfig
        from lora_ensemble.engine.posteriors.laplace import Laplace as Gaussian
        from lora_ensemble.engine.posteriors.laplace import last_layer
        from lora_ensemble.engine.sampled import SampledEnsemble

        if backbone.head is None:
            raise ConfigurationError(
                ["method laplace: this backbone has no head whose weights could be sampled; take blob, tfb or swag"]
            )
        config = LoraEnsembleConfig(**self.config_fields(backbone), seed=seed)
        posterior = Gaussian(self.hessian, self.prior_precision, self.precision_by)
        ensemble = SampledEnsemble(backbone.model, config, posterior)
        last_layer(ensemble)
        return ensemble

    def problems(self) -> list[str]:
        found = super().problems()
        if self.prior_precision is not None and not 0 < self.prior_precision < float("inf"):
            found.append(f"method.prior_precision = {self.prior_precision}: must be above 0")
        return found

"""BLoB: the Gaussian over A that its layers learned by backpropagation; see `layers.blob`."""

from __future__ import annotations

import torch
from torch import Tensor

from lora_ensemble.engine.hooks import Rows
from lora_ensemble.engine.initialisation import member_generator
from lora_ensemble.engine.layers.blob import BlobLinear
from lora_ensemble.engine.lora import LoraEnsemble
from lora_ensemble.engine.sampled import Posterior


class Blob(Posterior):
    """The loss is the evidence lower bound, per example: the mean NLL of a sample, and kl_weight / N times the KL of
    all layers from the prior N(0, prior_std^2)."""

    def __init__(self, prior_std: float, kl_weight: float):
        super().__init__()
        self.prior_std, self.kl_weight = prior_std, kl_weight
        self.rows: int | None = None

    def begin(self, ensemble: LoraEnsemble, rows: int, steps: int) -> None:
        self.rows = rows

    def penalty_M(self, ensemble: LoraEnsemble, members: range) -> Tensor | None:
        if self.rows is None or not self.kl_weight or not ensemble.training:
            return None
        with torch.autocast(next(ensemble.parameters()).device.type, enabled=False):
            parts = [layer.divergence_M(members, self.prior_std) for _, layer in _layers(ensemble)]
            return self.kl_weight / self.rows * torch.stack(parts).sum(0)

    def draw(self, ensemble: LoraEnsemble, rows: Rows) -> None:
        c = ensemble.config
        for path, layer in _layers(ensemble):
            for m in range(ensemble.members):
                generator = member_generator(c.seed, c.first_member + m, f"blob/{path}")
                layer.sample(m, torch.randn(layer.lora_A.shape[1:], generator=generator).to(layer.lora_A))
            layer.lora_G = None
        c.adapter = "lora"  # which is what the samples are


def _layers(ensemble: LoraEnsemble) -> list[tuple[str, BlobLinear]]:
    return [(path, layer) for path, layer in ensemble.adapters() if isinstance(layer, BlobLinear)]

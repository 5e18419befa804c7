"""What members learned, in the weights: how alike their updates are, and how new against the pretrained weight."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lora_ensemble.engine.ensemble import Ensemble
from lora_ensemble.engine.layers.adapter import AdapterLayer
from lora_ensemble.errors import UserError

TOP, THRESHOLD = 10, 0.5


@dataclass(frozen=True)
class LayerUpdates:
    """Of one adapted layer with the weights W0 + D_m of M members."""

    name: str
    """Path in the backbone."""
    norm_M: tuple[float, ...]
    """||D_m|| / ||W0||, Frobenius norms."""
    cosine_MM: tuple[tuple[float, ...], ...]
    """-1 .. 1: cosine of two members' updates as vectors; NaN for an update of 0."""
    new_M: tuple[float, ...]
    """0 .. 1: the largest cosine of the first left singular vector of D_m with one of W0's: 1 where the update
    strengthens a direction that W0 has, near 0 for one that is new. NaN for an update of 0."""
    intruders_M: tuple[int, ...]
    """How many of the first singular vectors of W0 + D_m resemble none of W0's."""


def updates_of(ensemble: Ensemble, top: int = TOP, threshold: float = THRESHOLD) -> list[LayerUpdates]:
    """Of every adapted layer, in the order of the network.

    top, threshold: an intruder dimension is one of the first `top` left singular vectors of a member's weight whose
    cosine with every left singular vector of the pretrained weight is below `threshold` in absolute value (Shuttleworth
    et al. 2024, "LoRA vs Full Fine-tuning: An Illusion of Equivalence", algorithm 1). Raises UserError for an ensemble
    without adapted layers."""
    layers = [(name, module) for name, module in ensemble.named_modules() if isinstance(module, AdapterLayer)]
    if not layers:
        raise UserError(f"an ensemble of kind {ensemble.kind!r} has no adapted layers: there are no updates to compare")
    prefix = "model."
    return [_of_layer(name.removeprefix(prefix), layer, top, threshold) for name, layer in layers]


@torch.no_grad()
def _of_layer(name: str, layer: AdapterLayer, top: int, threshold: float) -> LayerUpdates:
    W0 = layer.base_weight().detach().float().cpu()
    weights = [layer.merged_weight(m, layer.base_weight()).detach().float().cpu() for m in range(layer.members)]
    updates_MOI = torch.stack([weight - W0 for weight in weights])
    flat_MD = updates_MOI.flatten(1).double()
    norms_M = flat_MD.norm(dim=1)
    scale_MM = norms_M[:, None] * norms_M
    cosine_MM = torch.where(scale_MM > 0, flat_MD @ flat_MD.T / scale_MM, torch.nan)
    base_OK = left_singular_vectors(W0)
    new, intruders = [], []
    for weight, update, norm in zip(weights, updates_MOI, norms_M.tolist(), strict=True):
        new.append(float((base_OK.T @ left_singular_vectors(update)[:, 0]).abs().max()) if norm else torch.nan)
        nearest_K = (base_OK.T @ left_singular_vectors(weight)[:, :top]).abs().amax(0)
        intruders.append(int((nearest_K < threshold).sum()))
    relative_M = (norms_M / W0.double().norm()).tolist()
    return LayerUpdates(name, tuple(relative_M), tuple(map(tuple, cosine_MM.tolist())), tuple(new), tuple(intruders))


def left_singular_vectors(weight: Tensor) -> Tensor:
    """(out, K) of a matrix (out, in), the largest singular value first."""
    vectors: Tensor = torch.linalg.svd(weight.double(), full_matrices=False).U
    return vectors

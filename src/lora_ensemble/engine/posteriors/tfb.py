"""TFB: training-free Bayesianisation of a trained adapter, as much noise as a loss tolerates.

Source: Shi et al., "Training-Free Bayesianization for Low-Rank Adapters of Large Language Models", arXiv 2412.05723.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from lora_ensemble.engine.hooks import Rows
from lora_ensemble.engine.initialisation import member_generator
from lora_ensemble.engine.layers.lora import MemberLinear
from lora_ensemble.engine.lora import LoraEnsemble
from lora_ensemble.engine.losses import IGNORE
from lora_ensemble.engine.sampled import Posterior
from lora_ensemble.engine.tasks import ROWS, aligned

LEAST, MOST = 2.0**-16, 2.0**4
"""Between these the deviation is looked for."""


class Tfb(Posterior):
    """With the thin singular value decomposition B = U diag(d) V^T, an update B A is B' A' for B' = U diag(d) and
    A' = V^T A. The noise of A' has the deviation sigma / d_i in row i, so that the update's is sigma U E: isotropic
    within the low-rank space. sigma is the largest for which the loss of the members' mean rises by at most `tolerance`
    times itself on `batches` batches of a split."""

    def __init__(self, tolerance: float, halvings: int, split: str, batches: int):
        super().__init__()
        self.tolerance, self.halvings, self.split, self.batches = tolerance, halvings, split, batches
        self.sigma = 0.0

    def draw(self, ensemble: LoraEnsemble, rows: Rows) -> None:
        layers = [(p, layer) for p, layer in ensemble.adapters() if isinstance(layer, MemberLinear)]
        parts = [decomposed(layer) for _, layer in layers]
        reference = self._loss(ensemble, rows, range(1))

        def use(sigma: float) -> None:
            for (path, layer), (A, B, d) in zip(layers, parts, strict=True):
                disturb(ensemble, path, layer, A, B, d, sigma)

        def tolerated(sigma: float) -> bool:
            use(sigma)
            return abs(self._loss(ensemble, rows, range(ensemble.members)) - reference) <= self.tolerance * reference

        self.sigma = largest(tolerated, self.halvings)
        if self.sigma in (LEAST, MOST):
            which = "smallest" if self.sigma == LEAST else "largest"
            warnings.warn(f"tfb: the {which} deviation that was tried, {self.sigma:.3g}, was taken", stacklevel=2)
        use(self.sigma)

    def _loss(self, ensemble: LoraEnsemble, rows: Rows, members: range) -> float:
        """Mean NLL of the members' mean probability, in nats."""
        total, count = 0.0, 0
        for inputs, labels in itertools.islice(rows(self.split), self.batches):
            logits = ensemble(members=members, **inputs).logits
            task = ROWS if logits.ndim == 3 else ensemble.task
            logits, labels = aligned(logits, labels, task)
            kept = labels[0] != IGNORE
            logs = logits[:, kept].double().log_softmax(-1).logsumexp(0) - math.log(len(logits))
            total -= float(logs.gather(1, labels[0, kept, None]).sum())
            count += int(kept.sum())
        return total / max(count, 1)


def decomposed(layer: MemberLinear) -> tuple[Tensor, Tensor, Tensor]:
    """A' (S, R, in), B' (S, out / S, R) and d (S, R) of the first member, for each of the S parts of a layer."""
    A = layer.lora_A.detach()[0].unflatten(0, (layer.splits, layer.r))
    B = layer.lora_B.detach()[0].unflatten(0, (layer.splits, -1))
    U, d, Vh = torch.linalg.svd(B, full_matrices=False)
    if (lacking := layer.r - d.shape[-1]) > 0:  # fewer outputs than the rank
        U, d = torch.nn.functional.pad(U, (0, lacking)), torch.nn.functional.pad(d, (0, lacking))
        Vh = torch.nn.functional.pad(Vh, (0, 0, 0, lacking))
    return Vh @ A, U * d[:, None], d


def disturb(
    ensemble: LoraEnsemble, path: str, layer: MemberLinear, A: Tensor, B: Tensor, d: Tensor, sigma: float
) -> None:
    """Every member of a layer anew, with noise of deviation sigma; directions that B does not have get none."""
    c = ensemble.config
    known = d > 1e-6 * d.max().clamp(min=torch.finfo(d.dtype).tiny)
    deviation = torch.where(known, sigma / d.where(known, 1), 0)
    layer.lora_B.data.copy_(B.flatten(0, 1).expand_as(layer.lora_B))
    for m in range(ensemble.members):
        generator = member_generator(c.seed, c.first_member + m, f"tfb/{path}")
        noise = torch.randn(A.shape, generator=generator).to(A)
        layer.lora_A.data[m].copy_((A + deviation[..., None] * noise).flatten(0, 1))


def largest(tolerated: Callable[[float], bool], halvings: int) -> float:
    """The largest tolerated value that bisection of its logarithm finds between LEAST and MOST; LEAST where none is."""
    if tolerated(MOST):
        return MOST
    low, high = math.log(LEAST), math.log(MOST)
    for _ in range(halvings):
        middle = (low + high) / 2
        low, high = (middle, high) if tolerated(math.exp(middle)) else (low, middle)
    return LEAST if low == math.log(LEAST) else math.exp(low)

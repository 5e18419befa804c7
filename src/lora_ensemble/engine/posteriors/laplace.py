"""The Laplace approximation of the last layer, in closed form: full, or as a Kronecker product.

Source: Daxberger et al., "Laplace Redux - Effortless Bayesian Deep Learning", NeurIPS 2021. Of a linear layer under a
cross-entropy the generalised Gauss-Newton matrix is the Hessian, and the linearised network is the network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from lora_ensemble.engine.hooks import Rows
from lora_ensemble.engine.initialisation import member_generator
from lora_ensemble.engine.layers.heads import MemberHead
from lora_ensemble.engine.lora import LoraEnsemble
from lora_ensemble.engine.losses import IGNORE
from lora_ensemble.engine.sampled import Posterior
from lora_ensemble.errors import ConfigurationError

FULL = 2000
"""Up to so many weights of the last layer, "auto" is the full matrix."""


class Laplace(Posterior):
    """N(W, (H + delta I)^-1): W (C, D+1) the last layer with its bias, H the Hessian of the summed NLL of the training
    split. delta: the precision of the prior; None: the one with the lowest NLL of the members on the validation split
    (by "validation"), or with the largest marginal likelihood."""

    def __init__(self, hessian: str, prior_precision: float | None, by: str = "marginal-likelihood"):
        super().__init__()
        self.hessian, self.prior_precision, self.by = hessian, prior_precision, by

    def draw(self, ensemble: LoraEnsemble, rows: Rows) -> None:
        head, c = last_layer(ensemble), ensemble.config
        W = head.weight.detach()[0].double()
        if head.bias is not None:
            W = torch.cat([W, head.bias.detach()[0, :, None].double()], 1)
        full = self.hessian == "full" or (self.hessian == "auto" and W.numel() <= FULL)
        C, D = W.shape
        curvature: Curvature = FullCurvature(C, D, W.device) if full else KroneckerCurvature(C, D, W.device)
        for features, logits, _ in features_of(ensemble, head, rows("train")):
            curvature.add(features, logits)
        values, root = curvature.solved()
        generators = [member_generator(c.seed, c.first_member + m, "laplace") for m in range(ensemble.members)]
        noise = [torch.randn(values.shape, generator=g, dtype=torch.float64).to(W.device) for g in generators]

        def samples(delta: float) -> Tensor:
            """(M, C, D+1)."""
            return torch.stack([W + root(z * (values + delta).rsqrt()) for z in noise])

        if self.prior_precision is not None:
            delta = self.prior_precision
        elif self.by == "validation":
            delta = precision_by_rows(samples, list(features_of(ensemble, head, rows("validation"))))
        else:
            delta = best_precision(values, W)
        drawn = samples(delta).to(head.weight.dtype)
        head.weight.data.copy_(drawn[..., : head.weight.shape[-1]])
        if head.bias is not None:
            head.bias.data.copy_(drawn[..., -1])


class Curvature(Protocol):
    """The Hessian of a last layer (C, D), summed over rows."""

    def add(self, f_ND: Tensor, logits_NC: Tensor) -> None: ...

    def solved(self) -> tuple[Tensor, Callable[[Tensor], Tensor]]: ...


class FullCurvature:
    """H = sum_n (diag(p_n) - p_n p_n^T) x (f_n f_n^T), (C (D+1), C (D+1))."""

    def __init__(self, C: int, D: int, device: torch.device):
        self.H = torch.zeros(C * D, C * D, dtype=torch.float64, device=device)
        self.shape = C, D

    def add(self, f_ND: Tensor, logits_NC: Tensor) -> None:
        """The rows of a batch."""
        p = logits_NC.softmax(-1)
        scatter = torch.einsum("nc,ni,nj->cij", p, f_ND, f_ND)
        both = (p[:, :, None] * f_ND[:, None]).flatten(1)
        self.H += torch.block_diag(*scatter) - both.T @ both

    def solved(self) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """Eigenvalues, and from coordinates along the eigenvectors to weights (C, D)."""
        values, vectors = torch.linalg.eigh(self.H)
        return values.clamp(min=0), lambda z: (vectors @ z).view(self.shape)


class KroneckerCurvature:
    """H ~ B x A for A = sum_n f_n f_n^T and B the mean of diag(p_n) - p_n p_n^T (K-FAC, the bias is a feature)."""

    def __init__(self, C: int, D: int, device: torch.device):
        self.A = torch.zeros(D, D, dtype=torch.float64, device=device)
        self.B = torch.zeros(C, C, dtype=torch.float64, device=device)
        self.rows = 0

    def add(self, f_ND: Tensor, logits_NC: Tensor) -> None:
        """The rows of a batch."""
        p = logits_NC.softmax(-1)
        self.A += f_ND.T @ f_ND
        self.B += torch.diag(p.sum(0)) - p.T @ p
        self.rows += len(p)

    def solved(self) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """As for the full one; eigenvalues (C, D)."""
        a, U = torch.linalg.eigh(self.A)
        b, V = torch.linalg.eigh(self.B / max(self.rows, 1))
        return torch.outer(b.clamp(min=0), a.clamp(min=0)), lambda z: V @ z @ U.T


def best_precision(values: Tensor, W: Tensor) -> float:
    """The precision of the prior N(0, I / delta) with the largest marginal likelihood, between 1e-6 and 1e6: with the
    largest P log delta - delta ||W||^2 - sum log(values + delta), which is twice its logarithm but for a constant."""
    from scipy.optimize import minimize_scalar

    known, squared = values.flatten().cpu().numpy(), float(W.square().sum())

    def loss(log_delta: float) -> float:
        delta = np.exp(log_delta)
        return float(delta * squared + np.log(known + delta).sum() - known.size * log_delta)

    found = minimize_scalar(loss, bounds=(np.log(1e-6), np.log(1e6)), method="bounded")
    return float(np.exp(found.x))


def precision_by_rows(samples: Callable[[float], Tensor], rows: list[tuple[Tensor, Tensor, Tensor]]) -> float:
    """The precision whose samples (M, C, D+1) have the lowest NLL of their mean probability, of 25 from 1e-4 to 1e8."""

    def loss(delta: float) -> float:
        drawn, total = samples(delta), 0.0
        for f, _, labels in rows:
            logs = torch.einsum("nd,mcd->mnc", f, drawn).log_softmax(-1).logsumexp(0)
            total -= float(logs.gather(1, labels[:, None]).sum())
        return total

    grid: list[float] = [10.0 ** (i / 2) for i in range(-8, 17)]
    return min(grid, key=loss)


def last_layer(ensemble: LoraEnsemble) -> MemberHead:
    """The linear layer whose outputs are the logits. Raises ConfigurationError where there is none."""
    layers = [layer for name, layer in ensemble.member_layers() if name not in ensemble.targets]
    linears = [layer for layer in layers if isinstance(layer, MemberHead)]
    if len(ensemble.heads) != 1 or not linears:
        raise ConfigurationError([f"method laplace: needs one head that ends in a linear layer, got {ensemble.heads}"])
    return linears[-1]


def features_of(
    ensemble: LoraEnsemble, head: MemberHead, batches: Iterator[tuple[dict[str, Any], Tensor]]
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Of each batch the inputs of the last layer and a 1 for its bias, (N, D+1), logits (N, C), and labels (N,).

    A head that is applied to every token answers with one of them: the one whose output is the logits."""
    seen: list[tuple[Tensor, Tensor]] = []
    hook = head.register_forward_hook(lambda module, args, output: seen.append((args[0], output)))
    try:
        for inputs, labels in batches:
            seen.clear()
            logits = ensemble(members=range(1), **inputs).logits[0]
            f, own = seen[-1]
            if f.ndim == 3:
                at = (own - logits[:, None]).abs().amax(-1).argmin(1)
                here = torch.arange(len(f), device=f.device)
                f, own = f[here, at], own[here, at]
            if f.ndim != 2 or own.shape != logits.shape or not torch.allclose(own, logits, rtol=1e-3, atol=1e-3):
                raise ConfigurationError(["method laplace: what the last linear layer gives are not the logits"])
            kept = labels != IGNORE
            f = f[kept].double()
            ones = torch.ones_like(f[:, :1])
            yield f if head.bias is None else torch.cat([f, ones], 1), logits[kept].double(), labels[kept]
    finally:
        hook.remove()

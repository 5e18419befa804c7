"""What members are sampled from: each posterior against its formula, written out slowly or by another library."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lora_ensemble.engine.config import LoraEnsembleConfig
from lora_ensemble.engine.initialisation import member_generator
from lora_ensemble.engine.layers.blob import BlobLinear
from lora_ensemble.engine.lora import LoraEnsemble
from lora_ensemble.engine.posteriors.blob import Blob
from lora_ensemble.engine.posteriors.laplace import FullCurvature, KroneckerCurvature, Laplace, best_precision
from lora_ensemble.engine.posteriors.swag import Swag
from lora_ensemble.engine.posteriors.tfb import Tfb
from lora_ensemble.engine.repulsion import log_density
from lora_ensemble.engine.sampled import Posterior, SampledEnsemble
from tiny_models import TINY
from tolerance import close

ROWS = 6


def make(posterior: Posterior, members: int = 3, name: str = "vit", **fields) -> SampledEnsemble:
    """With a B that is not zero, as after a training."""
    ensemble = SampledEnsemble(TINY[name].build(), LoraEnsembleConfig(members=members, r=2, **fields), posterior)
    torch.manual_seed(1)
    with torch.no_grad():
        for _, layer in ensemble.adapters():
            layer.lora_B.normal_(std=0.3)
    return ensemble.eval()


def rows(split: str):
    return iter([TINY["vit"].batch(ROWS, seed=3)])


# SWAG -----------------------------------------------------------------------------------------------------------------


def test_swag_is_the_gaussian_of_the_paper() -> None:
    path = np.random.default_rng(0).normal(size=(7, 4))
    swag = Swag(4, taken=7, rank=3, start=0.0, scale=0.7)
    for weights in path:
        swag.take(torch.tensor(weights, dtype=torch.float32))
    mean, diagonal = path.mean(0), path.var(0)
    deviations = np.array([path[i] - path[: i + 1].mean(0) for i in (4, 5, 6)])
    close(swag.mean, mean)
    basis = [swag.sample(*zs) - swag.mean for zs in _unit_vectors(4, 3)]
    covariance = sum(torch.outer(b, b) for b in basis)
    close(covariance, 0.7 * (np.diag(diagonal) / 2 + deviations.T @ deviations / (2 * (3 - 1))))


def _unit_vectors(n: int, k: int) -> list[tuple[Tensor, Tensor]]:
    """A sample is linear in its noise, so that these show all of its covariance."""
    return [(e[:n], e[n:]) for e in torch.eye(n + k)]


def test_swag_takes_its_points_at_equal_distances_to_the_end() -> None:
    swag = Swag(1, taken=4, rank=2, start=0.5, scale=1.0)
    assert sorted(swag.moments(20)) == [12, 15, 17, 20]
    with pytest.raises(Exception, match=r"method.taken = 4: there are only 3 of 6 steps after method.start = 0.5"):
        swag.begin(None, rows=1, steps=6)


# TFB ------------------------------------------------------------------------------------------------------------------


@torch.no_grad()
def test_tfb_is_isotropic_noise_within_the_space_of_b_and_keeps_the_loss() -> None:
    tfb = Tfb(tolerance=0.05, halvings=12, split="train", batches=9)
    ensemble = make(tfb)
    inputs, labels = TINY["vit"].batch(ROWS, seed=3)
    reference = F.cross_entropy(ensemble(**inputs).logits[0], labels)
    before = {path: (layer.lora_A[0].clone(), layer.lora_B[0].clone()) for path, layer in ensemble.adapters()}
    ensemble.conclude(rows)
    loss = F.nll_loss(ensemble(**inputs).logits.softmax(-1).mean(0).log(), labels)
    assert abs(loss - reference) <= 0.05 * reference * 1.001
    for path, layer in ensemble.adapters():
        A, B = before[path]
        U, d, V = torch.svd(B)  # as the authors' code has it
        for m in range(3):
            E = torch.randn(2, A.shape[1], generator=member_generator(0, m, f"tfb/{path}"))
            expected = (U @ torch.diag(d)) @ (V.T @ A + tfb.sigma / d[:, None] * _like_ours(E, U, B))
            close(layer.lora_B[m] @ layer.lora_A[m], expected, depth=256)
    assert 2**-15 < tfb.sigma < 2**3


def _like_ours(E: Tensor, U: Tensor, B: Tensor) -> Tensor:
    """A singular vector's sign is free; noise goes with it."""
    ours = torch.linalg.svd(B, full_matrices=False)[0]
    return E * (U * ours).sum(0).sign()[:, None]


# BLoB -----------------------------------------------------------------------------------------------------------------


def test_blob_is_penalised_by_the_divergence_from_its_prior() -> None:
    ensemble = make(Blob(prior_std=0.3, kl_weight=2.0), adapter="blob").train()
    ensemble.begin(rows=50, steps=1)
    total = 0.0
    for _, layer in ensemble.adapters():
        q = torch.distributions.Normal(layer.lora_A, layer.lora_G**2)
        total += torch.distributions.kl_divergence(q, torch.distributions.Normal(0, 0.3)).sum()
    close(ensemble.penalty_M(range(1)), 2.0 * total[None] / 50, depth=64)
    inputs, labels = TINY["vit"].batch(ROWS)
    output = ensemble(labels=labels, **inputs)
    close(output.loss - output.member_losses.sum(), 2.0 * total / 50, scale=output.loss.item())


def test_blob_draws_one_a_per_pass_with_signs_per_token() -> None:
    layer = make(Blob(0.2, 1.0), adapter="blob").train().adapters()[0][1]
    assert isinstance(layer, BlobLinear)
    x = torch.randn(2, 3, layer.lora_A.shape[-1])
    base = layer.eval()(x)
    torch.manual_seed(5)
    noisy = layer.train()(x)
    torch.manual_seed(5)
    r = torch.randint(2, (6, x.shape[-1])).mul(2).sub(1)
    E = torch.randn(layer.lora_A.shape[1:])
    s = torch.randint(2, (6, 2)).mul(2).sub(1)
    for n, token in enumerate(x.flatten(0, 1)):
        A = layer.lora_A[0] + torch.diag(s[n].float()) @ (layer.lora_G[0] ** 2 * E) @ torch.diag(r[n].float())
        expected = layer.base_layer(token) + layer.scale * layer.lora_B[0] @ (A @ token)
        close(noisy.flatten(0, 1)[n], expected)
    assert not torch.equal(noisy, base)


@torch.no_grad()
def test_blob_members_are_samples_of_a_over_one_b() -> None:
    ensemble = make(Blob(0.2, 1.0), members=200, adapter="blob")
    layer = ensemble.adapters()[0][1]
    mean, deviation = layer.lora_A[0].clone(), layer.lora_G[0].square()
    ensemble.conclude(rows)
    z = (layer.lora_A - mean) / deviation
    n = z.numel()
    assert abs(z.mean()) < 5 / n**0.5
    assert abs(z.var() - 1) < 5 * (2 / n) ** 0.5
    assert (layer.lora_B == layer.lora_B[:1]).all()
    assert layer.lora_G is None
    assert ensemble.config.adapter == "lora"


# Laplace --------------------------------------------------------------------------------------------------------------


def _data(N: int = 9, D: int = 3, C: int = 4) -> tuple[Tensor, Tensor, Tensor]:
    g = torch.Generator().manual_seed(0)
    f = torch.cat([torch.randn(N, D, generator=g, dtype=torch.float64), torch.ones(N, 1, dtype=torch.float64)], 1)
    return f, torch.randn(C, D + 1, generator=g, dtype=torch.float64), torch.randint(C, (N,), generator=g)


def test_the_full_curvature_is_the_hessian_that_autograd_gives() -> None:
    f, W, labels = _data()
    curvature = FullCurvature(4, 4, torch.device("cpu"))
    for part in (slice(0, 5), slice(5, 9)):
        curvature.add(f[part], f[part] @ W.T)

    def loss(W: Tensor) -> Tensor:
        return F.cross_entropy(f @ W.T, labels, reduction="sum")

    hessian = torch.autograd.functional.hessian(loss, W).reshape(16, 16)
    close(curvature.H, hessian)
    values, root = curvature.solved()
    columns = torch.stack([root(e * (values + 0.5).rsqrt()).flatten() for e in torch.eye(16, dtype=torch.float64)], 1)
    close(columns @ columns.T, torch.linalg.inv(hessian + 0.5 * torch.eye(16)), depth=256)


def test_the_kronecker_curvature_of_one_row_is_the_full_one() -> None:
    f, W, _ = _data(N=1)
    full, kronecker = (kind(4, 4, torch.device("cpu")) for kind in (FullCurvature, KroneckerCurvature))
    for curvature in (full, kronecker):
        curvature.add(f, f @ W.T)
    close(torch.kron(kronecker.B, kronecker.A), full.H)
    values, root = kronecker.solved()
    assert values.shape == (4, 4)
    z = torch.eye(16, dtype=torch.float64).view(16, 4, 4)
    columns = torch.stack([root(e * (values + 0.5).rsqrt()).flatten() for e in z], 1)
    close(columns @ columns.T, torch.linalg.inv(full.H + 0.5 * torch.eye(16)), depth=256)


def test_the_precision_of_the_prior_has_the_largest_marginal_likelihood() -> None:
    values, W = torch.tensor([0.1, 1.0, 30.0, 5.0], dtype=torch.float64), torch.tensor([0.3, -1.0, 2.0, 0.1]).double()

    def likelihood(delta: float) -> float:
        return float(4 * math.log(delta) - delta * W.square().sum() - (values + delta).log().sum())

    found = best_precision(values, W)
    assert all(likelihood(found) >= likelihood(found * factor) - 1e-9 for factor in (0.5, 0.99, 1.01, 2.0))


def test_laplace_is_what_laplace_torch_says() -> None:
    """Hessian and log marginal likelihood of laplace-torch 0.3 (`scripts/make_laplace_reference.py`)."""
    path = Path(__file__).with_name("laplace_reference.json")
    told = {name: torch.tensor(value, dtype=torch.float64) for name, value in json.loads(path.read_text()).items()}
    f = torch.cat([told["features"], torch.ones(len(told["features"]), 1, dtype=torch.float64)], 1)
    W = torch.cat([told["weight"], told["bias"][:, None]], 1)
    curvature = FullCurvature(*W.shape, torch.device("cpu"))
    curvature.add(f, f @ W.T)
    C, D = told["weight"].shape
    ours = torch.arange(C * (D + 1)).view(C, D + 1)
    order = torch.cat([ours[:, :D].flatten(), ours[:, D]])  # there all weights come first, then all biases
    close(curvature.H[order][:, order], told["hessian"], dtype=torch.float32)
    assert best_precision(curvature.solved()[0], W) == pytest.approx(float(told["best_precision"]), rel=0.02)


@torch.no_grad()
@pytest.mark.parametrize("name", ["vit", "roberta", "llama-classifier"])
@pytest.mark.parametrize("hessian", ["full", "kronecker"])
def test_laplace_samples_heads_alone(name: str, hessian: str) -> None:
    """Many sampled heads have the trained one as their mean; the updates below stay."""
    ensemble = make(Laplace(hessian, prior_precision=1.0), members=300, name=name)
    head = [layer for path, layer in ensemble.member_layers() if path not in ensemble.targets][-1]
    trained, A = head.weight[0].clone(), ensemble.adapters()[0][1].lora_A[0].clone()
    ensemble.conclude(lambda split: iter([TINY[name].batch(ROWS, seed=3)]))
    spread = (head.weight - trained).std(0)
    assert (spread <= 1.2).all()  # that of the prior, at most
    assert ((head.weight.mean(0) - trained).abs() < 5 * spread / 300**0.5).all()
    assert (ensemble.adapters()[0][1].lora_A == A).all()


# Repulsion ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bandwidth", [None, 3.0])
def test_repulsion_has_the_gradient_of_the_paper(bandwidth: float | None) -> None:
    """grad_i log sum_j k(f_i, f_j) = sum_j grad_i k(f_i, f_j) / sum_j k(f_i, f_j), by loops."""
    f = torch.randn(4, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    f = (f - f.mean(-1, keepdim=True)).float().requires_grad_()
    log_density(f, bandwidth).sum().backward()
    flat = f.detach().flatten(1)
    distances = [float((flat[i] - flat[j]).square().sum()) for i in range(4) for j in range(4) if i != j]
    h = bandwidth or float(torch.tensor(distances).median()) / math.log(4)
    for i in range(4):
        k = [math.exp(-float((flat[i] - flat[j]).square().sum()) / h) for j in range(4)]
        gradient = sum(-2 / h * k[j] * (flat[i] - flat[j]) for j in range(4)) / sum(k)
        close(f.grad[i].flatten(), gradient)


def test_repulsion_is_off_unless_asked_for_and_drives_apart_otherwise() -> None:
    inputs, labels = TINY["vit"].batch(ROWS)

    def trained(**fields) -> tuple[Tensor, float]:
        ensemble = LoraEnsemble(TINY["vit"].build(), LoraEnsembleConfig(members=3, r=2, **fields)).train()
        optimizer = torch.optim.SGD([p for p in ensemble.parameters() if p.requires_grad], lr=0.1)
        for _ in range(8):
            ensemble(labels=labels, **inputs).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        with torch.no_grad():
            logits = ensemble.eval()(**inputs).logits
        return logits, float(logits.var(0).sum())

    plain, off, on = trained(), trained(repulsion=0.0), trained(repulsion=1.0, bandwidth=10.0)
    assert torch.equal(plain[0], off[0])
    assert on[1] > plain[1]

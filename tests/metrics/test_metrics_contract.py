"""Every metric file, present and future: its anatomy, and what a score must not depend on."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import torch

from lora_ensemble import registry
from lora_ensemble.analysis.scoring import COUNTS, FAMILY, applicable, compute, wanted_by
from lora_ensemble.analysis.tensors import TENSORS
from lora_ensemble.analysis.uncertainty import names as uncertainties
from lora_ensemble.predictions import Predictions
from tolerance import close

NAMES = registry.names("metrics")
M, B, C = 3, 40, 4


def predictions(seed: int, rows: int = B) -> Predictions:
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(1, rows, C, generator=generator) + torch.randn(M, rows, C, generator=generator)
    return Predictions(logits, torch.randint(C, (rows,), generator=generator))


def scores(name: str, p: Predictions, counts_RB: torch.Tensor | None = None, ood: Predictions | None = None):
    """All scores of one metric file; with `ood` rows last in `counts_RB` if it needs an OOD set."""
    metric = registry.module("metrics", name)
    needs_ood = "ood_B" in wanted_by(metric)
    size = len(p) + (len(ood) if ood and needs_ood else 0)
    counts_RB = torch.ones(1, size).double() if counts_RB is None else counts_RB[:, :size]
    ood = ood if needs_ood else None
    return compute(p, counts_RB, ood=ood, names=own(name, p, ood))


def own(name: str, p: Predictions, ood: Predictions | None) -> list[str]:
    """The scores that a metric file yields."""
    metric = registry.module("metrics", name)
    if FAMILY not in wanted_by(metric):
        return list(metric.BETTER)
    every = {f"{score}_{uncertainty}" for score in metric.BETTER for uncertainty in uncertainties()}
    return [score for score in applicable(p, ood) if score in every]


def test_there_are_metrics() -> None:
    assert {"accuracy", "nll", "ece", "detection"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_anatomy(name: str) -> None:
    metric = registry.module("metrics", name)
    assert registry.description("metrics", name)
    assert metric.BETTER
    assert set(metric.BETTER.values()) <= {"higher", "lower", None}
    assert set(wanted_by(metric)) <= {*TENSORS, *(f"{u}_B" for u in uncertainties()), FAMILY, "ood_B", *COUNTS}
    assert COUNTS & set(wanted_by(metric))


def test_no_score_belongs_to_two_files() -> None:
    names = [score for name in NAMES for score in registry.module("metrics", name).BETTER]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", NAMES)
def test_imports_nothing_of_ours_and_torch_only_where_it_is_used(name: str) -> None:
    source = Path(registry.module("metrics", name).__file__).read_text()
    tree = ast.parse(source)
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    modules = {alias.name for node in imports if isinstance(node, ast.Import) for alias in node.names}
    modules |= {node.module or "" for node in imports if isinstance(node, ast.ImportFrom)}
    assert not [module for module in modules if module.startswith("lora_ensemble")]
    at_the_top = {node.module for node in tree.body if isinstance(node, ast.ImportFrom)}
    assert not any(isinstance(node, ast.Import) for node in tree.body)
    assert at_the_top <= {"__future__", "typing"}


@pytest.mark.parametrize("name", NAMES)
def test_yields_what_it_says(name: str) -> None:
    counts_RB = torch.ones(5, B + 30).double()
    values = scores(name, predictions(0), counts_RB, predictions(1, rows=30))
    assert set(values) == set(own(name, predictions(0), predictions(1)))
    assert values
    for values_R in values.values():
        assert values_R.shape == (5,)
        assert values_R.dtype == torch.float64
        assert bool(torch.isfinite(values_R).all())


@pytest.mark.parametrize("name", NAMES)
def test_counting_a_sample_twice_is_having_it_twice(name: str) -> None:
    p, ood = predictions(0), predictions(1, rows=30)
    generator = torch.Generator().manual_seed(2)
    # More resamples than a metric may treat at a time.
    draws = [torch.randint(len(part), (300, len(part)), generator=generator) for part in (p, ood)]
    counts_RB = torch.cat([torch.nn.functional.one_hot(draw, draw.shape[1]).sum(1) for draw in draws], 1).double()
    together = scores(name, p, counts_RB, ood)
    for r in (0, 1, 150, 299):
        alone = scores(name, p.rows(draws[0][r]), None, ood.rows(draws[1][r]))
        for score, values_R in together.items():
            close(values_R[r], alone[score][0], depth=8, dtype=torch.float32)


@pytest.mark.parametrize("name", NAMES)
def test_order_of_samples_and_members_does_not_matter(name: str) -> None:
    p, ood = predictions(0), predictions(1)
    generator = torch.Generator().manual_seed(3)
    order_B, order_M = torch.randperm(B, generator=generator), torch.tensor([2, 0, 1])
    expected = scores(name, p, None, ood)
    for other in (
        scores(name, p.rows(order_B), None, ood),
        scores(name, p.members(order_M), None, ood.members(order_M)),
    ):
        for score, values_R in expected.items():
            close(other[score], values_R, depth=8, dtype=torch.float32)

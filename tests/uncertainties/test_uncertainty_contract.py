"""Every uncertainty, present and future: its anatomy, its direction, and what it must not depend on."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from lora_ensemble import registry
from lora_ensemble.analysis import evaluate, risk_coverage, roc, uncertainty
from lora_ensemble.analysis.tensors import TENSORS
from lora_ensemble.analysis.uncertainty import ALIASES, needs_several, plugin, uncertainties
from lora_ensemble.analysis.uncertainty import names as every
from lora_ensemble.errors import DataError, UnknownNameError
from lora_ensemble.predictions import Predictions

NAMES = sorted(every())
COMPARES = [name for name in NAMES if hasattr(plugin(name), "fit")]
LOGITS = {"logits_MBC", "max_logit_MB", "evidence_MB"}
OF_LOGITS = [name for name in NAMES if LOGITS & inspect.signature(plugin(name).uncertainty).parameters.keys()]
M, B, C, D = 4, 60, 5, 6


def predictions(
    seed: int = 0, *, members: int = M, rows: int = B, signal: float = 4.0, spread: float = 1.0
) -> Predictions:
    """Features are noise about the class's corner; logits are linear in them, with noise of each member's own."""
    generator = torch.Generator().manual_seed(seed)
    labels_B = torch.randint(C, (rows,), generator=generator)
    corners_BD = signal * torch.nn.functional.one_hot(labels_B, D)
    features_MBD = corners_BD + spread * torch.randn(members, rows, D, generator=generator)
    return Predictions(features_MBD[..., :C] - 0.3, labels_B, features_MBD=features_MBD)


REFERENCE = predictions(1, rows=200)


def values(name: str, p: Predictions) -> torch.Tensor:
    return uncertainty(p, name, reference=REFERENCE if p.num_members == M else REFERENCE.members([0]))


@pytest.mark.parametrize("name", NAMES)
def test_anatomy(name: str) -> None:
    module = plugin(name)
    assert registry.description("uncertainties", every()[name])
    asked = set(inspect.signature(module.uncertainty).parameters)
    assert asked <= {*TENSORS, "fitted"} - {"labels_B"}
    assert ("fitted" in asked) == hasattr(module, "fit")
    if hasattr(module, "fit"):
        assert set(inspect.signature(module.fit).parameters) <= TENSORS.keys()
    tree = ast.parse(Path(str(module.__file__)).read_text())
    at_the_top = {node.module for node in tree.body if isinstance(node, ast.ImportFrom)}
    assert at_the_top <= {"__future__", "typing"}
    assert not any(isinstance(node, ast.Import) for node in tree.body)


@pytest.mark.parametrize("name", NAMES)
def test_a_number_for_each_row(name: str) -> None:
    found = values(name, predictions())
    assert found.shape == (B,)
    assert found.dtype == torch.float64
    assert bool(torch.isfinite(found).all())
    assert len(found.unique()) > 1


@pytest.mark.parametrize("name", NAMES)
def test_order_of_rows_and_members_does_not_matter(name: str) -> None:
    p, expected = predictions(), values(name, predictions())
    order = torch.randperm(B, generator=torch.Generator().manual_seed(3))
    assert_close(values(name, p.rows(order)), expected[order], atol=1e-5, rtol=1e-5)
    turned = [2, 0, 3, 1]
    found = uncertainty(p.members(turned), name, reference=REFERENCE.members(turned))
    assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_each_row_by_itself(name: str) -> None:
    p, expected = predictions(), values(name, predictions())
    for b in (0, 7, B - 1):
        assert_close(values(name, p.rows([b])), expected[b : b + 1], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_the_less_certain_is_higher(name: str) -> None:
    sure, unsure = predictions(0, rows=300), predictions(2, rows=300, signal=0.0, spread=1.5)
    assert values(name, unsure).mean() > values(name, sure).mean()
    score = f"auroc_{name}"
    scores = evaluate(sure, unsure, intervals=False, reference=REFERENCE)
    assert 0.6 < scores[score] <= 1
    assert {f"aupr_{name}", f"fpr95_{name}"} <= set(scores)
    assert roc(sure, unsure, name, reference=REFERENCE).auroc == pytest.approx(scores[score], abs=1e-6)
    assert 0 < risk_coverage(unsure, name, reference=REFERENCE).aurc < 1


@pytest.mark.parametrize("name", NAMES)
def test_one_member(name: str) -> None:
    p = predictions(members=1)
    found = values(name, p)
    assert bool(torch.isfinite(found).all())
    scores = evaluate(p, predictions(2, members=1), intervals=False, reference=REFERENCE.members([0]))
    if needs_several(name):
        assert torch.equal(found, torch.zeros(B, dtype=torch.float64))
        assert scores[f"auroc_{name}"] != scores[f"auroc_{name}"]  # NaN: there is nothing to tell by
    else:
        assert scores[f"auroc_{name}"] == scores[f"auroc_{name}"]


@pytest.mark.parametrize("name", [name for name in NAMES if name not in COMPARES])
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**31), scale=st.sampled_from([0.0, 1e-30, 1.0, 1e3, 1e30]))
def test_no_overflow(name: str, seed: int, scale: float) -> None:
    logits = scale * torch.randn(3, 4, C, generator=torch.Generator().manual_seed(seed))
    assert bool(torch.isfinite(uncertainty(Predictions(logits), name)).all())


@pytest.mark.parametrize("name", NAMES)
def test_predictions_made_from_probabilities(name: str) -> None:
    p = Predictions.from_probs(predictions().probs_MBC, features_MBD=predictions().features_MBD)
    if name in OF_LOGITS:
        with pytest.raises(
            DataError, match=f"'{name}' needs logits, and these predictions were made from probabilities"
        ):
            values(name, p)
        assert f"auroc_{name}" not in evaluate(p, p, intervals=False, reference=REFERENCE)
    else:
        assert_close(values(name, p), values(name, predictions()), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", COMPARES)
def test_what_compares_with_a_reference(name: str) -> None:
    p = predictions()
    with pytest.raises(DataError, match=f"'{name}' needs a reference: predictions of the same members"):
        uncertainty(p, name)
    with pytest.raises(DataError, match=f"'{name}' needs hidden features"):
        uncertainty(Predictions(p.logits_MBC), name, reference=REFERENCE)
    with pytest.raises(DataError, match=r"features \(4, 6\), there are \(1, 6\)"):
        uncertainty(p, name, reference=REFERENCE.members([0]))
    assert f"auroc_{name}" not in evaluate(p, p, intervals=False)
    # The mean over members of each one's own.
    own = [uncertainty(p.members([m]), name, reference=REFERENCE.members([m])) for m in range(M)]
    assert_close(torch.stack(own).mean(0), uncertainty(p, name, reference=REFERENCE), atol=1e-6, rtol=1e-6)


def test_names_and_aliases() -> None:
    assert {"msp", "entropy", "variation_ratio", "dempster_shafer", "mahalanobis", "knn", "vim"} <= set(NAMES)
    p = predictions()
    assert torch.equal(uncertainty(p, "total"), p.total_B.double())
    for alias, name in ALIASES.items():
        assert torch.equal(uncertainty(p, alias), uncertainty(p, name))
    assert torch.equal(uncertainty(p, "mutual-information"), p.epistemic_B.double())
    with pytest.raises(UnknownNameError, match=r"unknown uncertainty 'entrpy'. Did you mean 'entropy'"):
        uncertainty(p, "entrpy")


def test_several_at_once_are_each_by_itself() -> None:
    p = predictions(rows=500)
    together = uncertainties(p, NAMES, reference=REFERENCE)
    for name in NAMES:
        assert torch.equal(together[name], uncertainty(p, name, reference=REFERENCE)), name

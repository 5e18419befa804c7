"""What every calibration keeps, whatever it is fitted on; a new file in `calibrations/` is covered without an edit."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_predictions import calibrated_pool, truth
from torch.testing import assert_close

from lora_ensemble import Predictions, calibrate, registry
from lora_ensemble.contracts import Calibration
from lora_ensemble.errors import DataError, FileFormatError, UnknownNameError
from lora_ensemble.recalibration.pool import nll

NAMES = registry.names("calibrations")
every = pytest.mark.parametrize("name", NAMES)


def overconfident(rows: int = 400, seed: int = 0) -> Predictions:
    p = calibrated_pool(rows, seed=seed)
    return Predictions(2.5 * p.logits_MBC, p.labels_B, [f"row-{b}" for b in range(rows)], {"split": "validation"})


def pooled_nll(p: Predictions) -> float:
    assert p.labels_B is not None
    return nll(p.pooled_probs(), p.labels_B)


def test_the_promised_names_are_there() -> None:
    promised = "temperature temperature-per-member vector dirichlet isotonic beta histogram"
    assert set(promised.split()) <= set(NAMES)


@every
def test_members_rows_and_what_belongs_to_them_stay(name: str) -> None:
    p = overconfident()
    before = p.logits_MBC.clone()
    calibrated = calibrate(p, name)(p)
    assert torch.equal(p.logits_MBC, before)
    assert calibrated.logits_MBC.shape == p.logits_MBC.shape
    assert calibrated.ids == p.ids
    assert torch.equal(calibrated.labels_B, p.labels_B)
    assert {"split": "validation", "calibrated": [name]}.items() <= calibrated.meta.items()
    assert calibrated.from_probabilities == calibrate(p, name).moves_pool
    assert_close(calibrated.total_B, calibrated.aleatoric_B + calibrated.epistemic_B, atol=1e-5, rtol=0)
    assert p.calibrated(calibrate(p, name)).logits_MBC.equal(calibrated.logits_MBC)


@every
def test_a_calibration_repairs_overconfidence(name: str) -> None:
    validation, test = overconfident(3000), overconfident(3000, seed=1)
    assert pooled_nll(calibrate(validation, name)(test)) < pooled_nll(test) - 0.02


@every
def test_what_is_calibrated_stays(name: str) -> None:
    """Labels are drawn from the pool itself: a fit of some parameters loses about half a row's worth each."""
    test = calibrated_pool(4000, seed=2)
    worse = pooled_nll(calibrate(calibrated_pool(4000), name)(test)) - pooled_nll(test)
    assert worse < {"isotonic": 0.04, "histogram": 0.04}.get(name, 0.005)


@every
def test_the_order_of_members_and_rows_does_not_count(name: str) -> None:
    p = overconfident(300)
    members, rows = torch.tensor([2, 0, 1]), torch.randperm(300, generator=torch.Generator().manual_seed(0))
    expected = calibrate(p, name)(p).logits_MBC.softmax(-1)[members][:, rows]
    moved = p.members(members).rows(rows)
    assert_close(calibrate(moved, name)(moved).logits_MBC.softmax(-1), expected, atol=2e-4, rtol=0)


@every
def test_saved_and_loaded_it_is_the_same(name: str, tmp_path: Path) -> None:
    p = overconfident(60)
    fitted = calibrate(p, name)
    fitted.save(tmp_path / "calibration.json")
    loaded = Calibration.load(tmp_path / "calibration.json")
    assert loaded == fitted == type(fitted).load(tmp_path / "calibration.json")
    assert loaded(p).logits_MBC.equal(fitted(p).logits_MBC)
    assert json.loads(fitted.to_json())["name"] == name == fitted.name
    assert [path.name for path in tmp_path.iterdir()] == ["calibration.json"]


@every
@pytest.mark.parametrize("rows", [1, 2, 20])
def test_few_rows(name: str, rows: int) -> None:
    """Nothing fails, and no row of the test split pays more than a few nats for it."""
    test = overconfident(2000, seed=1)
    after = calibrate(overconfident(rows, seed=5), name)(test)
    assert pooled_nll(after) < pooled_nll(test) + 1


@every
def test_a_class_that_is_absent_from_validation_remains_possible(name: str) -> None:
    p = overconfident(1000)
    part = p.rows(p.labels_B != 2)
    test = overconfident(1000, seed=1)
    of_two = test.rows(test.labels_B == 2)
    after = calibrate(part, name)(of_two)
    assert bool((after.pooled_probs()[:, 2] > 0).all())
    assert pooled_nll(after) < 10


@every
def test_one_class_alone(name: str) -> None:
    p = overconfident(200)
    part = p.rows(p.labels_B == 1)
    after = calibrate(part, name)(p)
    assert bool(torch.isfinite(after.logits_MBC).all())
    assert pooled_nll(after.rows(p.labels_B == 1)) <= pooled_nll(part) + 1e-6


@every
def test_probabilities_of_exactly_0_and_1(name: str) -> None:
    p = overconfident(200)
    sure = 2000.0 * torch.nn.functional.one_hot(p.logits_MBC.argmax(2), 4)
    certain = Predictions(torch.cat([sure[:2], p.logits_MBC[2:]]), p.labels_B)
    alone = Predictions(sure[:1], p.labels_B)
    for given_ in (certain, alone):
        after = calibrate(given_, name)(given_)
        assert bool(torch.isfinite(after.logits_MBC).all())
        assert_close(after.pooled_probs().sum(1), torch.ones(200, dtype=torch.float64))
        assert pooled_nll(after) < pooled_nll(given_)


@every
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), members=st.integers(1, 5), rows=st.integers(1, 40), scale=st.floats(0.01, 40))
def test_any_predictions(name: str, seed: int, members: int, rows: int, scale: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    p = Predictions(
        scale * torch.randn(members, rows, 3, generator=generator), torch.randint(3, (rows,), generator=generator)
    )
    after = calibrate(p, name)(p)
    assert_close(after.probs_MBC.sum(2), torch.ones(members, rows), atol=1e-5, rtol=0)
    assert bool((after.epistemic_B >= 0).all())


@every
def test_what_is_refused(name: str, tmp_path: Path) -> None:
    p = overconfident(50)
    fitted = calibrate(p, name)
    with pytest.raises(DataError, match="have none"):
        calibrate(Predictions(p.logits_MBC), name)
    with pytest.raises(DataError, match="test split"):
        calibrate(dataclasses.replace(p, meta={"split": "test"}), name)
    with pytest.raises(DataError, match="fitted on 3 members, these predictions have 2"):
        fitted(p.members([0, 1]))
    with pytest.raises(DataError, match="fitted on 4 classes, these predictions have 3"):
        fitted(Predictions(p.logits_MBC[..., :3]))
    with pytest.raises(DataError, match=f"fitted on raw predictions, these are calibrated .{name}"):
        fitted(fitted(p))
    path = tmp_path / "calibration.json"
    path.write_text(fitted.to_json().replace('"rows": 50', '"rows": 51'))
    with pytest.raises(FileFormatError, match="was changed after it was written"):
        Calibration.load(path)
    path.write_text(fitted.to_json()[:-20])
    with pytest.raises(FileFormatError, match="truncated or not JSON"):
        Calibration.load(path)


def test_a_calibration_of_another_run() -> None:
    p = overconfident(50)
    about = {"classes": list("abcd"), "method": "lora", "seed": 0, "split": "validation"}
    fitted = calibrate(dataclasses.replace(p, meta=about))
    assert len(fitted(dataclasses.replace(p, meta={**about, "split": "test", "dataset": "another"}))) == 50
    with pytest.raises(DataError, match="class 'b' where these predictions have 'c'"):
        fitted(dataclasses.replace(p, meta={**about, "classes": list("acbd")}))
    with pytest.raises(DataError, match="a run with seed 0, these predictions are of one with 1"):
        fitted(dataclasses.replace(p, meta={**about, "seed": 1}))


def test_names_and_files_that_do_not_exist(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'isotonic'"):
        calibrate(overconfident(10), "isotonc")
    with pytest.raises(DataError, match="there is no file"):
        Calibration.load(tmp_path / "none.json")
    (tmp_path / "other.json").write_text('{"format": "other"}')
    with pytest.raises(FileFormatError, match="not of lora-ensemble-calibration"):
        Calibration.load(tmp_path / "other.json")


MAPS = {
    "temperature": (3 * torch.eye(4), torch.zeros(4)),
    "temperature-per-member": (0.4 * torch.eye(4), torch.zeros(4)),
    "vector": (torch.diag(torch.tensor([0.5, 2.0, 1.0, 1.0])), torch.tensor([1.0, -1.0, 0.5, 0.0])),
    "dirichlet": (torch.eye(4) + 0.4 * torch.eye(4).roll(1, 0), torch.tensor([1.0, -1.0, 0.5, 0.0])),
}


@pytest.mark.parametrize("name", MAPS)
def test_known_maps_are_found(name: str) -> None:
    """Labels are drawn from a map of the pool, of each kind's own family."""
    matrix_CC, bias_C = (part.double() for part in MAPS[name])
    seen_BC, test_BC = truth(20_000)[0], truth(2000, seed=1)[0]
    mapped_BC = torch.softmax(seen_BC @ matrix_CC.T + bias_C, 1)
    labels = torch.multinomial(mapped_BC, 1, generator=torch.Generator().manual_seed(2)).squeeze(1)
    found_BC = calibrate(Predictions(seen_BC[None], labels), name)(Predictions(test_BC[None])).pooled_probs()
    wanted_BC = torch.softmax(test_BC @ matrix_CC.T + bias_C, 1)
    assert float((found_BC - wanted_BC).abs().mean()) < 0.01
    assert float((test_BC.exp() - wanted_BC).abs().mean()) > 0.05


@pytest.mark.parametrize("name", ["isotonic", "beta", "histogram"])
def test_known_maps_of_two_classes_are_found(name: str) -> None:
    logs_BC, labels = truth(20_000, classes=2)
    test_BC, _ = truth(2000, classes=2, seed=1)

    def odds_halved(logs: torch.Tensor) -> torch.Tensor:
        return (logs / 2)[None]

    found = calibrate(Predictions(odds_halved(logs_BC), labels), name)
    calibrated_BC = found(Predictions(odds_halved(test_BC))).pooled_probs()
    assert float((calibrated_BC - test_BC.exp()).abs().mean()) < 0.03

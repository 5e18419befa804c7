"""Prediction sets: against MAPIE and crepes, slow twins, and the promise itself, simulated."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom
from torch.testing import assert_close

from lora_ensemble import Predictions, conformal
from lora_ensemble.analysis import Conformal, PredictionSets
from lora_ensemble.analysis.binomial import Share, upper_bound
from lora_ensemble.analysis.conformal.fitting import KINDS
from lora_ensemble.analysis.conformal.penalties import GRIDS, chosen
from lora_ensemble.analysis.conformal.scores import SCORES, Settings
from lora_ensemble.analysis.conformal.uniforms import uniforms
from lora_ensemble.errors import ConfigurationError, DataError, FileFormatError, UnknownNameError

REFERENCE = json.loads((Path(__file__).parent / "conformal_reference.json").read_text())
every = pytest.mark.parametrize("kind", KINDS)


def drawn(rows: int, seed: int = 0, classes: int = 4, members: int = 3) -> Predictions:
    """A pool that is off: labels come from sharper probabilities."""
    generator = torch.Generator().manual_seed(seed)
    logits_MBC = 1.5 * torch.randn(rows, classes, generator=generator) + torch.randn(
        members, rows, classes, generator=generator
    )
    probs_BC = torch.softmax(1.5 * logits_MBC.mean(0), -1)
    return Predictions(logits_MBC, torch.multinomial(probs_BC, 1, generator=generator).squeeze(1))


# Other libraries ---------------------------------------------------------------------------------------------


def of_reference(name: str) -> Predictions:
    labels = REFERENCE["labels"] if name == "validation" else None
    return Predictions(np.log(np.array(REFERENCE[name]))[None], labels)


@pytest.mark.parametrize("kind", ["lac", "top-k"])
def test_sets_are_those_of_mapie(kind: str) -> None:
    sets = conformal(of_reference("validation"), REFERENCE["coverage"], kind, allow_empty=True)(of_reference("test"))
    assert sets.sets_BC.tolist() == REFERENCE[f"mapie {kind}"]


def test_randomised_sets_are_those_of_mapie_with_its_random_numbers() -> None:
    """Its number for a validation row says how much of the label's own mass is left out, ours how much is taken."""
    validation, test = of_reference("validation"), of_reference("test")
    taken_B = 1 - torch.tensor(REFERENCE["uniform_validation"], dtype=torch.float64)
    scores_BC = SCORES["aps"](validation, taken_B, Settings())
    of_label_B = scores_BC.gather(1, validation.labels_B[:, None]).squeeze(1).sort().values
    threshold = of_label_B[math.ceil((len(of_label_B) + 1) * REFERENCE["coverage"]) - 1]
    taken_B = 1 - torch.tensor(REFERENCE["uniform_test"], dtype=torch.float64)
    assert (SCORES["aps"](test, taken_B, Settings()) <= threshold).tolist() == REFERENCE["mapie aps"]


def test_p_values_and_sets_are_those_of_crepes() -> None:
    for kind, suffix in (("lac", ""), ("mondrian", " per class")):
        sets = conformal(of_reference("validation"), REFERENCE["coverage"], kind, allow_empty=True)(
            of_reference("test")
        )
        expected = torch.tensor(REFERENCE[f"crepes p-values{suffix}"], dtype=torch.float64)
        assert_close(sets.p_values_BC.double(), expected, atol=1e-6, rtol=0)
        assert sets.sets_BC.tolist() == REFERENCE[f"crepes sets{suffix}"]


# Scores ------------------------------------------------------------------------------------------------------


def slow_scores(kind: str, probs: list[float], u: float, penalty: float, free: int) -> list[float]:
    order = sorted(range(len(probs)), key=lambda c: -probs[c])
    found = []
    for c, own in enumerate(probs):
        rank = order.index(c) + 1
        before = sum(probs[other] for other in order[: rank - 1])
        found.append(
            {
                "lac": 1 - own,
                "aps": before + u * own,
                "aps-deterministic": before + own,
                "raps": before + u * own + penalty * max(0, rank - free),
                "saps": u * own if rank == 1 else max(probs) + (rank - 2 + u) * penalty,
                "top-k": rank,
            }[kind]
        )
    return found


@pytest.mark.parametrize("kind", SCORES)
def test_scores_are_those_of_the_papers(kind: str) -> None:
    p = drawn(30)
    uniform_B = uniforms(p, 0)
    found_BC = SCORES[kind](p, uniform_B, Settings(0.3, 2))
    for b, probs in enumerate(p.pooled_probs().tolist()):
        slow = torch.tensor(slow_scores(kind, probs, float(uniform_B[b]), 0.3, 2), dtype=torch.float64)
        assert_close(found_BC[b], slow)


def test_random_numbers_belong_to_rows() -> None:
    p = drawn(4000)
    uniform_B = uniforms(p, 0)
    assert bool(((uniform_B >= 0) & (uniform_B < 1)).all())
    counts = torch.histc(uniform_B, 10, 0, 1)  # chi-squared of 9 degrees: above 33.7 once in 10,000
    assert float(((counts - 400) ** 2 / 400).sum()) < 33.7
    order_B = torch.randperm(4000, generator=torch.Generator().manual_seed(0))
    assert uniforms(p.rows(order_B).members([2, 0, 1]), 0).equal(uniform_B[order_B])
    assert not uniforms(p, 1).equal(uniform_B)
    same = Predictions(torch.zeros(1, 500, 3))
    assert len(uniforms(same, 0).unique()) == 500
    named = Predictions(torch.zeros(1, 3, 2), ids=["a", "b", "c"])
    assert uniforms(named, 0).equal(uniforms(named.rows([2, 1, 0]), 0).flip(0))


# Sets --------------------------------------------------------------------------------------------------------


@every
@settings(max_examples=20, deadline=None)
@given(rows=st.integers(1, 60), coverage=st.floats(0.02, 0.98), seed=st.integers(0, 1000))
def test_sets_and_p_values_say_the_same(kind: str, rows: int, coverage: float, seed: int) -> None:
    fitted = conformal(drawn(rows, seed), coverage, kind, allow_empty=True)
    sets = fitted(drawn(20, seed + 1))
    away = (sets.p_values_BC - (1 - coverage)).abs() > 1e-6
    assert torch.equal(sets.sets_BC[away], (sets.p_values_BC > 1 - coverage)[away])
    full = conformal(drawn(rows, seed), coverage, kind)(drawn(20, seed + 1))
    assert int(full.sizes_B.min()) >= 1
    assert bool((full.sets_BC | ~sets.sets_BC).all())
    assert int((full.sets_BC ^ sets.sets_BC).sum(1).max()) <= 1


@every
def test_more_coverage_never_takes_a_class_away(kind: str) -> None:
    validation, test = drawn(200), drawn(100, 1)
    levels = (0.5, 0.8, 0.9, 0.99, 0.999)
    # with one penalty: one that is chosen is another for another coverage
    found = [conformal(validation, c, kind, penalty=0.1, allow_empty=True)(test).sets_BC for c in levels]
    assert all(bool((larger | ~smaller).all()) for smaller, larger in itertools.pairwise(found))
    assert bool(found[-1].all())  # 200 rows promise no more than 200 / 201


@every
def test_the_order_of_members_and_rows_does_not_count(kind: str) -> None:
    validation, test = drawn(150), drawn(50, 1)
    expected = conformal(validation, 0.8, kind)(test).sets_BC
    order_B = torch.randperm(50, generator=torch.Generator().manual_seed(0))
    moved = conformal(validation.rows(torch.arange(149, -1, -1)).members([1, 2, 0]), 0.8, kind)
    found = moved(test.members([1, 2, 0]).rows(order_B)).sets_BC
    assert torch.equal(found, expected[order_B])


@every
def test_saved_and_loaded_it_is_the_same(kind: str, tmp_path: Path) -> None:
    fitted = conformal(drawn(80), 0.85, kind, penalty=0.2, free_ranks=2, seed=4)
    fitted.save(tmp_path / "sets.json")
    loaded = Conformal.load(tmp_path / "sets.json")
    assert loaded == fitted
    assert loaded(drawn(10, 1)).sets_BC.equal(fitted(drawn(10, 1)).sets_BC)
    (tmp_path / "sets.json").write_text(fitted.to_json().replace("0.85", "0.86"))
    with pytest.raises(FileFormatError, match="was changed"):
        Conformal.load(tmp_path / "sets.json")


# The promise -------------------------------------------------------------------------------------------------


def covered(kind: str, rows: int, coverage: float, times: int, **options: Any) -> int:
    """How often the set of one new row held its label, each time with new validation rows."""
    held = 0
    for seed in range(times):
        both = drawn(rows + 1, seed)
        fitted = conformal(both.rows(range(rows)), coverage, kind, seed=seed, **options)
        held += int(fitted(both.rows([rows])).sets_BC[0, both.labels_B[rows]])
    return held


def within_band(held: int, times: int, low: float, high: float) -> bool:
    """A count from a rate between the two: outside by chance once in 10,000 at each end."""
    return bool(binom.ppf(1e-4, times, low) <= held <= binom.ppf(1 - 1e-4, times, high))


@pytest.mark.parametrize("kind", ["aps", "raps", "saps", "lac", "mondrian"])
def test_the_promise_holds_2000_times(kind: str) -> None:
    """Exact: between the coverage and 1 / (rows + 1) above it, where scores are continuous and sets may be empty."""
    times, rows, coverage = 2000, 39, 0.8
    held = covered(kind, rows, coverage, times, allow_empty=True)
    left = 12 if kind in ("raps", "saps") else rows  # of which the promise is made; the others choose the penalty
    assert within_band(held, times, coverage, 0.9 if kind == "mondrian" else coverage + 1 / (left + 1))


@pytest.mark.parametrize("kind", ["aps-deterministic", "top-k"])
def test_scores_with_equals_cover_at_least(kind: str) -> None:
    assert within_band(covered(kind, 39, 0.8, 2000), 2000, 0.8, 1.0)


@pytest.mark.parametrize("grouped", [False, True])
def test_the_promise_holds_in_each_class_and_in_each_group_2000_times(grouped: bool) -> None:
    """With n validation rows of a class (a group) the promise of it is exact: between the coverage and 1 / (n + 1)
    above it. One new row of each, in every simulation."""
    times, rows, kinds, coverage = 2000, 60, 2, 0.8
    held, low, high = np.zeros(kinds), np.zeros(kinds), np.zeros(kinds)
    seen = np.zeros(kinds)
    for seed in range(times):
        both = drawn(rows + 40, seed)
        of_B = torch.arange(len(both)) % kinds if grouped else both.labels_B
        names = [str(int(k)) for k in of_B]
        options = {"groups": names[:rows]} if grouped else {}
        fitted = conformal(both.rows(range(rows)), coverage, "mondrian", seed=seed, allow_empty=True, **options)
        for k in range(kinds):
            new = rows + int((of_B[rows:] == k).nonzero()[0])
            sets = fitted(both.rows([new]), [names[new]]) if grouped else fitted(both.rows([new]))
            n = int((of_B[:rows] == k).sum())
            seen[k] += 1
            held[k] += int(sets.sets_BC[0, both.labels_B[new]])
            low[k] += coverage
            high[k] += coverage + 1 / (n + 1)
    for k in range(kinds):
        assert within_band(int(held[k]), times, low[k] / seen[k], high[k] / seen[k])


def test_the_spread_of_the_coverage_is_the_one_that_is_told() -> None:
    """Over 2,000 validation sets: coverage on 1,000 rows, and how often it leaves the 90 % band."""
    test = drawn(1000, 100_000)
    outside = 0
    for seed in range(2000):
        fitted = conformal(drawn(60, seed), 0.8, "lac", allow_empty=True)
        low, high = fitted.spread(0.9)
        share = fitted(test).sets_BC.gather(1, test.labels_B[:, None]).double().mean()
        outside += not low - 0.013 <= share <= high + 0.013  # the test rows themselves are off by about that
    assert outside <= binom.ppf(1 - 1e-4, 2000, 0.1)


def test_each_group_has_its_promise() -> None:
    """A group that is hard: sets for all rows leave it out, sets for groups do not."""

    def with_hard(rows: int, seed: int) -> tuple[Predictions, list[str]]:
        p = drawn(rows, seed)
        hard_B = torch.arange(rows) % 4 == 0
        generator = torch.Generator().manual_seed(seed)
        labels_B = torch.where(hard_B, torch.randint(4, (rows,), generator=generator), p.labels_B)
        return Predictions(p.logits_MBC, labels_B), ["hard" if h else "easy" for h in hard_B.tolist()]

    (validation, groups), (test, of_test) = with_hard(2000, 0), with_hard(4000, 1)
    name, share = conformal(validation, 0.8)(test).measured(of_test).worst_group
    assert (name, share.high < 0.75) == ("hard", True)
    sets = conformal(validation, 0.8, "mondrian", groups=groups)(test, of_test)
    measured = sets.measured()
    assert measured.worst_group[1].value > 0.76
    assert measured.per_group["hard"].rows == 1000
    unseen = conformal(validation, 0.8, "mondrian", groups=groups)(test.rows([0]), ["unseen"])
    assert bool(unseen.sets_BC.all())


def test_what_was_measured() -> None:
    sets_BC = torch.tensor([[True, False, False], [True, True, False], [False, True, True], [False, False, True]])
    sets = PredictionSets(sets_BC, sets_BC.double(), 0.9, torch.tensor([0, 2, 1, 2]), None, ("a", "b", "c"))
    found = sets.measured(groups=[1, 1, 1, 2])
    assert (found.overall.value, found.overall.rows) == (0.75, 4)
    assert {k: (v.value, v.rows) for k, v in found.per_class.items()} == {"a": (1, 1), "b": (1, 1), "c": (0.5, 2)}
    assert {k: v.value for k, v in found.by_size.items()} == {1: 1.0, 2: 0.5}
    assert found.per_group["2"].value == 1
    assert found.worst_group[0] == "1"
    assert found.mean_size == 1.5
    assert sets.class_names() == [["a"], ["a", "b"], ["b", "c"], ["c"]]
    assert json.loads(found.to_json())["worst_group"]["name"] == "1"


def test_exact_bounds() -> None:
    assert upper_bound(0, 10, 0.95) == pytest.approx(1 - 0.05 ** (1 / 10))
    assert upper_bound(10, 10, 0.95) == 1
    share = Share.of(3, 20)
    assert binom.cdf(3, 20, share.high) == pytest.approx(0.025)
    assert binom.sf(2, 20, share.low) == pytest.approx(0.025)
    assert math.isnan(Share.of(0, 0).value)


# Bad input ---------------------------------------------------------------------------------------------------


def test_few_rows_promise_what_they_can() -> None:
    few = conformal(drawn(20), 0.9)
    low, high = few.spread()
    assert 0.7 < low < 0.9 < high < 1
    assert bool(conformal(drawn(20), 0.99)(drawn(30, 1)).sets_BC.all())
    assert conformal(drawn(20), 0.99).thresholds == (math.inf,)
    three = conformal(drawn(30), 0.9, "mondrian", groups=["small"] * 3 + ["large"] * 27)
    assert three.thresholds[1] == math.inf
    assert bool(three(drawn(5, 1), ["small"] * 5).sets_BC.all())


def test_a_class_that_validation_lacks_is_in_every_set_per_class() -> None:
    p = drawn(300)
    part = p.rows(p.labels_B != 2)
    assert bool(conformal(part, 0.8, "mondrian")(p).sets_BC[:, 2].all())
    assert conformal(part.rows(part.labels_B == 1), 0.8)(p).sets_BC.shape == (300, 4)


def test_certain_members() -> None:
    labels = torch.tensor([0, 1, 2] * 20)
    p = Predictions(3000.0 * torch.nn.functional.one_hot(labels.roll(1), 3)[None], labels)
    for kind in KINDS:
        assert bool(torch.isfinite(conformal(p, 0.8, kind)(p).p_values_BC).all())


def test_what_is_refused() -> None:
    p = drawn(40)
    with pytest.raises(ConfigurationError, match="coverage = 1: must be between 0 and 1: only the set of all classes"):
        conformal(p, 1)
    with pytest.raises(ConfigurationError, match="coverage = nan"):
        conformal(p, math.nan)
    with pytest.raises(UnknownNameError, match="Did you mean 'raps'"):
        conformal(p, kind="rapss")
    with pytest.raises(UnknownNameError, match="score 'mondrian'"):
        conformal(p, kind="mondrian", base="mondrian")
    with pytest.raises(ConfigurationError, match="penalty = -1"):
        conformal(p, kind="raps", penalty=-1)
    with pytest.raises(ConfigurationError, match="groups need kind 'mondrian'"):
        conformal(p, groups=[0] * 40)
    with pytest.raises(DataError, match="3 groups, expected 40"):
        conformal(p, kind="mondrian", groups=[0] * 3)
    with pytest.raises(DataError, match="test split"):
        conformal(dataclasses.replace(p, meta={"split": "test"}))
    with pytest.raises(DataError, match="fitted on 3 members, these predictions have 2"):
        conformal(p)(p.members([0, 1]))
    with pytest.raises(DataError, match="not made for groups"):
        conformal(p)(p, groups=[0] * 40)
    with pytest.raises(DataError, match="give the group of each row"):
        conformal(p, kind="mondrian", groups=[0] * 40)(p)
    with pytest.raises(DataError, match="have none"):
        conformal(p)(Predictions(p.logits_MBC)).measured()


@pytest.mark.parametrize("kind", ["raps", "saps"])
def test_the_penalty_is_the_one_of_the_smallest_sets_on_a_part(kind: str) -> None:
    """A slow twin: every penalty tried on the rows that are held out, its sets counted one by one."""
    p, coverage = drawn(300, 5), 0.9
    settings, left_B = chosen(p, kind, coverage, None, 0)
    assert 0.2 < 1 - left_B.double().mean() < 0.4
    part = p.rows(~left_B)
    assert part.labels_B is not None
    place = math.ceil((len(part) + 1) * coverage) - 1
    probs, labels, us = part.pooled_probs().tolist(), part.labels_B.tolist(), uniforms(part, 0).tolist()
    ranks = sorted(sorted(row, reverse=True).index(row[label]) + 1 for row, label in zip(probs, labels, strict=True))
    free = ranks[place] if kind == "raps" else 1
    sizes = {}
    for penalty in GRIDS[kind]:
        scores = [slow_scores(kind, row, u, penalty, free) for row, u in zip(probs, us, strict=True)]
        threshold = sorted(row[label] for row, label in zip(scores, labels, strict=True))[place]
        sizes[penalty] = sum(max(1, sum(s <= threshold + 1e-12 for s in row)) for row in scores)
    assert settings == Settings(min(sizes, key=lambda penalty: sizes[penalty]), free)
    fitted = conformal(p, coverage, kind)
    assert fitted.settings == settings
    assert len(fitted.scores[0]) == int(left_B.sum())


def test_a_penalty_that_is_given_uses_all_rows() -> None:
    assert len(conformal(drawn(100), 0.9, "raps", penalty=0.1).scores[0]) == 100
    assert conformal(drawn(100), 0.9, "raps", penalty=0.1).settings == Settings(0.1, 1)
    assert conformal(drawn(300), 0.9, "raps", free_ranks=2).settings.free_ranks == 2
    few = conformal(drawn(20), 0.9, "raps")  # no part of which 0.9 could be promised
    assert (few.settings, len(few.scores[0])) == (Settings(), 20)
    groups = ["a", "b"] * 150
    by_group = conformal(drawn(300), 0.9, "mondrian", base="raps", groups=groups)
    assert 150 < sum(map(len, by_group.scores)) < 300

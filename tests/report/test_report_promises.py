"""Promises: the numbers are those of conformal sets and abstention, one promise at a time."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from noisy_predictions import predictions

from lora_ensemble.analysis import abstain, conformal
from lora_ensemble.errors import DataError
from lora_ensemble.predictions import Predictions
from lora_ensemble.report import Results, summarise
from lora_ensemble.report.page import rendered
from lora_ensemble.report.promises import COVERAGES, KIND, RISKS, promises_of
from lora_ensemble.report.sections import promises
from lora_ensemble.report.sections.promises import target_curves


def validation(rows: int = 400, members: int = 3, spread: float = 1.0) -> Predictions:
    p = predictions(members, rows, seed=5, spread=spread)
    return replace(p, ids=[f"validation-{b}" for b in range(rows)], meta={**p.meta, "split": "validation"})


@pytest.mark.parametrize("members", [1, 3])
def test_sets_are_those_of_every_coverage_by_itself(members):
    p = predictions(members, 300, seed=1)
    for sets in promises_of(p, validation(members=members)).sets:
        made = conformal(validation(members=members), sets.target, KIND)(p)
        measured = made.measured()
        assert sets.coverage == measured.overall.value
        assert (sets.low, sets.high) == (measured.overall.low, measured.overall.high)
        assert sets.size == pytest.approx(measured.mean_size)
        assert sets.single == pytest.approx(float((made.sizes_B == 1).double().mean()))
        assert sets.worst == pytest.approx(min(share.value for share in measured.per_class.values()))
        assert measured.per_class[sets.worst_class].value == pytest.approx(sets.worst)


def test_answers_are_those_of_every_risk_by_itself():
    p = predictions(3, 300, seed=1)
    answered = {answers.target: answers for answers in promises_of(p, validation()).answers}
    assert tuple(answered) == RISKS
    for risk, answers in answered.items():
        try:
            fitted = abstain(validation(), risk=risk)
        except DataError:
            assert (answers.threshold, answers.kept, answers.risk) == (None, None, None)
            continue
        kept = fitted(p)
        assert (answers.threshold, answers.kept) == (fitted.threshold, kept.coverage.value)
        assert answers.risk == pytest.approx(kept.risk.value)
    assert {answers.kept is None for answers in answered.values()} == {True, False}


def test_without_labels_sizes_alone_are_known():
    sets = promises_of(predictions(labels=False), validation()).sets
    assert all(s.coverage is None and s.worst is None and s.size >= 1 for s in sets)


def test_a_class_of_few_rows_is_not_called_the_worst():
    rare = Predictions(np.eye(2)[None, [0] * 25 + [1] * 3] * 4, [0] * 25 + [1] * 3)
    found = promises_of(rare, replace(rare, meta={"split": "validation"})).sets
    assert {s.worst_class for s in found} == {"0"}


@pytest.fixture(scope="module")
def results() -> Results:
    """Two seeds, and a method without validation."""
    runs = [summarise(predictions(seed=s), "lora", seed=s, validation=validation(), intervals=False) for s in (0, 1)]
    return Results("Promised", (*runs, summarise(predictions(1), "single", intervals=False)))


def test_the_section_has_a_slider_for_each_promise(results, tmp_path):
    section = promises.section(results)
    assert section.reading.startswith("Thresholds that were fitted to 400 rows of validation")
    sets, answers = (part for part in section.parts if isinstance(part, promises.Slider))
    assert sets.values[sets.start] == "90 %"
    assert len(sets.tables) == len(COVERAGES)
    covered = [100 * run.promises.sets[COVERAGES.index(0.9)].coverage for run in results.methods["lora"]]
    expected = f"{np.mean(covered):.1f} ± {np.std(covered, ddof=1):.1f} %"
    assert sets.tables[sets.start].cells[0][1].text == expected
    assert len(answers.tables) == len(RISKS)
    assert answers.tables[0].cells[0][1].text == "-"  # nothing of 400 rows promises a thousandth
    assert answers.tables[answers.start].cells[0][1].text != "-"
    for slider in (sets, answers):
        assert all(0 < left < 100 for left in slider.mark.left)
        assert list(slider.mark.left) == sorted(slider.mark.left)
    results.save(tmp_path / "a.json")
    assert rendered(promises.section(Results.load(tmp_path / "a.json"))) == rendered(section)


def test_without_validation_there_is_no_section():
    assert promises.section(Results("T", (summarise(predictions(), "lora", intervals=False),))) is None


def test_curves_are_means_over_seeds():
    (axes,) = target_curves([0.5, 0.9], {"a": [[0.6, 0.9], [0.8, 1.0]]}, "promised", "held").axes
    line, diagonal = axes.lines
    assert list(line.get_xdata()) == [50, 90]
    assert list(line.get_ydata()) == pytest.approx([70, 95])
    assert list(diagonal.get_ydata()) == [50, 90]
    (axes,) = target_curves([0.01, 0.1], {"a": [np.nan, 1.0]}, "promised", "held", diagonal=False).axes
    assert re.fullmatch(r"1 %", axes.get_xticklabels()[0].get_text())

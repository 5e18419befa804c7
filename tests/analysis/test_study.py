"""Which experiments make up a study, and its table."""

from __future__ import annotations

import pytest

from lora_ensemble.analysis import Study, study_of, table

BASE = {"method.kind": "lora", "method.r": 4, "training.epochs": 3, "method.first_member": 0}


def test_one_field_that_differs_is_a_study() -> None:
    settings = {"a": {**BASE, "method.r": 16}, "b": BASE, "c": {**BASE, "method.r": 8}}
    study = study_of(settings)
    assert study == Study("method.r", {"a": 16, "b": 4, "c": 8})
    assert study.numeric
    assert study.order == ["b", "c", "a"]


@pytest.mark.parametrize(
    "other", [BASE, {**BASE, "method.r": 8, "training.epochs": 4}, {**BASE, "method.r": 8, "method.p": 0.1}]
)
def test_no_field_or_several_are_none(other: dict) -> None:
    assert study_of({"a": BASE, "b": other}) is None


def test_what_is_ignored_and_what_only_one_has() -> None:
    assert study_of({"a": BASE, "b": {**BASE, "method.first_member": 3}}, ("method.first_member",)) is None
    assert study_of({"a": BASE, "b": {**BASE, "method.p": 0.1}}) == Study("method.p", {"a": None, "b": 0.1})
    assert study_of({}) is None


def test_words_and_truth_values_are_no_numbers() -> None:
    assert not Study("method.init_a", {"a": "xavier", "b": "kaiming"}).numeric
    assert not Study("method.use_rslora", {"a": True, "b": False}).numeric
    assert Study("method.init_a", {"b": "xavier", "a": "kaiming"}).order == ["b", "a"]


def test_rows_are_values() -> None:
    compared = table({"x r=16": [{"nll": 0.2}], "x r=4": [{"nll": 0.1}, {"nll": 0.3}]}, ["nll"])
    shown = Study("method.r", {"x r=16": 16, "x r=4": 4}).table(compared)
    assert shown.to_markdown().splitlines() == [
        "| method.r | nll ↓ |",
        "| --- | ---: |",
        "| 4 | **0.200 ± 0.141** |",
        "| 16 | **0.200** |",
    ]
    assert shown.runs == {"4": 2, "16": 1}

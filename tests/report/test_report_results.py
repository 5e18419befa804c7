"""results.json: a round trip, and what it refuses."""

from __future__ import annotations

import json
import math

import pytest
from noisy_predictions import predictions, run

from lora_ensemble.analysis import evaluate
from lora_ensemble.errors import DataError, FileFormatError, UnknownNameError, UserError
from lora_ensemble.report import Results, report, summarise


def test_summary_holds_the_scores_of_evaluate():
    p, ood = predictions(), predictions(seed=9, labels=False)
    summary = summarise(p, "lora", ood={"noise": ood}, intervals=False)
    expected = evaluate(p, ood, intervals=False)
    assert dict(summary.scores) == dict(expected)
    assert set(summary.curves.entropy.outside) == {"noise"}
    several = summarise(p, "lora", ood={"noise": ood, "more": ood}, intervals=False)
    assert several.scores["auroc_msp[noise]"] == expected["auroc_msp"]


def test_round_trip_gives_the_same_file_and_the_same_report(tmp_path, comparison, compared):
    comparison.save(tmp_path / "a.json")
    again = Results.load(tmp_path / "a.json")
    again.save(tmp_path / "b.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert report(again) == compared
    assert again.table().to_latex() == comparison.table().to_latex()


def test_round_trip_of_intervals_and_examples(tmp_path):
    results = Results("One", (run("lora", examples=3),))
    results.save(tmp_path / "a.json")
    again = Results.load(tmp_path / "a.json").runs[0]
    assert again.wrong == results.runs[0].wrong
    assert again.uncertain == results.runs[0].uncertain
    assert again.scores.intervals == results.runs[0].scores.intervals


def test_undefined_numbers_are_null(tmp_path, comparison):
    comparison.save(tmp_path / "a.json")

    def refuse(name: str) -> None:
        raise AssertionError(name)

    data = json.loads((tmp_path / "a.json").read_text(), parse_constant=refuse)
    single = next(r for r in data["runs"] if r["method"] == "single")
    assert single["scores"]["disagreement"] is None
    assert math.isnan(Results.load(tmp_path / "a.json").methods["single"][0].scores["disagreement"])


def test_table_has_a_column_for_every_ood_set():
    p = predictions()
    results = Results("T", (summarise(p, "lora", ood={"a": p, "b": p}, intervals=False),))
    columns = results.table().columns
    assert "auroc_entropy[a]" in columns
    assert "auroc_entropy[b]" in columns
    assert results.table(("nll",)).columns == ("nll",)


def test_refused_results():
    with pytest.raises(DataError, match="no runs"):
        Results("T", ())
    with pytest.raises(DataError, match=r"'lora' have \[2, 3\] members: give them different names"):
        Results("T", (run("lora", 2, intervals=False), run("lora", 3, intervals=False)))
    with pytest.raises(UnknownNameError, match=r"unknown cost 'train_second'\. Did you mean 'train_seconds'"):
        summarise(predictions(), "lora", cost={"train_second": 1.0}, intervals=False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[: len(text) // 2], "truncated or not JSON"),
        (lambda text: "[]", "not of results"),
        (lambda text: text.replace("-results", "-elephants"), "not of results"),
        (lambda text: text.replace('"version": 1', '"version": 2'), "version 2, this library reads 1"),
        (lambda text: text.replace('"title"', '"titel"'), "'title' is missing"),
        (lambda text: text.replace('"curves": {', '"curves": 3, "x": {'), "no usable results"),
        (lambda text: text.replace('"inside"', '"insite"'), "Did you mean 'inside'"),
        (lambda text: text.replace('"runs": [', '"runs": [7, '), "no usable results"),
        (lambda text: text.replace('"cost": {', '"cost": {"money": 1, '), "unknown cost 'money'"),
    ],
)
def test_files_that_are_not_results(tmp_path, comparison, change, message):
    path = tmp_path / "results.json"
    comparison.save(path)
    path.write_text(change(path.read_text()))
    with pytest.raises(FileFormatError, match=message) as caught:
        Results.load(path)
    assert str(path) in str(caught.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match=r"no results file .*none\.json"):
        Results.load(tmp_path / "none.json")


def test_results_replace_nothing_but_results(tmp_path, comparison):
    (tmp_path / "run.json").write_text('{"members": 4}')
    with pytest.raises(UserError, match="already there, and holds no results"):
        comparison.save(tmp_path / "run.json")
    assert (tmp_path / "run.json").read_text() == '{"members": 4}'
    comparison.save(tmp_path / "results.json")
    comparison.save(tmp_path / "results.json")

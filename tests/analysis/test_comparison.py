"""Tables over methods and seeds."""

from __future__ import annotations

import json
import math

import pytest

from lora_ensemble.analysis import Scores, table
from lora_ensemble.errors import DataError, UnknownNameError

RESULTS = {
    "single": [Scores({"accuracy": a, "nll": n, "disagreement": math.nan}) for a, n in ((0.7, 0.8), (0.8, 0.7))],
    "lora": [Scores({"accuracy": a, "nll": n, "disagreement": 0.2}) for a, n in ((0.9, 0.2), (0.7, 0.4))],
    "deep": [{"accuracy": 0.8, "seconds": 12.0}],
}


def test_markdown_with_the_best_in_bold() -> None:
    assert table(RESULTS).to_markdown(digits=2).splitlines() == [
        "| method | accuracy ↑ | nll ↓ | disagreement |",
        "| --- | ---: | ---: | ---: |",
        "| single | 0.75 ± 0.07 | 0.75 ± 0.07 | - |",
        "| lora | **0.80 ± 0.14** | **0.30 ± 0.14** | 0.20 ± 0.00 |",
        "| deep | **0.80** | - | - |",
    ]


def test_columns_and_directions_of_ones_own() -> None:
    results = {**RESULTS, "single": [{"seconds": 3.0, "accuracy": 0.7}]}
    made = table(results, columns=["seconds", "accuracy"], directions={"seconds": "lower"})
    assert made.to_latex(digits=0).splitlines()[2:5] == [
        r"method & seconds $\downarrow$ & accuracy $\uparrow$ \\",
        r"\midrule",
        r"single & \textbf{3} & \textbf{1} \\",
    ]
    assert made.columns == ("seconds", "accuracy")


def test_json() -> None:
    rows = json.loads(table(RESULTS).to_json())
    assert rows["lora"]["runs"] == 2
    assert rows["lora"]["nll"] == {"mean": pytest.approx(0.3), "std": pytest.approx(math.sqrt(0.02))}
    assert rows["deep"]["nll"] == {"mean": None, "std": None}


def test_one_method_has_no_best() -> None:
    assert "**" not in table({"lora": RESULTS["lora"]}).to_markdown()


def test_what_is_refused() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown score 'acc'\. Did you mean 'accuracy'"):
        table(RESULTS, columns=["acc"])
    with pytest.raises(DataError, match="method 'lora' has no runs"):
        table({"lora": []})


def test_two_ood_sets_are_columns_of_their_own() -> None:
    scores = {"accuracy": 0.5, "auroc_entropy[near]": 0.6, "auroc_entropy[far]": 0.9, "auroc_msp[far]": 0.8}
    assert table({"a": [scores]}).columns == ("accuracy", "auroc_entropy[near]", "auroc_entropy[far]")


def test_names_never_act_on_a_terminal() -> None:
    made = table({"evil\x1b[31m\u202e\n": [{"nll": 1.0, "x\x07": 2.0}]}, ["nll", "x\x07"])
    for text in (made.to_markdown(), made.to_latex(), made.to_json()):
        assert all(line.isprintable() for line in text.splitlines()), text
    assert r"| evil\x1b[31m\u202e\n |" in made.to_markdown()

"""Scores as text: markdown, LaTeX, JSON and back."""

from __future__ import annotations

import json
import math

import pytest

from lora_ensemble.analysis import Scores
from lora_ensemble.errors import DataError, UnknownNameError

SCORES = Scores(
    point={"accuracy": 0.875, "nll": 0.5, "divergence": math.nan, "total": -0.0},
    intervals={"accuracy": (0.8, 0.9), "nll": (0.4, 0.6), "divergence": (math.nan, math.nan), "total": (0.0, 0.25)},
    per_member={
        "accuracy": (0.75, 0.85),
        "nll": (0.6, 0.6),
        "divergence": (math.nan, math.nan),
        "total": (0.125, 0.125),
    },
    about={"members": 2},
)


def test_markdown() -> None:
    assert SCORES.to_markdown(digits=2).splitlines() == [
        "| score | value | 95 % interval | one member |",
        "| --- | ---: | ---: | ---: |",
        "| accuracy ↑ | 0.88 | 0.80 to 0.90 | 0.80 ± 0.07 |",
        "| nll ↓ | 0.50 | 0.40 to 0.60 | 0.60 ± 0.00 |",
        "| divergence | - | - | - |",
        "| total | 0.00 | 0.00 to 0.25 | 0.12 ± 0.00 |",
    ]


def test_latex() -> None:
    assert Scores({"ece_15": 0.5, "auroc_msp[a%b]": 1.0}).to_latex(digits=1).splitlines() == [
        r"\begin{tabular}{lr}",
        r"\toprule",
        r"score & value \\",
        r"\midrule",
        r"ece\_15 $\downarrow$ & 0.5 \\",
        r"auroc\_msp[a\%b] $\uparrow$ & 1.0 \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


def test_json_round_trip() -> None:
    text = SCORES.to_json()
    assert json.loads(text)["scores"]["divergence"] is None
    back = Scores.from_json(text)
    assert back.to_markdown() == SCORES.to_markdown()
    assert back.about == {"members": 2}
    assert back["nll"] == 0.5


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"scores": 3}'])
def test_foreign_json(text: str) -> None:
    with pytest.raises(DataError, match="not the JSON of scores"):
        Scores.from_json(text)


def test_names_that_do_not_exist() -> None:
    with pytest.raises(KeyError, match="Did you mean 'accuracy'"):
        SCORES["acuracy"]
    assert SCORES.get("acuracy") is None
    with pytest.raises(UnknownNameError, match="Did you mean 'nll'"):
        SCORES.interval("nl")
    with pytest.raises(UnknownNameError):
        SCORES.member_mean("nl")

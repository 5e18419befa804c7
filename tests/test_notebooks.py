"""What notebooks show of predictions, scores and tables: their numbers, and names that are harmless."""

from __future__ import annotations

import re
from html import escape

import pytest
import torch

from lora_ensemble import Predictions, evaluate
from lora_ensemble.analysis import Scores, table
from lora_ensemble.analysis.fold_scores import FoldScores
from lora_ensemble.printable import printable

EVIL = "<script>\x1b[31m</script>&"


def cells(html: str) -> list[list[str]]:
    return [
        re.findall(r"<t[hd][^>]*>(?:<b>)?(.*?)(?:</b>)?</t[hd]>", row) for row in re.findall("<tr>(.*?)</tr>", html)
    ]


def predictions(rows: int, labels: bool = True) -> Predictions:
    generator = torch.Generator().manual_seed(0)
    logits_MBC = torch.randn(3, rows, 2, generator=generator)
    return Predictions(
        logits_MBC, [0] * rows if labels else None, [f"{EVIL}{b}" for b in range(rows)], {"classes": [EVIL, "b"]}
    )


@pytest.mark.parametrize("labels", [True, False])
def test_predictions_show_what_their_table_holds(labels: bool) -> None:
    p = predictions(12, labels)
    html = p._repr_html_()
    header, *rows = cells(html)
    frame = p.to_pandas()
    assert header == list(frame.columns)
    assert len(rows) == 10
    for b, row in enumerate(rows):
        for name, shown in zip(header, row, strict=True):
            value = frame[name][b]
            expected = escape(printable(value)) if isinstance(value, str) else f"{value:.3f}"
            assert shown == expected
    assert "and 2 more rows" in html
    assert "more row" not in predictions(10)._repr_html_()
    assert "3 members, 12 rows" in html


def test_scores_and_tables_show_their_numbers() -> None:
    scores = evaluate(predictions(12), intervals=False)
    markdown = [line.strip("| ").split(" | ") for line in scores.to_markdown().splitlines()]
    assert cells(scores._repr_html_()) == [markdown[0], *markdown[2:]]
    assert f'<td style="text-align: right">{scores["nll"]:.4f}</td>' in scores._repr_html_()
    compared = table({"a": [scores], EVIL: [Scores({"nll": 0.001})]}, ["nll"])
    assert "<b>0.001</b>" in compared._repr_html_()
    folds = FoldScores({0: scores}, scores)
    for html in (scores._repr_html_(), compared._repr_html_(), folds._repr_html_(), predictions(3)._repr_html_()):
        assert "<script" not in html
        assert html.isprintable()

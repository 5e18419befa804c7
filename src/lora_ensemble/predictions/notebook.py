"""What a notebook shows of predictions: how many, and the first of them with their uncertainties."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from lora_ensemble.printable import html_table

if TYPE_CHECKING:
    from lora_ensemble.predictions.predictions import Predictions

ROWS = 10
HEADER = ["id", "prediction", "probability", "total", "aleatoric", "epistemic", "agreement"]


def html_of(p: Predictions) -> str:
    """The first rows, as `Predictions.to_pandas` gives them; uncertainties are in nats."""
    first = p.rows(slice(ROWS))
    probability_B, predicted_B = first.pooled_probs().max(-1)
    agreement_B = (first.logits_MBC.argmax(-1) == predicted_B).double().mean(0)
    classes = p.meta.get("classes") or range(p.num_classes)
    rows = []
    for b in range(len(first)):
        numbers = [probability_B[b], first.total_B[b], first.aleatoric_B[b], first.epistemic_B[b], agreement_B[b]]
        row = [str(b) if p.ids is None else p.ids[b], str(classes[int(predicted_B[b])]), *(f"{v:.3f}" for v in numbers)]
        rows.append(row if first.labels_B is None else [*row, str(classes[int(first.labels_B[b])])])
    left = len(p) - len(first)
    after = f"<p>and {left:,} more row{'s' * (left > 1)}</p>" if left else ""
    return f"<p>{escape(repr(p))}</p>" + html_table(HEADER + ["label"] * (p.labels_B is not None), rows) + after

"""Scores as prs-eth/LoRA-Ensemble computes them: two ways to pool members in one table."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lora_ensemble.analysis import Scores
    from lora_ensemble.predictions import Predictions

FROM_MEAN_LOGITS = ("accuracy", "ece_10")


def published_scores(p: Predictions) -> Scores:
    """`evaluate(p)`, with accuracy and ECE (10 bins) from the softmax of mean logits, as published; the others from the
    mean of probabilities."""
    from lora_ensemble.analysis import evaluate

    own, pooled = evaluate(p), evaluate(p, pooling="softmax-of-mean-logits")
    return dataclasses.replace(
        own,
        point=own.point | {name: pooled[name] for name in FROM_MEAN_LOGITS},
        intervals=own.intervals | {name: pooled.interval(name) for name in FROM_MEAN_LOGITS},
        about=own.about | {"pooling": "as published"},
    )

"""Scores as prs-eth/LoRA-Ensemble computes them: two ways to pool members in one table."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lora_ensemble.analysis import Scores
    from lora_ensemble.interop.prs_eth.command_line import Request
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


def published_rows(p: Predictions, asked: Request) -> Predictions:
    """The rows that the published code scores: of the first batches, where the settings end an evaluation early."""
    batches = asked.subset("evaluation")
    if batches is None or asked.audio:
        return p
    trained = asked.settings.values["training.training_batch_size"]
    rows = batches * int(asked.settings.get("evaluation.evaluation_batch_size", trained))
    return p.rows(list(range(min(rows, len(p)))))


def best_epoch(epochs: Iterable[Predictions], asked: Request) -> Predictions:
    """Of an epoch each, in their order, those with the best published accuracy, the first of equals."""
    from lora_ensemble.analysis import evaluate

    def accuracy(p: Predictions) -> float:
        return evaluate(published_rows(p, asked), pooling="softmax-of-mean-logits", intervals=False)["accuracy"]

    return max(epochs, key=accuracy)

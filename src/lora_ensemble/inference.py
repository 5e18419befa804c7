"""Predictions of an ensemble on a whole split, in batches."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace

import torch
from torch import Tensor
from torch.utils.data import BatchSampler

from lora_ensemble.batches import batches, prepared
from lora_ensemble.contracts import LoadedBackbone, Split
from lora_ensemble.engine.ensemble import Ensemble, evaluating
from lora_ensemble.engine.features import HeadInputs, head_inputs
from lora_ensemble.engine.losses import IGNORE
from lora_ensemble.errors import DataError
from lora_ensemble.predictions import Predictions
from lora_ensemble.randomness import seeded

_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


@torch.no_grad()
def predict_split(
    ensemble: Ensemble,
    split: Split,
    backbone: LoadedBackbone,
    *,
    classes: Sequence[str],
    batch_size: int,
    device: torch.device,
    precision: str = "fp32",
    workers: int = 0,
    seed: int = 0,
    on_features: Callable[[str], None] | None = None,
) -> Predictions:
    """Logits of all members on every example, in evaluation mode. The same for the same seed and batch size, also where
    dropout stays on. Rows that differ in length run sorted by it, and come back in their order.

    classes: those that the ensemble was trained on. Labels are kept where those of the split are the same ones, or the
    first of them. Where the backbone predicts tokens (`by_token`), the rows are tokens, named <id>#<number>, and all
    labels are 0. on_features: hidden features are kept, too, and it is told how large they will be after the first
    batch; raises UserError for a network that has none. Raises DataError for an empty split and for inputs that are
    NaN, infinite or too long.
    """
    if len(split) == 0:
        raise DataError("the split is empty")
    backbone = backbone.scoring or backbone
    ensemble.to(device)
    began = time.monotonic()
    with (
        evaluating(ensemble),
        seeded(seed, "predict"),
        torch.autocast(device.type, _AUTOCAST.get(precision), enabled=precision in _AUTOCAST),
        nullcontext() if on_features is None else head_inputs(ensemble, backbone.head) as heads,
    ):
        order = _order(split, backbone)
        outputs = _outputs(ensemble, split, backbone, BatchSampler(order, batch_size, drop_last=False), device, workers)
        kept: list[Tensor] = []
        if on_features is not None and heads is not None:
            outputs = _with_features(outputs, heads, kept, len(split), on_features)
        predictions = (_of_rows if backbone.by_token is None else _of_tokens)(outputs, order, split, backbone, classes)
    if kept:
        features_MBD = torch.cat(kept, 1)[:, torch.tensor(order).argsort()]
        predictions = replace(predictions, features_MBD=features_MBD)
    seconds = time.monotonic() - began
    cost = {"seconds": seconds, "examples_per_second": len(split) / seconds}
    return replace(predictions, meta={**predictions.meta, **cost})


def _order(split: Split, backbone: LoadedBackbone) -> list[int]:
    """Longest first, so that a batch that does not fit into memory is met at once."""
    rows = list(range(len(split)))
    if backbone.lengths is None:
        return rows
    lengths = backbone.lengths(split.examples)
    return sorted(rows, key=lambda row: -lengths[row])


def _outputs(
    ensemble: Ensemble,
    split: Split,
    backbone: LoadedBackbone,
    rows: BatchSampler,
    device: torch.device,
    workers: int,
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Logits of each batch, and its labels."""
    labelled = None if backbone.by_token is None else backbone.collate_labelled
    for batch in batches(split, backbone.collate, rows, workers, labelled):
        inputs, labels = prepared(batch, backbone, device)
        yield ensemble(**inputs).logits.float(), labels


def _with_features(
    outputs: Iterator[tuple[Tensor, Tensor | None]],
    heads: HeadInputs,
    kept: list[Tensor],
    rows: int,
    told: Callable[[str], None],
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """The same outputs; each batch's features (M, B, D) are added to `kept`."""
    for logits, labels in outputs:
        kept.append(heads.taken(*logits.shape[:2]))
        if len(kept) == 1:
            members, _, width = kept[0].shape
            size = 4e-6 * members * rows * width
            told(f"keeping hidden features: {members} members x {rows} rows x {width} numbers, {size:,.1f} MB")
        yield logits, labels


def _of_rows(
    outputs: Iterator[tuple[Tensor, Tensor | None]],
    order: Sequence[int],
    split: Split,
    backbone: LoadedBackbone,
    classes: Sequence[str],
) -> Predictions:
    logits_MBC = torch.cat([logits for logits, _ in outputs], dim=1).cpu()
    logits_MBC = logits_MBC[:, torch.tensor(order).argsort()]
    labels = _labels(split, classes)
    return Predictions(logits_MBC, labels, list(split.ids), {"classes": [*classes, *backbone.other_classes]})


def _labels(split: Split, classes: Sequence[str]) -> Tensor | None:
    """By the names of the classes, whose order may be another one; None where one of them was not learned."""
    if split.labels is None:
        return None
    if list(split.classes) == list(classes)[: len(split.classes)]:
        return torch.as_tensor(split.labels)
    index = {name: number for number, name in enumerate(classes)}
    if not split.classes or not set(split.classes) <= set(index):
        return None
    learned = torch.tensor([index[name] for name in split.classes])
    labels = torch.as_tensor(split.labels)
    return torch.where(labels >= 0, learned[labels.clamp(min=0)], labels)


def _of_tokens(
    outputs: Iterator[tuple[Tensor, Tensor | None]],
    order: Sequence[int],
    split: Split,
    backbone: LoadedBackbone,
    classes: Sequence[str],
) -> Predictions:
    """A row for each token. Which other tokens are classes depends on the ensemble, so that the last class carries a
    name of its own: predictions of different ensembles cannot be concatenated by mistake."""
    assert backbone.by_token is not None
    if split.labels is None:
        raise DataError("the split has no labels: the answer is part of the text whose tokens are predicted")
    parts: dict[int, Tensor] = {}
    left = iter(order)
    for logits, labels in outputs:
        assert labels is not None
        counts = (labels[:, 1:] != IGNORE).sum(1).tolist()
        kept_MNC = backbone.by_token(logits, labels).cpu()
        parts |= {next(left): part for part in torch.split(kept_MNC, counts, dim=1)}
    logits_MNC = torch.cat([parts[row] for row in range(len(split))], dim=1)
    ids = [f"{split.ids[row]}#{n + 1}" for row in range(len(split)) for n in range(parts[row].shape[1])]
    *others, rest = backbone.other_classes
    digest = hashlib.sha256(logits_MNC.numpy().tobytes()).hexdigest()[:8]
    names = ["the token itself", *others, f"{rest} ({digest})"]
    return Predictions(logits_MNC, torch.zeros(len(ids), dtype=torch.long), ids, {"classes": names})

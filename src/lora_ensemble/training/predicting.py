"""Predictions of an ensemble on a whole split, in batches."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch
from torch.utils.data import BatchSampler, SequentialSampler

from lora_ensemble.contracts import LoadedBackbone, Split
from lora_ensemble.engine.ensemble import Ensemble, evaluating
from lora_ensemble.errors import DataError
from lora_ensemble.predictions import Predictions
from lora_ensemble.randomness import seeded
from lora_ensemble.training.loading import LABELS, batches, opened

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
) -> Predictions:
    """Logits of all members on every example, in evaluation mode. The same for the same seed and batch size, also where
    dropout stays on.

    classes: those that the ensemble was trained on. Labels are kept where the split has the same ones. Raises DataError
    for an empty split and for inputs that are NaN or infinite.
    """
    if len(split) == 0:
        raise DataError("the split is empty")
    rows = BatchSampler(SequentialSampler(range(len(split))), batch_size, drop_last=False)
    ensemble.to(device)
    logits = []
    began = time.monotonic()
    with (
        evaluating(ensemble),
        seeded(seed, "predict"),
        torch.autocast(device.type, _AUTOCAST.get(precision), enabled=precision in _AUTOCAST),
    ):
        for batch in batches(split, backbone.collate, rows, workers):
            moved = {name: values.to(device, non_blocking=True) for name, values in opened(batch).items()}
            moved.pop(LABELS, None)
            logits.append(ensemble(**backbone.prepare(moved)).logits.float())
    logits_MBC = torch.cat(logits, dim=1).cpu()
    seconds = time.monotonic() - began
    same = split.labels is not None and list(split.classes) == list(classes)
    meta = {"classes": list(classes), "seconds": seconds, "examples_per_second": len(split) / seconds}
    return Predictions(logits_MBC, torch.as_tensor(split.labels) if same else None, list(split.ids), meta)

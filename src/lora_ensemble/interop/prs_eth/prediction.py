"""Predictions of an ensemble with published weights: on images divided by 255, as it was trained."""

from __future__ import annotations

from typing import Any

from lora_ensemble.backbones.torchvision_vit import TorchvisionVit
from lora_ensemble.contracts import Dataset, LoadedBackbone
from lora_ensemble.engine.ensemble import Ensemble
from lora_ensemble.predictions import Predictions
from lora_ensemble.training.devices import pick_device
from lora_ensemble.training.predicting import predict_split


def predict(
    ensemble: Ensemble,
    dataset: Dataset,
    split: str = "test",
    *,
    batch_size: int = 32,
    device: str = "auto",
    workers: int = 0,
    seed: int = 0,
) -> Predictions:
    """Predictions of what `load_weights` returned on a split of a data set. seed: of the dropout of MCDropout.

    Raises DataError for data that are missing or unreadable."""
    rows = dataset.load(split)
    inputs = TorchvisionVit(normalisation="none").inputs(_image_size(ensemble))
    loaded = LoadedBackbone(model=ensemble, collate=inputs.collate, prepare=inputs.prepare, head=None)
    return predict_split(
        ensemble,
        rows,
        loaded,
        classes=rows.classes,
        batch_size=batch_size,
        device=pick_device(device),
        workers=workers,
        seed=seed,
    )


def _image_size(ensemble: Ensemble) -> int:
    from transformers import ViTForImageClassification

    network = next(module for module in ensemble.modules() if isinstance(module, ViTForImageClassification))
    size: Any = network.config.image_size
    return size

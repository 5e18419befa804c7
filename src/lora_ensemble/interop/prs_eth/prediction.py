"""Predictions of an ensemble with published weights, on inputs as in its training: images divided by 255, or sounds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lora_ensemble.backbones.ast import Ast
from lora_ensemble.backbones.torchvision_vit import TorchvisionVit
from lora_ensemble.contracts import Dataset, LoadedBackbone
from lora_ensemble.devices import pick_device
from lora_ensemble.engine.ensemble import Ensemble
from lora_ensemble.inference import predict_split
from lora_ensemble.predictions import Predictions

if TYPE_CHECKING:
    from lora_ensemble.audio.inputs import SpectrogramInputs
    from lora_ensemble.images.inputs import ImageInputs


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
    inputs = _inputs(ensemble)
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


def _inputs(ensemble: Ensemble) -> ImageInputs | SpectrogramInputs:
    from transformers import ASTForAudioClassification, ViTForImageClassification

    kinds = (ASTForAudioClassification, ViTForImageClassification)
    network: Any = next(module for module in ensemble.modules() if isinstance(module, kinds))
    c = network.config
    if isinstance(network, ASTForAudioClassification):
        return Ast(frames=c.max_length, bins=c.num_mel_bins).inputs()
    return TorchvisionVit(normalisation="none").inputs(c.image_size)

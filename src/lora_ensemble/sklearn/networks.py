"""What is given as the backbone, as one in memory: a name, a configuration, a module, or nothing."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lora_ensemble import registry
from lora_ensemble.contracts import Backbone, Batch, Example, LoadedBackbone, Split
from lora_ensemble.engine.surgery import find_head
from lora_ensemble.errors import ConfigurationError, DataError
from lora_ensemble.randomness import seeded
from lora_ensemble.sklearn.features import SHARED, TARGETS, FeatureTransformer
from lora_ensemble.sklearn.rows import FEATURES

BY_MODALITY = {"text": "text", "image": "vit", "audio": "ast"}
"""The backbone that loads a name, by what the rows are."""


def configured(backbone: Any, modality: str) -> Any:
    """A name, or none, as the configuration of a backbone; anything else as it is.

    A name is one of `lora-ensemble list backbones`, or a hub id or folder for the backbone of the modality."""
    if isinstance(backbone, str) and backbone in registry.names("backbones"):
        return registry.config_class("backbones", backbone)()
    if backbone is None or isinstance(backbone, str):
        if modality not in BY_MODALITY:
            if backbone is None:
                return None
            raise ConfigurationError([f"backbone = {backbone!r}: rows of numbers need a torch module, or none"])
        kind = registry.config_class("backbones", BY_MODALITY[modality])
        return kind() if backbone is None else kind(name=backbone)
    if not isinstance(backbone, Backbone | nn.Module):
        raise ConfigurationError(
            [f"backbone is {type(backbone).__name__}: expected a name, a folder, a Backbone or a torch module"]
        )
    return backbone


def loaded(backbone: Any, split: Split, seed: int) -> LoadedBackbone:
    """backbone: as `configured` gives it. A module is copied; it is called with the rows as they are, as its first
    argument, and gives logits, one for each class. Raises ConfigurationError for a backbone of another modality."""
    classes = len(split.classes)
    with seeded(seed, "backbone"):
        if backbone is None:
            return _feature_transformer(split.examples, classes)
        if isinstance(backbone, nn.Module):
            return _module(copy.deepcopy(backbone), split)
        if problems := backbone.problems():
            raise ConfigurationError(problems)
        found: LoadedBackbone = backbone.fitted(split).load(classes)
        return found


@dataclass(frozen=True)
class Rows:
    """Rows of numbers on their way into a network, standardised where there is a mean."""

    mean: np.ndarray | None = None
    std: np.ndarray | None = None
    argument: str = "row"

    def collate(self, examples: Sequence[Example]) -> Batch:
        rows = np.stack([example["row"] for example in examples])
        if self.mean is not None:
            rows = (rows - self.mean) / self.std
        return {self.argument: torch.from_numpy(rows if rows.dtype.kind in "iu" else rows.astype(np.float32))}

    def prepare(self, batch: Batch) -> Batch:
        return batch


def _feature_transformer(examples: Sequence[Example], classes: int) -> LoadedBackbone:
    rows = np.stack([example["row"] for example in examples]).astype(np.float64)
    std = rows.std(0)
    inputs = Rows(rows.mean(0), np.where(std > 0, std, 1.0))
    model = FeatureTransformer(rows.shape[1], classes)
    return LoadedBackbone(model, inputs.collate, inputs.prepare, "classifier", targets=TARGETS, also_trained=SHARED)


def _module(model: nn.Module, split: Split) -> LoadedBackbone:
    import inspect

    if split.modality == "image":
        inputs: Any = _image_inputs(model)
    elif split.modality == FEATURES:
        inputs = Rows(argument=next(iter(inspect.signature(model.forward).parameters)))
    else:
        raise ConfigurationError([f"backbone: a module reads no {split.modality}; give the folder that it came from"])
    found = LoadedBackbone(model, inputs.collate, inputs.prepare, find_head(model))
    _check_outputs(found, split)
    return found


def _image_inputs(model: nn.Module) -> Any:
    """What timm or transformers say of the model's images."""
    from lora_ensemble.backbones.vit import timm_inputs, transformers_inputs

    if hasattr(model, "pretrained_cfg"):
        return timm_inputs(model)
    config = getattr(model, "config", None)
    if not hasattr(config, "image_size"):
        raise ConfigurationError(
            ["backbone: a module that is none of timm's or transformers' takes no uint8 images; give it floats"]
        )
    return transformers_inputs(str(getattr(config, "_name_or_path", "")), config)


@torch.no_grad()
def _check_outputs(found: LoadedBackbone, split: Split) -> None:
    """Raises DataError for a module whose output is no logits, one for each class."""
    training = found.model.training
    output = found.model.eval()(**found.prepare(found.collate(split.examples[:1])))
    found.model.train(training)
    logits = getattr(output, "logits", output)
    if not isinstance(logits, Tensor) or logits.ndim != 2 or logits.shape[1] != len(split.classes):
        got = f"{tuple(logits.shape)}" if isinstance(logits, Tensor) else type(logits).__name__
        raise DataError(
            f"backbone: {type(found.model).__name__} gives {got} for one row, expected logits (1, "
            f"{len(split.classes)}), one for each class of y"
        )

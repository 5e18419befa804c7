"""The published command line, read and checked: settings, model name, members."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lora_ensemble.conversions.torchvision import ARCHITECTURES
from lora_ensemble.datasets.cifar10 import Cifar10
from lora_ensemble.datasets.cifar100 import Cifar100
from lora_ensemble.datasets.esc50 import Esc50
from lora_ensemble.datasets.ham10000 import Ham10000
from lora_ensemble.errors import ConfigurationError, UnknownNameError, UserError
from lora_ensemble.interop.prs_eth.table import Settings, read_settings

METHODS = ("lora", "deep", "dropout")
IMAGE_MODELS = ("LoRA_Former", "Deep_Ensemble", "MCDropout")
AUDIO_MODELS = ("AST_Former", "Explicit_AST", "ASTMCDropout")
"""The published names of these methods, over a ViT and over an AST."""

DEIT = {
    "base384": "timm/deit_base_distilled_patch16_384.fb_in1k",
    "base224": "timm/deit_base_distilled_patch16_224.fb_in1k",
    "small224": "timm/deit_small_distilled_patch16_224.fb_in1k",
    "tiny224": "timm/deit_tiny_distilled_patch16_224.fb_in1k",
}
"""Where the ImageNet weights of an AST are on the hub, by their published name."""

DATASETS: dict[str, tuple[type[Any], int, int]] = {
    "CIFAR10": (Cifar10, 10, 50_000),
    "CIFAR100": (Cifar100, 100, 50_000),
    "HAM10000": (Ham10000, 7, 8_012),
    "ESC50": (Esc50, 50, 1_600),
}
"""Data set, its number of classes, and of training examples as published."""


@dataclass(frozen=True)
class Request:
    """The published command line: settings, model name and members; and how faithful to be."""

    settings: Settings
    model_name: str
    members: int
    as_published: bool = False

    @property
    def method(self) -> str:
        """One of METHODS."""
        return METHODS[(IMAGE_MODELS + AUDIO_MODELS).index(self.model_name) % len(METHODS)]

    @property
    def audio(self) -> bool:
        """Whether the backbone is an AST."""
        return self.model_name in AUDIO_MODELS

    @property
    def snapshot(self) -> bool:
        """Whether one network is trained in cycles, `members` in number."""
        return bool(self.settings.get("training.mode") == "snapshot")

    @property
    def trained_members(self) -> int:
        """How many members a training step runs."""
        return 1 if self.snapshot else self.members

    @property
    def weights(self) -> str | None:
        """Where the ImageNet weights of an AST are; None where it is pretrained on AudioSet."""
        version = self.settings.get("model.DeiT_version", "base384")
        return None if self.settings.get("model.audioset_pretraining") else DEIT[version]

    @property
    def arch(self) -> str:
        """torchvision's name of the architecture; of an AST, what it starts from."""
        if self.audio:
            return f"an AST from {(self.weights or 'AudioSet').removeprefix('timm/')}"
        return f"vit_{self.settings.values['model.ViT_config'][0]}_{self.settings.values['model.ViT_patch_size']}"

    @property
    def steps_per_epoch(self) -> int:
        """Of the published training split, or of the part of it that an epoch takes."""
        examples = DATASETS[self.settings.values["data.data_set"]][2]
        whole = math.ceil(examples / int(self.settings.values["training.training_batch_size"]))
        return min(whole, self.subset("train") or whole)

    def subset(self, part: str) -> int | None:
        """After how many batches an epoch of "train" or "evaluation" ends. As published, 0 is no limit."""
        return int(self.settings.get(f"data.subset_{part}_iterations", 0)) or None

    @property
    def stops_early(self) -> bool:
        """Whether the weights of the best epoch are kept. Snapshots and folds are scored without looking at that."""
        return bool(self.settings.get("training.early_stopping")) and not self.audio and not self.snapshot

    @property
    def layers(self) -> int:
        """Number of transformer blocks."""
        return 12 if self.audio else ARCHITECTURES[self.arch].layers

    @property
    def steps_in_bounds(self) -> int:
        """The smaller of the two limits, `max_steps` and `max_epochs`."""
        values = self.settings.values
        steps: int = min(values["training.max_steps"], values["training.max_epochs"] * self.steps_per_epoch)
        return steps

    @property
    def published_steps(self) -> int:
        """After how many steps the published code ends, which is with `max_epochs`: `max_steps` only cuts the epoch
        short in which it is reached. In the settings for images, that is the last one."""
        values, per_epoch = self.settings.values, self.steps_per_epoch
        whole = values["training.max_epochs"] * per_epoch
        steps: int = whole - (-self.steps_in_bounds % per_epoch)
        return steps


def request(name_or_path: str | Path, model_name: str, members: int, *, as_published: bool = False) -> Request:
    """The command line, read and checked."""
    if model_name not in (*IMAGE_MODELS, *AUDIO_MODELS):
        raise UnknownNameError("model name", model_name, (*IMAGE_MODELS, *AUDIO_MODELS))
    if type(members) is not int or members < 1:
        raise ConfigurationError([f"members = {members!r}: must be a whole number of at least 1"])
    settings = read_settings(name_or_path)
    data_set = settings.values["data.data_set"]
    if (model_name in AUDIO_MODELS) != (data_set == "ESC50"):
        expected = AUDIO_MODELS if data_set == "ESC50" else IMAGE_MODELS
        raise UserError(f"settings {settings.name} are for {data_set}, so for {', '.join(expected)}, not {model_name}")
    return Request(settings, model_name, members, as_published)

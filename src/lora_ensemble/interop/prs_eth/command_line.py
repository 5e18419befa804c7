"""The published command line, read and checked: settings, model name, members."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lora_ensemble.datasets.cifar10 import Cifar10
from lora_ensemble.datasets.cifar100 import Cifar100
from lora_ensemble.datasets.ham10000 import Ham10000
from lora_ensemble.errors import ConfigurationError, UnknownNameError, UserError
from lora_ensemble.interop.prs_eth.table import Settings, read_settings

IMAGE_MODELS = ("LoRA_Former", "Deep_Ensemble", "MCDropout")
AUDIO_MODELS = ("AST_Former", "Explicit_AST", "ASTMCDropout")

DATASETS: dict[str, tuple[type[Any], int, int]] = {
    "CIFAR10": (Cifar10, 10, 50_000),
    "CIFAR100": (Cifar100, 100, 50_000),
    "HAM10000": (Ham10000, 7, 8_012),
}
"""Data set, its number of classes, and of training images as published."""


@dataclass(frozen=True)
class Request:
    """The published command line: settings, model name and members; and how faithful to be."""

    settings: Settings
    model_name: str
    members: int
    as_published: bool = False

    @property
    def snapshot(self) -> bool:
        """Whether one network is trained in cycles, `members` in number."""
        return self.settings.get("training.mode") == "snapshot"

    @property
    def trained_members(self) -> int:
        """How many members a training step runs."""
        return 1 if self.snapshot else self.members

    @property
    def arch(self) -> str:
        """torchvision's name of the architecture."""
        return f"vit_{self.settings.values['model.ViT_config'][0]}_{self.settings.values['model.ViT_patch_size']}"

    @property
    def steps_per_epoch(self) -> int:
        """Of the published training split."""
        examples = DATASETS[self.settings.values["data.data_set"]][2]
        return math.ceil(examples / self.settings.values["training.training_batch_size"])

    @property
    def published_steps(self) -> int:
        """After how many steps the published code ends: it stops at `max_epochs` as well as at `max_steps`."""
        values = self.settings.values
        return min(values["training.max_steps"], values["training.max_epochs"] * self.steps_per_epoch)


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
    if data_set == "ESC50":
        raise UserError(f"settings {settings.name} need the backbone 'ast' and the data set 'esc50', not here yet")
    return Request(settings, model_name, members, as_published)

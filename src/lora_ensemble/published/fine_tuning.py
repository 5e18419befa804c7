"""What recipes of fine-tuned classifiers share, of texts and of images of one's own: no paper's settings.

A budget, the same for every method, and a learning rate for each kind of method; docs/experiments.md has what they were
seen to do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lora_ensemble.backbones.text import Text
from lora_ensemble.backbones.vit import ViT
from lora_ensemble.contracts import Backbone, Dataset, Method
from lora_ensemble.experiment import Experiment, Training
from lora_ensemble.methods.deep import Deep
from lora_ensemble.methods.lora import Lora
from lora_ensemble.methods.mc_dropout import McDropout
from lora_ensemble.methods.single import Single
from lora_ensemble.methods.single_lora import SingleLora
from lora_ensemble.methods.snapshot import Snapshot

MEMBERS = 4


@dataclass(frozen=True)
class FineTuning:
    """The recipes of one data set."""

    dataset: Dataset
    backbone: Backbone
    learning_rate: float
    """Of methods that train the whole network."""
    lora_learning_rate: float
    training: Mapping[str, Any]

    def single(self) -> Experiment:
        """One network, all weights trained."""
        return self._with(Single())

    def single_lora(self) -> Experiment:
        """One network, trained by low-rank updates."""
        return self._with(SingleLora(r=8), learning_rate=self.lora_learning_rate)

    def mc_dropout(self, members: int = MEMBERS) -> Experiment:
        """One network; dropped attention keys make the members at prediction."""
        return self._with(McDropout(members=members, p=0.1))

    def snapshot(self, members: int = MEMBERS) -> Experiment:
        """One network under a cyclic learning rate; a member at the end of each cycle."""
        return self._with(Snapshot(members=members), learning_rate=2 * self.learning_rate, schedule="cyclic-cosine")

    def deep(self, members: int = MEMBERS) -> Experiment:
        """Whole networks, each trained by itself."""
        return self._with(Deep(members=members))

    def lora(self, members: int = MEMBERS) -> Experiment:
        """LoRA ensemble: one frozen network, low-rank updates and a head per member."""
        return self._with(Lora(members=members, r=8), learning_rate=self.lora_learning_rate)

    def _with(self, method: Method, **training: Any) -> Experiment:
        settings = {"learning_rate": self.learning_rate, **self.training, **training}
        return Experiment(self.backbone, method, self.dataset, Training(**settings))


def of_texts(dataset: Dataset) -> FineTuning:
    """A small encoder; batches of 32 texts of like length, 4 epochs, AdamW."""
    training = {"epochs": 4, "batch_size": 32, "weight_decay": 0.01, "schedule": "linear", "group_by_length": True}
    return FineTuning(dataset, Text(), TEXT_LEARNING_RATE, LORA_LEARNING_RATE, training)


def of_images(dataset: Dataset) -> FineTuning:
    """A ViT-B/16 pretrained on ImageNet-21k; batches of 32, 10 epochs, AdamW."""
    training = {"epochs": 10, "batch_size": 32, "weight_decay": 0.01}
    return FineTuning(dataset, ViT(), IMAGE_LEARNING_RATE, IMAGE_LORA_LEARNING_RATE, training)


TEXT_LEARNING_RATE, LORA_LEARNING_RATE = 2e-4, 2e-3
IMAGE_LEARNING_RATE, IMAGE_LORA_LEARNING_RATE = 5e-5, 1e-3

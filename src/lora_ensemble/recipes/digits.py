"""Handwritten digits with the small ViT of this package: every method with the same number of steps."""

from __future__ import annotations

from typing import Any

from lora_ensemble.backbones.digits_vit import DigitsViT
from lora_ensemble.contracts import Method
from lora_ensemble.datasets.digits import Digits
from lora_ensemble.experiment import Experiment, Training
from lora_ensemble.methods.deep import Deep
from lora_ensemble.methods.lora import Lora
from lora_ensemble.methods.mc_dropout import McDropout
from lora_ensemble.methods.single import Single
from lora_ensemble.methods.single_lora import SingleLora
from lora_ensemble.methods.snapshot import Snapshot

MEMBERS = 5

# Chosen on the validation split; docs/experiments.md has the log.


def single() -> Experiment:
    """One network, all weights trained."""
    return _experiment(Single())


def single_lora() -> Experiment:
    """One network, trained by low-rank updates."""
    return _experiment(SingleLora(r=4), learning_rate=8e-3)


def mc_dropout() -> Experiment:
    """One network; dropped attention keys make the members at prediction."""
    return _experiment(McDropout(members=MEMBERS, p=0.05))


def snapshot() -> Experiment:
    """One network under a cyclic learning rate; a member at the end of each cycle."""
    return _experiment(Snapshot(members=MEMBERS), learning_rate=2e-3, schedule="cyclic-cosine", first_cycle=4.0)


def deep() -> Experiment:
    """Whole networks, each trained by itself."""
    return _experiment(Deep(members=MEMBERS))


def lora() -> Experiment:
    """LoRA ensemble: one frozen network, low-rank updates and a head per member."""
    return _experiment(Lora(members=MEMBERS, r=4), learning_rate=8e-3)


def _experiment(method: Method, **training: Any) -> Experiment:
    settings = {"epochs": 15, "batch_size": 32, "learning_rate": 1e-3, **training}
    return Experiment(DigitsViT(), method, Digits(train_examples=100), Training(**settings))

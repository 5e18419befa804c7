"""CIFAR-10 with ViT-B/32: the table of LoRA-Ensemble (arXiv 2405.14438).

A tenth of the training images is held out for validation; `dataset.protocol = "published"` trains on all.
"""

from __future__ import annotations

from typing import Any

from lora_ensemble.contracts import Method
from lora_ensemble.datasets.cifar10 import Cifar10
from lora_ensemble.experiment import Experiment
from lora_ensemble.methods.deep import Deep
from lora_ensemble.methods.lora import Lora
from lora_ensemble.methods.mc_dropout import McDropout
from lora_ensemble.methods.single import Single
from lora_ensemble.methods.single_lora import SingleLora
from lora_ensemble.methods.snapshot import Snapshot
from lora_ensemble.published.images import DROPOUT_WARMUP, MEMBERS, cell


def single() -> Experiment:
    """One network, all weights trained."""
    return _cell(Single())


def single_lora() -> Experiment:
    """One network, trained by low-rank updates."""
    return _cell(SingleLora(r=8, init_a="xavier", init_gain=10.0))


def mc_dropout(members: int = MEMBERS) -> Experiment:
    """One network with a head per member; dropped attention keys make the members."""
    return _cell(McDropout(members=members, p=0.2, heads="member"), warmup_steps=DROPOUT_WARMUP)


def snapshot(members: int = MEMBERS) -> Experiment:
    """One network under a cyclic learning rate; a member at the end of each cycle."""
    return _cell(Snapshot(members=members), schedule="cyclic-cosine")


def deep(members: int = MEMBERS) -> Experiment:
    """Whole networks, each trained by itself."""
    return _cell(Deep(members=members))


def lora(members: int = MEMBERS) -> Experiment:
    """LoRA ensemble: one frozen network, low-rank updates and a head per member."""
    return _cell(Lora(members=members, r=8, init_a="xavier", init_gain=10.0))


def _cell(method: Method, **training: Any) -> Experiment:
    return cell(Cifar10(), method, epochs=16, **training)

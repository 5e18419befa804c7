"""HAM10000 with ViT-B/32: the table and the studies of LoRA-Ensemble (arXiv 2405.14438).

Split by image, with a tenth of the training images held out for validation; `dataset.protocol = "published"` is the
published split, `dataset.grouped` splits by lesion. Arguments are what the studies vary; on the command line, each is
the field of that name of the method or of the training (`--method.r 8`, `--training.weight-decay 0.1`).
"""

from __future__ import annotations

from typing import Any, Literal

from lora_ensemble.contracts import Method
from lora_ensemble.datasets.ham10000 import Ham10000
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
    return _cell(SingleLora(r=4, init_a="xavier", init_gain=10.0))


def mc_dropout(members: int = MEMBERS, p: float = 0.2) -> Experiment:
    """One network with a head per member; dropped attention keys make the members.

    Dropout rate: 0.1 to 0.7.
    """
    return _cell(McDropout(members=members, p=p, heads="member"), warmup_steps=DROPOUT_WARMUP)


def snapshot(members: int = MEMBERS) -> Experiment:
    """One network under a cyclic learning rate; a member at the end of each cycle."""
    return _cell(Snapshot(members=members), schedule="cyclic-cosine")


def deep(members: int = MEMBERS, noise_scale: float = 0.0) -> Experiment:
    """Whole networks, each trained by itself.

    Noise on the weights of all blocks: scale 0.00005 to 0.0005.
    """
    return _cell(Deep(members=members, noise_scale=noise_scale))


def lora(
    members: int = MEMBERS,
    r: int = 4,
    init_gain: float = 10.0,
    epochs: int = 65,
    class_weights: Literal["uniform", "ins", "isns", "ens"] = "ens",
    ens_beta: float = 0.9991,
    weight_decay: float = 0.0,
) -> Experiment:
    """LoRA ensemble: one frozen network, low-rank updates and a head per member.

    The studies have gain 1 and 80 epochs. Rank: 1 to 32. Weights of the classes: all four, and beta 0.9 to 0.9999, at
    rank 8. Weight decay: 0.0001 to 0.1 at rank 8. Accuracy against calibration: rank 2 to 16.
    """
    weighting = {"class_weights": class_weights, "ens_beta": ens_beta, "weight_decay": weight_decay}
    return _cell(Lora(members=members, r=r, init_a="xavier", init_gain=init_gain), epochs=epochs, **weighting)


def _cell(method: Method, **training: Any) -> Experiment:
    settings = {"epochs": 65, "class_weights": "ens", "ens_beta": 0.9991, **training}
    return cell(Ham10000(), method, **settings)

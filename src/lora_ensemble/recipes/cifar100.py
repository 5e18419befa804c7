"""CIFAR-100 with ViT-B/32: the table and the studies of LoRA-Ensemble (arXiv 2405.14438).

A tenth of the training images is held out for validation; `dataset.protocol = "published"` trains on all. Arguments are
what the studies vary; on the command line, each is the method's field of that name (`--method.r 4`).
"""

from __future__ import annotations

from typing import Any, Literal

from lora_ensemble.contracts import Method
from lora_ensemble.datasets.cifar100 import Cifar100
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


def deep(
    members: int = MEMBERS,
    noise_scale: float = 0.0,
    noise_blocks: int | None = None,
    head_init: Literal["default", "gaussian", "xavier"] = "default",
    head_gain: float = 1.0,
    head_std: float = 0.02,
) -> Experiment:
    """Whole networks, each trained by itself.

    Noise on the weights: scale 1, 0.1, ..., 0.0001 in the last 1 to 12 blocks. Start of the heads: Gaussian of standard
    deviation 0.02 to 10, Xavier with gain 0.01 to 30.
    """
    method = Deep(
        members=members,
        noise_scale=noise_scale,
        noise_blocks=noise_blocks,
        head_init=head_init,
        head_gain=head_gain,
        head_std=head_std,
    )
    return _cell(method)


def lora(
    members: int = MEMBERS,
    r: int = 8,
    init_a: Literal["kaiming", "xavier", "gaussian"] = "xavier",
    init_gain: float = 10.0,
    init_std: float = 0.02,
) -> Experiment:
    """LoRA ensemble: one frozen network, low-rank updates and a head per member.

    Rank: 1 to 32. Start of A: Gaussian of standard deviation 0.02 to 10, Xavier with gain 1 to 30.
    """
    return _cell(Lora(members=members, r=r, init_a=init_a, init_gain=init_gain, init_std=init_std))


def _cell(method: Method, **training: Any) -> Experiment:
    return cell(Cifar100(), method, epochs=16, **training)

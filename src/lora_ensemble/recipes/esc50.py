"""ESC-50 with the Audio Spectrogram Transformer: the table and the studies of LoRA-Ensemble (arXiv 2405.14438).

One fold is for testing, `dataset.fold`; a tenth of the others is held out for validation, and `dataset.protocol =
"published"` trains on all. Arguments are what the studies vary; on the command line, each is the field of that name of
the method or of the training (`--method.r 8`, `--training.learning-rate 1e-4`).
"""

from __future__ import annotations

from typing import Any, Literal

from lora_ensemble.backbones.ast import Ast
from lora_ensemble.contracts import Method
from lora_ensemble.datasets.esc50 import Esc50
from lora_ensemble.experiment import Experiment
from lora_ensemble.methods.deep import Deep
from lora_ensemble.methods.lora import Lora
from lora_ensemble.methods.mc_dropout import McDropout
from lora_ensemble.methods.single import Single
from lora_ensemble.methods.single_lora import SingleLora
from lora_ensemble.published.audio import (
    AUDIOSET,
    IMAGENET,
    LEARNING_RATE,
    LORA_LEARNING_RATE,
    MEMBERS,
    RANK,
    cell,
    low_rank,
)


def single() -> Experiment:
    """One network, all weights trained."""
    return _cell(Single())


def single_lora() -> Experiment:
    """One network, trained by low-rank updates."""
    return _cell(low_rank(SingleLora), learning_rate=LORA_LEARNING_RATE)


def mc_dropout(members: int = MEMBERS) -> Experiment:
    """One network with a head per member; dropped attention keys make the members."""
    return _cell(McDropout(members=members, p=0.2, heads="member"))


def deep(
    members: int = MEMBERS,
    learning_rate: float = LEARNING_RATE,
    batch_size: int = 1,
    head_init: Literal["default", "xavier"] = "default",
    head_gain: float = 1.0,
) -> Experiment:
    """Whole networks, each trained by itself.

    Learning rate: 1e-5 and 5e-5 with batches of 1, 1e-4 with batches of 8; heads Xavier with gain 10.
    """
    method = Deep(members=members, head_init=head_init, head_gain=head_gain)
    return _cell(method, learning_rate=learning_rate, batch_size=batch_size)


def lora(
    members: int = MEMBERS,
    r: int = RANK,
    learning_rate: float = LORA_LEARNING_RATE,
    batch_size: int = 1,
    head_init: Literal["default", "xavier"] = "default",
    head_gain: float = 1.0,
) -> Experiment:
    """LoRA ensemble: one frozen network, low-rank updates and a head per member.

    Learning rate: 1e-5, 5e-5 and 1e-4 with batches of 1, 5e-4 and 1e-3 with batches of 8; heads Xavier with gain 10.
    """
    method = low_rank(Lora, members=members, r=r, head_init=head_init, head_gain=head_gain)
    return _cell(method, learning_rate=learning_rate, batch_size=batch_size)


def single_ast_s() -> Experiment:
    """The AST-S of Gong et al. (arXiv 2104.01778), which starts from ImageNet, as it was reproduced for the table."""
    return _validation(IMAGENET, learning_rate=1e-4)


def single_ast_p() -> Experiment:
    """The AST-P of Gong et al. (arXiv 2104.01778), which starts from AudioSet, as it was reproduced for the table."""
    return _validation(AUDIOSET, learning_rate=1e-5)


def _cell(method: Method, **training: Any) -> Experiment:
    return cell(Esc50(), method, **training)


def _validation(backbone: Ast, learning_rate: float) -> Experiment:
    return cell(Esc50(), Single(), backbone, learning_rate=learning_rate, batch_size=48)

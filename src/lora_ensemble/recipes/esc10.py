"""ESC-10 with the Audio Spectrogram Transformer, as LoRA-Ensemble (arXiv 2405.14438) has it for ESC-50.

One fold is for testing, `dataset.fold`; a tenth of the others is held out for validation, and `dataset.protocol =
"published"` trains on all.
"""

from __future__ import annotations

from typing import Any

from lora_ensemble.contracts import Method
from lora_ensemble.datasets.esc10 import Esc10
from lora_ensemble.experiment import Experiment
from lora_ensemble.methods.deep import Deep
from lora_ensemble.methods.lora import Lora
from lora_ensemble.methods.mc_dropout import McDropout
from lora_ensemble.methods.single import Single
from lora_ensemble.methods.single_lora import SingleLora
from lora_ensemble.published.audio import LORA_LEARNING_RATE, MEMBERS, cell, low_rank


def single() -> Experiment:
    """One network, all weights trained."""
    return _cell(Single())


def single_lora() -> Experiment:
    """One network, trained by low-rank updates."""
    return _cell(low_rank(SingleLora), learning_rate=LORA_LEARNING_RATE)


def mc_dropout(members: int = MEMBERS) -> Experiment:
    """One network with a head per member; dropped attention keys make the members."""
    return _cell(McDropout(members=members, p=0.2, heads="member"))


def deep(members: int = MEMBERS) -> Experiment:
    """Whole networks, each trained by itself."""
    return _cell(Deep(members=members))


def lora(members: int = MEMBERS) -> Experiment:
    """LoRA ensemble: one frozen network, low-rank updates and a head per member."""
    return _cell(low_rank(Lora, members=members), learning_rate=LORA_LEARNING_RATE)


def _cell(method: Method, **training: Any) -> Experiment:
    return cell(Esc10(), method, **training)

"""A folder of recordings with the Audio Spectrogram Transformer, from AudioSet, with the optimiser of the ESC-50 table.

Nothing is tuned to your recordings; the batch size and the learning rate are the first to change.
"""

from __future__ import annotations

import dataclasses

from lora_ensemble.datasets.audio_folder import AudioFolder
from lora_ensemble.experiment import Experiment
from lora_ensemble.methods.lora import Lora
from lora_ensemble.methods.single import Single
from lora_ensemble.published.audio import AUDIOSET, LORA_LEARNING_RATE, cell, low_rank

MEMBERS = 4

BACKBONE = dataclasses.replace(AUDIOSET, normalisation="training")


def single() -> Experiment:
    """One network, all weights trained."""
    return cell(AudioFolder(), Single(), BACKBONE)


def lora(members: int = MEMBERS) -> Experiment:
    """LoRA ensemble: one frozen network, low-rank updates and a head per member."""
    method = low_rank(Lora, members=members)
    return cell(AudioFolder(), method, BACKBONE, learning_rate=LORA_LEARNING_RATE)

"""Your own table of texts with a small encoder: every method with the same number of steps.

Another encoder is `--backbone.name`; the learning rate is the first to change with it (5e-5 for a BERT-base).
"""

from __future__ import annotations

from lora_ensemble.datasets.text_table import TextTable
from lora_ensemble.experiment import Experiment
from lora_ensemble.published.fine_tuning import MEMBERS, of_texts

RECIPES = of_texts(TextTable())


def single() -> Experiment:
    """One network, all weights trained."""
    return RECIPES.single()


def single_lora() -> Experiment:
    """One network, trained by low-rank updates."""
    return RECIPES.single_lora()


def mc_dropout(members: int = MEMBERS) -> Experiment:
    """One network; dropped attention keys make the members at prediction."""
    return RECIPES.mc_dropout(members)


def snapshot(members: int = MEMBERS) -> Experiment:
    """One network under a cyclic learning rate; a member at the end of each cycle."""
    return RECIPES.snapshot(members)


def deep(members: int = MEMBERS) -> Experiment:
    """Whole networks, each trained by itself."""
    return RECIPES.deep(members)


def lora(members: int = MEMBERS) -> Experiment:
    """LoRA ensemble: one frozen network, low-rank updates and a head per member."""
    return RECIPES.lora(members)

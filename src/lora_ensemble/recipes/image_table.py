"""Your own table of images with a ViT-B/16: every method with the same number of steps.

Nothing is tuned to your images; another network is `--backbone.name`.
"""

from __future__ import annotations

from lora_ensemble.datasets.image_table import ImageTable
from lora_ensemble.experiment import Experiment
from lora_ensemble.published.fine_tuning import MEMBERS, of_images

RECIPES = of_images(ImageTable())


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

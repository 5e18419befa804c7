"""Recipes on the digits in folds; a plug-in of the tests."""

from __future__ import annotations

from lora_ensemble.datasets.fold_digits import FoldDigits  # type: ignore[import-not-found]

from lora_ensemble.backbones.digits_vit import DigitsViT
from lora_ensemble.experiment import Experiment, Training
from lora_ensemble.methods.lora import Lora


def lora() -> Experiment:
    """Two members for three epochs, each of three steps."""
    training = Training(epochs=3, batch_size=14, learning_rate=1e-2, device="cpu")
    return Experiment(DigitsViT(), Lora(members=2, r=2), FoldDigits(), training)

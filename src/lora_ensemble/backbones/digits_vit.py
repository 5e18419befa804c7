"""A small ViT pretrained on printed characters; its weights (0.3 MB) come with the package."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lora_ensemble.contracts import Backbone, LoadedBackbone

WEIGHTS = Path(__file__).parents[1] / "assets" / "digits_vit"


@dataclass(frozen=True)
class DigitsViT(Backbone):
    """transformers' ViTForImageClassification: 8 x 8 grey images in 16 patches, 4 layers of width 64, no dropout.

    It learned to name distorted glyphs of fonts, without digits (`scripts/make_digits_vit.py`, `assets/README.md`).
    Images of other sizes and colour images are made grey and 8 x 8."""

    def load(self, num_classes: int) -> LoadedBackbone:
        import torch
        from transformers import ViTForImageClassification

        from lora_ensemble.conversions.quiet import quiet
        from lora_ensemble.images.inputs import ImageInputs

        with quiet():
            model = ViTForImageClassification.from_pretrained(
                WEIGHTS, num_labels=num_classes, dtype=torch.float32, attn_implementation="sdpa"
            )
        inputs = ImageInputs(size=(8, 8), mean=(0.5,), std=(0.5,))
        return LoadedBackbone(
            model=model,
            collate=inputs.collate,
            prepare=inputs.prepare,
            head="classifier",
        )

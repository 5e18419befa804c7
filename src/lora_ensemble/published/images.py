"""What every cell of the image tables of LoRA-Ensemble (arXiv 2405.14438) shares: backbone, members, optimiser."""

from __future__ import annotations

from typing import Any

from lora_ensemble.backbones.torchvision_vit import TorchvisionVit
from lora_ensemble.contracts import Dataset, Method
from lora_ensemble.experiment import Experiment, Training

MEMBERS = 16

WARMUP, DROPOUT_WARMUP = 500, 1000
"""Steps; those of Monte Carlo dropout are more."""


def cell(dataset: Dataset, method: Method, **training: Any) -> Experiment:
    """One cell: ViT-B/32 pretrained on ImageNet, AdamW at 1e-4 with a cosine to 0, batches of 32.

    The published seeds are 42, 0, 1206, 2205 and 1234. Members' gradients are clipped one by one, as they would be if
    trained alone; the published code clips all together (`training.clip = "joint"`).
    """
    settings = {"batch_size": 32, "learning_rate": 1e-4, "warmup_steps": WARMUP, **training}
    return Experiment(TorchvisionVit(arch="vit_b_32"), method, dataset, Training(**settings))

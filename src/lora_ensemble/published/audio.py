"""What every cell of the audio table of LoRA-Ensemble (arXiv 2405.14438) shares: backbone, members, optimiser."""

from __future__ import annotations

from typing import Any

from lora_ensemble.backbones.ast import Ast
from lora_ensemble.contracts import Backbone, Dataset, Method
from lora_ensemble.experiment import Experiment, Training
from lora_ensemble.methods.lora import Lora
from lora_ensemble.methods.single_lora import SingleLora

MEMBERS = 16
RANK = 16

LEARNING_RATE, LORA_LEARNING_RATE = 1e-5, 5e-5
"""Of whole networks, and of low-rank updates."""

IMAGENET = Ast(weights="timm/deit_base_distilled_patch16_384.fb_in1k", fused_qkv=True, head_norm="shared")
AUDIOSET = Ast(fused_qkv=True, head_norm="shared")


def cell(dataset: Dataset, method: Method, backbone: Backbone = IMAGENET, **training: Any) -> Experiment:
    """One cell: an Audio Spectrogram Transformer that starts from ImageNet, Adam with batches of one clip, 25 epochs at
    a learning rate that falls by 0.85 in each from the sixth on.

    The published seeds are 42, 0, 1206, 2205 and 1234. The clip of 10,000 is as published: it is never reached.
    """
    settings = {
        "epochs": 25,
        "batch_size": 1,
        "optimizer": "adam",
        "learning_rate": LEARNING_RATE,
        "betas": (0.95, 0.999),
        "weight_decay": 5e-7,
        "gradient_clip": 1e4,
        "schedule": "step",
        "step_gamma": 0.85,
        "first_step_epoch": 5,
        **training,
    }
    return Experiment(backbone, method, dataset, Training(**settings))


def low_rank(method: type[Lora] | type[SingleLora], **fields: Any) -> Lora | SingleLora:
    """A method with the published low-rank updates: of the fused query, key and value one, and of the output."""
    return method(**{"r": RANK, "init_a": "xavier", "init_gain": 10.0, "fused_qkv": "joint", **fields})

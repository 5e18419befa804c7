"""What the experiments of arXiv 2402.12264 on multiple-choice questions share: base models, updates, optimiser."""

from __future__ import annotations

from typing import Any

from lora_ensemble.backbones.causal_lm import CausalLM
from lora_ensemble.contracts import Dataset
from lora_ensemble.experiment import Experiment, Training
from lora_ensemble.methods.lora import Lora
from lora_ensemble.methods.zero_shot import ZeroShot

MISTRAL_7B = "mistralai/Mistral-7B-v0.1"
"""One of the published base models; the others are meta-llama/Llama-2-7b-hf and meta-llama/Llama-2-13b-hf."""

SMALL = "HuggingFaceTB/SmolLM2-135M"
"""A base model for a laptop."""

MEMBERS = 5

LONGEST = 512
"""Tokens. Longer prompts, which MMLU has, lose their beginning."""


def trained(dataset: Dataset, method: Lora, backbone: CausalLM, **training: Any) -> Experiment:
    """AdamW at 5e-6, batches of 8 in an order of its own for each member, gradients clipped at 0.3, ten epochs.

    The published code cuts training prompts at 128 tokens and pads all to that; here, they are whole up to 512.
    """
    settings = {
        "epochs": 10,
        "batch_size": 8,
        "learning_rate": 5e-6,
        "schedule": "constant",
        "gradient_clip": 0.3,
        "data_order": "independent",
        "group_by_length": True,
        "save": "epoch",
        **training,
    }
    return Experiment(backbone, method, dataset, Training(**settings))


def base(model: str, **fields: Any) -> CausalLM:
    """A base model that learns from prompts of up to 512 tokens."""
    return CausalLM(name=model, max_length=LONGEST, truncate="left", **fields)


def updates(kind: type[Lora], rank: int = 8, lora_l2: float = 1.0, dropout: float = 0.0, **fields: Any) -> Lora:
    """Low-rank updates of the query and value projections, with alpha 32."""
    return kind(
        r=rank,
        lora_alpha=32,
        lora_l2=lora_l2,
        lora_dropout=dropout,
        target_modules=("q_proj", "v_proj"),
        **fields,
    )


def laptop(dataset: Dataset, method: Lora) -> Experiment:
    """The same with a small model in fp32 and three epochs at 1e-4, a usual learning rate of LoRA; it is not tuned."""
    return trained(dataset, method, base(SMALL, dtype="fp32"), epochs=3, learning_rate=1e-4, schedule="cosine")


def untrained(dataset: Dataset, model: str = MISTRAL_7B, **backbone: Any) -> Experiment:
    """The base model as it is, with prompts as long as it can read; scored among the letters alone, because one
    that was never asked for a letter gives most of its probability to other words."""
    return Experiment(CausalLM(name=model, scores="letters", **backbone), ZeroShot(), dataset, Training(batch_size=8))

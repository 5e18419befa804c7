"""Your own multiple-choice questions with a small language model; `--data` and `--backbone.name` say which.

The recipes `multiple-choice-stories-...` are for a model of 260,000 parameters that tells stories, and the tasks that
`scripts/story_tasks.py` writes for it.
"""

from __future__ import annotations

from typing import Any

from lora_ensemble.backbones.causal_lm import CausalLM
from lora_ensemble.contracts import Method
from lora_ensemble.datasets.multiple_choice import MultipleChoice
from lora_ensemble.experiment import Experiment, Training
from lora_ensemble.methods.deep import Deep
from lora_ensemble.methods.lora import Lora
from lora_ensemble.methods.single_lora import SingleLora
from lora_ensemble.published.language import MEMBERS, SMALL, laptop, untrained, updates

_LINEARS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def zero_shot(model: str = SMALL, shots: int = 0) -> Experiment:
    """The base model as it is; with examples before each question where asked."""
    return untrained(MultipleChoice(shots=shots), model, dtype="fp32")


def single_lora() -> Experiment:
    """One low-rank update."""
    return laptop(MultipleChoice(), updates(SingleLora))


def lora(members: int = MEMBERS) -> Experiment:
    """LoRA ensemble: one frozen language model, low-rank updates for each member."""
    return laptop(MultipleChoice(), updates(Lora, members=members))


def stories_single_lora() -> Experiment:
    """One low-rank update of a tiny model, in all linear layers."""
    return _stories(SingleLora(r=16, lora_alpha=32, target_modules=_LINEARS))


def stories_lora(members: int = MEMBERS) -> Experiment:
    """LoRA ensemble of a tiny model, in all linear layers."""
    return _stories(Lora(members=members, r=16, lora_alpha=32, target_modules=_LINEARS))


def stories_deep(members: int = MEMBERS) -> Experiment:
    """Whole copies of a tiny model; they differ by the order of their batches."""
    return _stories(Deep(members=members), learning_rate=2e-3)


def _stories(method: Method, **training: Any) -> Experiment:
    settings = {
        "epochs": 3,
        "batch_size": 32,
        "learning_rate": 5e-3,
        "warmup_steps": 50,
        "data_order": "independent",
        "group_by_length": True,
        **training,
    }
    return Experiment(CausalLM(name="stories260K", dtype="fp32"), method, MultipleChoice(), Training(**settings))

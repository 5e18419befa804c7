"""MMLU with Mistral 7B: the experiments of arXiv 2402.12264, and the same with a small model.

The published groups are ss, stem, all, all_without_ss and all_without_stem (`--dataset.group ss`). A tenth of the
training questions is held out for validation; `dataset.protocol = "published"` trains on all. Arguments are what the
studies vary; on the command line, the base model is `--backbone.name` (Llama 2: meta-llama/Llama-2-7b-hf,
meta-llama/Llama-2-13b-hf), and the others are fields of the method (`--method.lora-l2 0.1`). `--dataset.shots 5` shows
five questions of the subject before each: few-shot.
"""

from __future__ import annotations

from lora_ensemble.datasets.mmlu import Mmlu
from lora_ensemble.experiment import Experiment
from lora_ensemble.methods.lora import Lora
from lora_ensemble.methods.single_lora import SingleLora
from lora_ensemble.published.language import MEMBERS, MISTRAL_7B, SMALL, base, laptop, trained, untrained, updates


def zero_shot(model: str = MISTRAL_7B, group: str = "all", shots: int = 0) -> Experiment:
    """The base model as it is; with examples before each question where asked."""
    return untrained(Mmlu(group=group, shots=shots), model)


def single_lora(model: str = MISTRAL_7B, group: str = "all") -> Experiment:
    """One low-rank update."""
    return trained(Mmlu(group=group), updates(SingleLora), base(model))


def lora(
    model: str = MISTRAL_7B,
    group: str = "all",
    members: int = MEMBERS,
    rank: int = 8,
    lora_l2: float = 1.0,
    dropout: float = 0.0,
) -> Experiment:
    """LoRA ensemble: one frozen language model, low-rank updates for each member; learns the answer's letter."""
    return trained(Mmlu(group=group), updates(Lora, rank, lora_l2, dropout, members=members), base(model))


def next_token_lora(model: str = MISTRAL_7B, group: str = "all", members: int = MEMBERS) -> Experiment:
    """LoRA ensemble that learns every token of prompt and answer."""
    return trained(Mmlu(group=group), updates(Lora, members=members), base(model, loss="next-token"))


def small_zero_shot(group: str = "all", shots: int = 0) -> Experiment:
    """A small base model as it is, for a laptop."""
    return untrained(Mmlu(group=group, shots=shots), SMALL, dtype="fp32")


def small_lora(
    group: str = "all", members: int = MEMBERS, rank: int = 8, lora_l2: float = 1.0, dropout: float = 0.0
) -> Experiment:
    """LoRA ensemble of a small language model, for a laptop."""
    return laptop(Mmlu(group=group), updates(Lora, rank, lora_l2, dropout, members=members))

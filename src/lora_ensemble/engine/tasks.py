"""What the labels of a model are: one class per row, one class per token, or the next token. Never guessed from shapes.

The names are PEFT's task types. `LoraEnsembleConfig.task_type` says it, or the class of the model does.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from lora_ensemble.errors import ConfigurationError, DataError

ROWS, TOKENS, NEXT_TOKEN = "SEQ_CLS", "TOKEN_CLS", "CAUSAL_LM"
TASKS = (ROWS, TOKENS, NEXT_TOKEN)

_ENDINGS = {
    "ForCausalLM": NEXT_TOKEN,
    "LMHeadModel": NEXT_TOKEN,
    "ForTokenClassification": TOKENS,
    "ForMaskedLM": TOKENS,
    "ForSequenceClassification": ROWS,
    "ForImageClassification": ROWS,
    "ForAudioClassification": ROWS,
    "ForVideoClassification": ROWS,
}
"""How the classes of transformers end, and what they do. A masked language model has a label for each token."""

_PEFTS = ("ForCausalLM", "LMHeadModel", "ForTokenClassification", "ForSequenceClassification")
"""Classes that PEFT wraps by a task type; to it, other models have none."""

_REFUSED = {
    "regression": "regression",
    "multi_label_classification": "multi-label classification",
}


def find_task(model: nn.Module, given: Any = None) -> str | None:
    """The task of a plain model; None where neither `given` nor its class says it.

    Raises ConfigurationError, naming it, for a task that does not exist here yet: regression (also num_labels = 1),
    several labels per row, sequence to sequence, question answering, features.
    """
    task = getattr(given, "value", given)
    if task is not None and task not in TASKS:
        raise ConfigurationError([f"task_type = {task!r} is not supported yet; expected one of {', '.join(TASKS)}"])
    name, config = type(model).__name__, getattr(model, "config", None)
    found = next((task for ending, task in _ENDINGS.items() if name.endswith(ending)), None)
    problem = _REFUSED.get(getattr(config, "problem_type", None) or "")
    if problem is None and found == ROWS and getattr(config, "num_labels", None) == 1:
        problem = "regression (num_labels = 1)"
    if problem:
        raise ConfigurationError([f"{problem} is not supported yet ({name}): members need at least two classes"])
    return task or found


def peft_task(model: nn.Module, given: Any = None) -> str | None:
    """The task type that PEFT would give a plain model: of texts alone, images and sounds have none."""
    return given or (find_task(model) if type(model).__name__.endswith(_PEFTS) else None)


def aligned(logits: Tensor, labels: Tensor, task: str | None) -> tuple[Tensor, Tensor]:
    """Logits (M, N, C) and labels (M, N), one beside the other.

    logits: (M, B, C) with labels (B,) or (M, B); or (M, B, T, C) with labels (B, T) or (M, B, T), which for CAUSAL_LM
    are shifted by one here: the logits of a token are of the next one. Raises ConfigurationError for logits of tokens
    where the task is not known, or is one without tokens; DataError for labels of another shape.
    """
    if logits.ndim not in (3, 4):
        shape = tuple(logits.shape[1:])
        raise ConfigurationError([f"logits {shape} have no loss yet: expected (B, C), or (B, T, C) of tokens"])
    if logits.ndim == 4 and task not in (TOKENS, NEXT_TOKEN):
        raise ConfigurationError(
            [
                f"logits (B, T, C) = {tuple(logits.shape[1:])}, task_type = {task!r}: say task_type='{TOKENS}' (a label"
                f" for each token) or '{NEXT_TOKEN}' (the next token)"
            ]
        )
    members, needed = logits.shape[0], logits.shape[1:-1]
    if labels.shape not in (needed, logits.shape[:-1]):
        raise DataError(
            f"labels {tuple(labels.shape)} do not fit logits {tuple(logits.shape)}: expected {tuple(needed)}"
        )
    if labels.ndim == logits.ndim - 2:
        labels = labels.expand(members, *labels.shape)
    if logits.ndim == 4 and task == NEXT_TOKEN:
        logits, labels = logits[:, :, :-1], labels[..., 1:]
    return logits.reshape(members, -1, logits.shape[-1]), labels.reshape(members, -1)

"""Members in and out of the batch: (B, ...) to (M*B, ...), member 0 first, and back to (M, B, ...)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lora_ensemble.errors import DataError


def fold(inputs: dict[str, Any], members: int) -> tuple[dict[str, Any], int]:
    """Every tensor of B rows repeated for the members, (M*B, ...), member 0 first; and M*B."""
    size = batch_size(inputs)

    def repeat(value: Any) -> Any:
        if isinstance(value, Tensor) and value.ndim and value.shape[0] == size and members > 1:
            return value.expand(members, *value.shape).flatten(0, 1)
        return value

    return {name: repeat(value) for name, value in inputs.items()}, size * members


def unfold(output: Any, members: int, rows: int) -> Tensor:
    """The logits of a model's output, (M*B, ...), as (M, B, ...)."""
    logits = output if isinstance(output, Tensor) else output[0] if isinstance(output, tuple) else output.logits
    assert logits.shape[0] == rows, f"the model returned {logits.shape[0]} rows of logits for {rows} rows of inputs"
    by_member: Tensor = logits.unflatten(0, (members, rows // members))
    return by_member


def batch_size(inputs: dict[str, Any]) -> int:
    """Rows of the first tensor among the inputs. Raises DataError without any."""
    for value in inputs.values():
        if isinstance(value, Tensor) and value.ndim:
            return value.shape[0]
    raise DataError("no inputs: give the model's arguments by name, for instance pixel_values=x")


def chunk(inputs: dict[str, Any], chosen: range, members: int) -> dict[str, Any]:
    """The rows of some members of member-major inputs, (M*B, ...) to (len(chosen)*B, ...)."""
    rows = batch_size(inputs)
    size = rows // members

    def take(value: Any) -> Any:
        whole = isinstance(value, Tensor) and value.ndim and value.shape[0] == rows
        return value[chosen.start * size : chosen.stop * size] if whole else value

    return {name: take(value) for name, value in inputs.items()}


def run_apart(networks: Sequence[nn.Module], inputs: dict[str, Any], shared: bool) -> Tensor:
    """The logits of one network per member, run one after another, (M, B, C)."""
    members = len(networks)
    rows = batch_size(inputs) // (1 if shared else members)
    own = (inputs if shared else chunk(inputs, range(m, m + 1), members) for m in range(members))
    return torch.cat([unfold(network(**rows_m), 1, rows) for network, rows_m in zip(networks, own, strict=True)])

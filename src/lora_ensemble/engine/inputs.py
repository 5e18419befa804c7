"""What a user gives a model, as it takes it: a first input without its name, numpy arrays, a name that is mistyped."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lora_ensemble.engine.wrapping import Wrapper, unwrapped
from lora_ensemble.errors import DataError, nearest


def named(model: nn.Module, given: Sequence[Any], inputs: dict[str, Any]) -> dict[str, Any]:
    """The inputs by name, numpy arrays as tensors. given: those without a name; there may be one, the model's first
    argument. Raises DataError for more, and for names that the model does not take."""
    names, any_name = _arguments(type(unwrapped(model)))  # type: ignore[arg-type]
    any_name = any_name or isinstance(model, Wrapper)  # it may take more than what it calls
    if len(given) > 1 or (given and not names):
        raise DataError(f"{len(given)} inputs without a name: give the model's arguments by name, as pixel_values=x")
    if given:
        if names[0] in inputs:
            raise DataError(f"the first input is {names[0]}, which is also given by its name")
        inputs = {names[0]: given[0]} | inputs
    for name in inputs:
        near = nearest(name, names, cutoff=0.75)
        if name not in names and (near or not any_name):
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise DataError(f"{type(model).__name__} has no input {name!r}.{hint} It takes: {', '.join(names)}.")
    return {name: as_tensor(model, value) for name, value in inputs.items()}


def as_tensor(model: nn.Module, value: Any) -> Any:
    """A numpy array as a tensor on the model's device, floating-point ones in its precision. Anything else as it is."""
    if not isinstance(value, np.ndarray):
        return value
    first = next((p for p in model.parameters() if p.is_floating_point()), torch.zeros(()))
    try:
        tensor = torch.as_tensor(value)
    except TypeError:
        raise DataError(f"an input is an array of {value.dtype}; numbers are expected") from None
    return tensor.to(first.device, first.dtype if tensor.is_floating_point() else tensor.dtype)


def as_labels(labels: Any, device: torch.device) -> Tensor:
    """Labels as a tensor on a device: from a tensor, a numpy array, or a list."""
    if isinstance(labels, Tensor):
        return labels
    try:
        return torch.as_tensor(np.asarray(labels), device=device)
    except (TypeError, ValueError):
        raise DataError(f"labels are {type(labels).__name__}; class indices, whole numbers, are expected") from None


@functools.cache
def _arguments(kind: type[nn.Module]) -> tuple[list[str], bool]:
    """Names of the inputs of a kind of model, and whether it takes others as well."""
    parameters = list(inspect.signature(kind.forward).parameters.values())[1:]
    several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [p.name for p in parameters if p.kind not in several], any(p.kind == several[1] for p in parameters)

"""Tensors of a published file, and their shapes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lora_ensemble.errors import FileFormatError


@dataclass(frozen=True)
class Heads:
    """A linear head per member: weight (M, C, D), bias (M, C)."""

    weight: Tensor
    bias: Tensor


def shape_of(tensor: Tensor, name: str, dimensions: int) -> Any:
    """The shape. Raises FileFormatError for another number of axes."""
    if tensor.ndim != dimensions:
        raise FileFormatError(f"{name} has shape {tuple(tensor.shape)}, expected {dimensions} axes")
    return tensor.shape


def expect(name: str, tensor: Tensor, shape: tuple[int, ...]) -> None:
    """Raises FileFormatError for another shape."""
    if tuple(tensor.shape) != shape:
        raise FileFormatError(f"{name} has shape {tuple(tensor.shape)}, the other tensors ask for {shape}")


@torch.no_grad()
def copy_into(to: Tensor, values: Tensor, what: str) -> None:
    """Copy values of a file into the model. Raises FileFormatError where it has another shape."""
    if to.shape != values.shape:
        raise FileFormatError(f"the {what} have shape {tuple(values.shape)}, the backbone asks for {tuple(to.shape)}")
    to.copy_(values)

"""Which device to compute on."""

from __future__ import annotations

import os
from collections.abc import Iterable

import torch
from torch import nn

from lora_ensemble.errors import ConfigurationError


def pick_device(name: str = "auto") -> torch.device:
    """The device of a name; "auto" takes a GPU if there is one. Raises ConfigurationError for one that is not there."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(kind for kind, present in there.items() if present)
    if not there[name]:
        present = ", ".join(kind for kind, here in there.items() if here)
        raise ConfigurationError([f"training.device = {name!r}: there is none on this machine, only {present}"])
    if name == "cuda":
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
    return torch.device(name)


def precision_problem(precision: str, device: torch.device) -> str | None:
    """Why a precision cannot be used on a device, or None."""
    if precision == "fp16" and device.type == "cpu":
        return "training.precision = 'fp16': needs a GPU; on a CPU use bf16 or fp32"
    return None


def rounding_problem(trained: Iterable[nn.Parameter]) -> str | None:
    """Why trained parameters would not learn, or None: in bf16 and fp16, small updates are rounded away."""
    for parameter in trained:
        if parameter.is_floating_point() and parameter.itemsize < 4:
            kept = str(parameter.dtype).removeprefix("torch.")
            return (
                f"the trained weights are {kept}, in which small updates are lost; load the backbone in fp32 "
                "(training.precision = 'bf16' still computes in bf16)"
            )
    return None

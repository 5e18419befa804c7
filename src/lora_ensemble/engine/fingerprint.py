"""A fingerprint of the frozen weights below an ensemble: is this the base model that the members were trained over?

It is made of the names and shapes of all tensors, and of at most 16 values of each, at evenly spaced places: it takes
milliseconds, whatever the size. Another checkpoint, another random start, a fine-tuned base differ in nearly every
tensor, and are told for certain; a change of a few numbers that were not looked at is not. Where a base is loaded in
another precision, values cannot be equal, and 64 of them are compared within it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

_PER_TENSOR, _SAMPLE = 16, 64


def fingerprint(tensors: Mapping[str, Tensor]) -> dict[str, Any] | None:
    """JSON: `layout`, a digest of names and shapes; `values`, one of sampled values; `dtype`; `sample`, some of them.
    None where there is nothing to compare: weights that are quantised, or on the meta device."""
    layout, values = hashlib.sha256(), hashlib.sha256()
    dtypes: set[str] = set()
    sample: list[float] = []
    for name in sorted(tensors):
        tensor = tensors[name].detach()
        if tensor.is_meta or (tensor.ndim >= 2 and tensor.dtype in (torch.int8, torch.uint8)):
            return None
        layout.update(f"{name} {tuple(tensor.shape)} ".encode())
        seen = _sampled(tensor)
        values.update(seen.numpy().tobytes())
        if tensor.is_floating_point():
            dtypes.add(str(tensor.dtype).removeprefix("torch."))
            sample += seen[len(seen) // 2 : len(seen) // 2 + 1].tolist()
    step = max(1, len(sample) // _SAMPLE)
    return {
        "layout": layout.hexdigest()[:16],
        "values": values.hexdigest()[:16],
        "dtype": ", ".join(sorted(dtypes)),
        "sample": [float(f"{value:.6g}") for value in sample[::step]],
    }


def same_base(saved: Mapping[str, Any], own: Mapping[str, Any]) -> bool:
    """Whether two fingerprints are of the same weights, precision aside."""
    if saved.get("layout") != own["layout"]:
        return False
    if saved.get("values") == own["values"] or saved.get("dtype") == own["dtype"]:
        return bool(saved.get("values") == own["values"])
    pairs = list(zip(saved.get("sample", []), own["sample"], strict=False))
    return len(pairs) == len(own["sample"]) and all(math.isclose(a, b, rel_tol=0.02, abs_tol=1e-4) for a, b in pairs)


def _sampled(tensor: Tensor) -> Tensor:
    """At most 16 values, float64 on the CPU, without a copy of the tensor."""
    if not tensor.numel():
        return torch.zeros(0, dtype=torch.float64)
    places = torch.linspace(0, tensor.numel() - 1, min(_PER_TENSOR, tensor.numel()), dtype=torch.float64).long()
    found = tensor[tuple(torch.unravel_index(places.to(tensor.device), tensor.shape))] if tensor.ndim else tensor[None]
    return found.cpu().double()

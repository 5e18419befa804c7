"""Attention in bf16 on a CPU: the kernel whose backward pass is the faster one."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

MOST_TOKENS = 256
"""Above, the plain kernel's matrices of tokens x tokens cost more than they save."""


class QuickBackward(TorchFunctionMode):
    """Inside, short attention over bf16 tensors on a CPU takes the plain kernel.

    There, torch's flash kernel needs 1.7 to 5 times as long for forward and backward as the plain one up to about 128
    tokens, and the same at 256. Elsewhere, and in fp32, nothing changes.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.nn.functional.scaled_dot_product_attention and _short(*args[:2]):
            with sdpa_kernel(SDPBackend.MATH):
                return func(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _short(q: Any = None, k: Any = None) -> bool:
    if not isinstance(q, torch.Tensor) or not isinstance(k, torch.Tensor):
        return False  # given by name, which nobody does
    on_cpu = q.device.type == "cpu" and q.dtype is torch.bfloat16
    return on_cpu and max(q.shape[-2], k.shape[-2]) <= MOST_TOKENS

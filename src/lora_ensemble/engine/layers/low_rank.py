"""The low-rank product of all members, added in place, with a derivative of its own."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def add_low_rank_(out: Tensor, low: Tensor, B: Tensor, scale: float) -> Tensor:
    # In place: `out` is fresh from the base layer, and copying it would cost as much as the low-rank products.
    return out.baddbmm_(low, B.transpose(1, 2), alpha=scale)


class AddLowRank(torch.autograd.Function):
    """y + scale * (x A^T) B^T of each member, in the memory of y, which the base layer has just made: y (m*B, .., out),
    x (m, N, in), A (m, R, in), B (m, out, R).

    The same derivative as autograd's own. Autograd would follow the addition through a view of y, and compute the
    gradients of the transposed factors, with copies that on a CPU take as long as the products themselves.
    """

    @staticmethod
    def forward(ctx: Any, y: Tensor, x: Tensor, A: Tensor, B: Tensor, scale: float) -> Tensor:
        low = torch.bmm(x, A.transpose(1, 2))
        ctx.save_for_backward(x, A, B, low)
        ctx.scale = scale
        total = y.detach()
        add_low_rank_(total.view(len(x), -1, total.shape[-1]), low, B, scale)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g_y: Tensor) -> tuple[Tensor, Tensor | None, Tensor, Tensor, None]:
        x, A, B, low = ctx.saved_tensors
        g = g_y.reshape(len(x), -1, g_y.shape[-1])
        g_low, g_B = torch.bmm(g, B), torch.bmm(g.transpose(1, 2), low)
        if ctx.scale != 1:
            g_low, g_B = g_low * ctx.scale, g_B * ctx.scale
        g_x = torch.bmm(g_low, A) if ctx.needs_input_grad[1] else None
        return g_y, g_x, torch.bmm(g_low.transpose(1, 2), x), g_B, None

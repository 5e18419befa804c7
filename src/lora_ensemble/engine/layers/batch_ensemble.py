"""The BatchEnsemble layer: one frozen linear layer, multiplied by a matrix of rank 1 for each of M members.

Source: Wen et al., "BatchEnsemble: An Alternative Approach to Efficient Ensemble and Lifelong Learning", ICLR 2020:
W_m = W0 * (s_m r_m^T), element by element. There W0 is trained, too; here it is pretrained, and stays as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor, nn

from lora_ensemble.engine.initialisation import Start
from lora_ensemble.engine.layers.adapter import AdapterLayer
from lora_ensemble.engine.layers.member import member_dtype
from lora_ensemble.engine.layers.passes import PassState
from lora_ensemble.engine.surgery import in_out

if TYPE_CHECKING:
    from lora_ensemble.engine.config import LoraEnsembleConfig
    from lora_ensemble.engine.targets import Target


class BatchEnsembleLinear(AdapterLayer):
    """s_m * (W0 (r_m * x)) + bias. batch_r (M, in) and batch_s (M, out) hold r - 1 and s - 1, so that weight decay
    pulls towards the pretrained layer, and not towards 0."""

    kind = "batch-ensemble"

    def __init__(self, base: nn.Module, state: PassState, members: int):
        super().__init__(base, state, members)
        width_in, width_out = in_out(base)
        weight = base.weight
        assert isinstance(weight, Tensor)
        dtype, device = member_dtype(weight), weight.device
        self.batch_r = nn.Parameter(torch.zeros(members, width_in, dtype=dtype, device=device))
        self.batch_s = nn.Parameter(torch.zeros(members, width_out, dtype=dtype, device=device))

    @classmethod
    def adapt(cls, base: nn.Module, state: PassState, target: Target, config: LoraEnsembleConfig) -> Self:
        return cls(base, state, config.members)

    @torch.no_grad()
    def draw(self, member: int, generator: torch.Generator, start: Start) -> None:
        """r and s from N(1, std^2). From scratch, the paper draws random signs; they would undo a pretrained layer."""
        for stacked in (self.batch_r, self.batch_s):
            stacked[member].copy_(torch.randn(stacked.shape[1:], generator=generator) * start.std)

    def adapted(self, x: Tensor) -> Tensor:
        r, s = self.state.take(self.batch_r)[:, None], self.state.take(self.batch_s)[:, None]
        rows = self.state.rows(x)
        y = self.base_layer(torch.addcmul(rows, rows, r.to(x.dtype)).view_as(x))
        product, bias = self.state.rows(y), self.base_bias()
        if bias is not None:
            product = product - bias
        out = torch.addcmul(product, product, s.to(y.dtype))
        return (out if bias is None else out + bias).view_as(y)

    def merged_weight(self, member: int, W0: Tensor) -> Tensor:
        return W0 * torch.outer(1 + self.batch_s[member], 1 + self.batch_r[member]).to(W0.dtype)

    def member_state(self, member: int) -> dict[str, Tensor]:
        return {"batch_r": self.batch_r[member].detach(), "batch_s": self.batch_s[member].detach()}

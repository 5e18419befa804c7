"""The LoRA layer: one frozen linear layer with the low-rank updates of M members.

Source: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lora_ensemble.engine.initialisation import Start, draw
from lora_ensemble.engine.layers.adapter import AdapterLayer, PeftForm
from lora_ensemble.engine.layers.low_rank import AddLowRank, add_low_rank_
from lora_ensemble.engine.layers.member import member_dtype
from lora_ensemble.engine.layers.passes import PassState
from lora_ensemble.engine.surgery import in_out
from lora_ensemble.errors import FileFormatError

if TYPE_CHECKING:
    from lora_ensemble.engine.config import LoraEnsembleConfig
    from lora_ensemble.engine.targets import Target


class MemberLinear(AdapterLayer):
    """W0 x + scale * B_m A_m x: one frozen linear layer, stored and multiplied once, with M low-rank updates.

    lora_A: (M, S*R, in), lora_B: (M, out, R). S = 1, except for a fused projection (q, k and v in one matrix) whose S
    equal parts of the output have a low-rank pair each.
    """

    kind = "lora"

    def __init__(
        self,
        base: nn.Module,
        state: PassState,
        members: int,
        r: int,
        scale: float,
        dropout: float,
        splits: int = 1,
    ):
        super().__init__(base, state, members)
        width_in, width_out = in_out(base)
        weight = base.weight
        assert isinstance(weight, Tensor)
        assert width_out % splits == 0
        dtype = member_dtype(weight)
        self.r, self.scale, self.dropout, self.splits = r, scale, dropout, splits
        self.lora_A = nn.Parameter(torch.empty(members, splits * r, width_in, dtype=dtype, device=weight.device))
        self.lora_B = nn.Parameter(torch.zeros(members, width_out, r, dtype=dtype, device=weight.device))

    @classmethod
    def adapt(cls, base: nn.Module, state: PassState, target: Target, config: LoraEnsembleConfig) -> Self:
        return cls(base, state, config.members, target.r, target.scale, config.lora_dropout, target.splits)

    @torch.no_grad()
    def draw(self, member: int, generator: torch.Generator, start: Start) -> None:
        """A as asked (each part of a fused projection by itself), B zero: the member starts as the backbone."""
        for part in self.lora_A[member].view(self.splits, self.r, -1):
            part.copy_(draw((self.r, part.shape[-1]), start, generator))
        self.lora_B[member].zero_()

    def adapted(self, x: Tensor) -> Tensor:
        y = self.base_layer(x)
        A, B = self.state.take(self.lora_A), self._expanded_B(self.state.take(self.lora_B))
        if self.dropout and self.training:
            x = F.dropout(x, self.dropout)
        rows, A, B = self.state.rows(x).to(y.dtype), A.to(y.dtype), B.to(y.dtype)
        if torch.is_grad_enabled() and not torch.compiler.is_compiling():
            updated: Tensor = AddLowRank.apply(y.contiguous(), rows, A, B, self.scale)
            return updated
        out = y.reshape(len(rows), -1, y.shape[-1])
        return add_low_rank_(out, torch.bmm(rows, A.transpose(1, 2)), B, self.scale).view(y.shape)

    def _expanded_B(self, B: Tensor) -> Tensor:
        """(m, out, R) to (m, out, S*R), block-diagonal: part s of the output sees only part s of A."""
        if self.splits == 1:
            return B
        m, out, r = B.shape
        eye = torch.eye(self.splits, dtype=B.dtype, device=B.device)
        parts = B.view(m, self.splits, out // self.splits, 1, r) * eye[:, None, :, None]
        return parts.reshape(m, out, self.splits * r)

    def update(self, member: int) -> Tensor:
        """scale * B_m A_m, (out, in)."""
        B = self._expanded_B(self.lora_B[member : member + 1])[0]
        return self.scale * (B @ self.lora_A[member])

    def squared_norms(self, members: range) -> Tensor:
        """||B_m A_m||_F^2 of some members, (len(members),), without `scale`.

        Through the factors: it is the trace of (B^T B)(A A^T), two (R, R) matrices; a block-diagonal B has a pair of
        them for each block.
        """
        part = slice(members.start, members.stop)
        with torch.autocast(self.lora_A.device.type, enabled=False):
            A = self.lora_A[part].unflatten(1, (self.splits, self.r))
            B = self.lora_B[part].unflatten(1, (self.splits, -1))
            squared: Tensor = ((A @ A.mT) * (B.mT @ B)).sum((1, 2, 3))
            return squared

    def merged_weight(self, member: int, W0: Tensor) -> Tensor:
        return W0 + self.update(member)

    def member_state(self, member: int) -> dict[str, Tensor]:
        """PEFT's names and shapes: A (S*R, in), B (out, S*R)."""
        B = self._expanded_B(self.lora_B[member : member + 1])[0]
        return {"lora_A.weight": self.lora_A[member].detach(), "lora_B.weight": B.detach()}

    def load_member_state(self, member: int, state: Mapping[str, Tensor]) -> None:
        """From PEFT's tensors. A smaller rank is filled with zeros; a block-diagonal B is taken apart."""
        A, B = state["lora_A.weight"], state["lora_B.weight"]
        self.unmerge()
        with torch.no_grad():
            self.lora_A[member].zero_()
            self.lora_B[member].zero_()
            self.lora_A[member, : A.shape[0]].copy_(A)
            if self.splits == 1:
                self.lora_B[member, :, : B.shape[1]].copy_(B)
                return
            blocks = B.view(self.splits, -1, self.splits, self.r)
            own = torch.stack([blocks[s, :, s] for s in range(self.splits)])
            if blocks.count_nonzero() != own.count_nonzero():
                raise FileFormatError("lora_B of a fused projection is not block-diagonal; load it with from_peft")
            self.lora_B[member].copy_(own.flatten(0, 1))

    def peft_form(self) -> PeftForm:
        """A fused projection with S low-rank pairs is one pair of rank S*R to PEFT."""
        return PeftForm(self.splits * self.r, self.scale, transposed=not isinstance(self.base_layer, nn.Linear))

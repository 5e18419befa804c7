"""What every kind of adapter does: M updates of one frozen linear layer. A new kind is one file with one class.

It says how it runs (`adapted`), draws, what one member's weight is (`merged_weight`), and what it saves
(`member_state`); merging, the plain layer of a member and its place on disk follow. `LoraEnsembleConfig(adapter=KIND)`
chooses it. A kind of another package is found by an entry point `lora_ensemble.adapters`, or once it is imported.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

import torch
from torch import Tensor, nn

from lora_ensemble.engine.layers.member import MemberLayer
from lora_ensemble.engine.layers.passes import PassState
from lora_ensemble.engine.layers.read_weight import ReadWeight

if TYPE_CHECKING:
    from lora_ensemble.engine.config import LoraEnsembleConfig
    from lora_ensemble.engine.targets import Target


@dataclass(frozen=True)
class PeftForm:
    """How PEFT's LoRA writes an adapter down."""

    rank: int
    scale: float
    """What the product is multiplied with."""
    transposed: bool
    """Whether the base layer stores its weight as (in, out)."""


class AdapterLayer(MemberLayer):
    """Base of the kinds of adapter: one frozen linear layer, stored and run once, and what M members add to it."""

    kind: ClassVar[str]
    """What a configuration calls it."""

    merged: Tensor | None

    def __init__(self, base: nn.Module, state: PassState, members: int):
        super().__init__(state)
        self.base_layer = base
        self.members = members
        self.register_buffer("merged", None, persistent=False)

    # What a kind says ---------------------------------------------------------------------------------------------

    @classmethod
    @abstractmethod
    def adapt(cls, base: nn.Module, state: PassState, target: Target, config: LoraEnsembleConfig) -> Self:
        """The layer in place of `base`, for config.members members."""

    @abstractmethod
    def adapted(self, x: Tensor) -> Tensor:
        """The output of the running members for x (m*B, ..., in), member-major: see `state.take` and `state.rows`."""

    @abstractmethod
    def merged_weight(self, member: int, W0: Tensor) -> Tensor:
        """The weight (out, in) of one member, W0 being the base layer's; its bias is the base layer's."""

    def peft_form(self) -> PeftForm | None:
        """None: PEFT's LoRA cannot express it, and members are saved without a configuration for PEFT."""
        return None

    # What follows -------------------------------------------------------------------------------------------------

    def forward(self, x: Tensor) -> Tensor:
        return self.adapted(x) if self.merged is None else self._merged_forward(x, self.merged)

    def _merged_forward(self, x: Tensor, merged: Tensor) -> Tensor:
        W, rows = self.state.take(merged), self.state.rows(x)
        bias = self.base_bias()
        y = torch.bmm(rows, W.transpose(1, 2)) if bias is None else torch.baddbmm(bias, rows, W.transpose(1, 2))
        return y.view(*x.shape[:-1], W.shape[1])

    @property
    def weight(self) -> Tensor:
        """For attention that reads it in place of a call; see `read_weight`."""
        return ReadWeight.of(self)

    @property
    def bias(self) -> Tensor | None:
        """For the same."""
        return self.base_bias()

    def base_weight(self) -> Tensor:
        """W0 as (out, in), whatever the layer's own storage."""
        weight = self.base_layer.weight
        assert isinstance(weight, nn.Parameter)
        if type(weight).__name__ in ("Params4bit", "Int8Params"):  # bitsandbytes
            from peft.utils.integrations import dequantize_bnb_weight

            return dequantize_bnb_weight(weight, state=getattr(self.base_layer, "state", None))
        return weight if isinstance(self.base_layer, nn.Linear) else weight.T

    def base_bias(self) -> Tensor | None:
        """The bias (out,) of the base layer, if it has one."""
        return getattr(self.base_layer, "bias", None)

    def member_layer(self, member: int) -> nn.Linear:
        """Member m alone: a plain linear layer with its update merged."""
        W0, bias = self.base_weight(), self.base_bias()
        plain = nn.Linear(W0.shape[1], W0.shape[0], bias is not None, device=W0.device, dtype=W0.dtype)
        with torch.no_grad():
            plain.weight.copy_(self.merged_weight(member, W0))
            if bias is not None:
                plain.bias.copy_(bias)
        return plain

    def load_member_state(self, member: int, state: Mapping[str, Tensor]) -> None:
        self.unmerge()
        super().load_member_state(member, state)

    def grow(self, members: int) -> None:
        self.unmerge()
        super().grow(members)
        self.members = members

    @torch.no_grad()
    def merge(self) -> None:
        """Keep the weight of every member, (M, out, in): faster prediction for M times the memory of W0."""
        W0 = self.base_weight()
        self.merged = torch.stack([self.merged_weight(m, W0).to(W0.dtype) for m in range(self.members)])

    def unmerge(self) -> None:
        """Forget the merged weights."""
        self.merged = None

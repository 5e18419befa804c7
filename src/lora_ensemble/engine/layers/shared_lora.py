"""One low-rank update that all members share: a network adapted once, under as many heads as there are members."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor, nn

from lora_ensemble.engine.initialisation import Start
from lora_ensemble.engine.layers.lora import MemberLinear
from lora_ensemble.engine.layers.passes import PassState
from lora_ensemble.errors import FileFormatError

if TYPE_CHECKING:
    from lora_ensemble.engine.config import LoraEnsembleConfig
    from lora_ensemble.engine.targets import Target


class SharedLinear(MemberLinear):
    """A LoRA layer of one member, run for the rows of all of them; its gradient is the sum over the members."""

    kind = "shared-lora"
    together: PassState
    """The pass of the ensemble; the layer's own `state` has one member."""

    @classmethod
    def adapt(cls, base: nn.Module, state: PassState, target: Target, config: LoraEnsembleConfig) -> Self:
        layer = cls(base, PassState(1), 1, target.r, target.scale, config.lora_dropout, target.splits)
        layer.together = state
        return layer

    def draw(self, member: int, generator: torch.Generator, start: Start) -> None:
        """Once, as the first of the ensemble's members."""
        if member == 0:
            super().draw(0, generator, start)

    def squared_norms(self, members: range) -> Tensor:
        """A part for each of the members, so that their sum counts it once."""
        every = len(self.together.all_members)
        return super().squared_norms(range(1)).expand(len(members)) / every

    def merged_weight(self, member: int, W0: Tensor) -> Tensor:
        return super().merged_weight(0, W0)

    def member_state(self, member: int) -> dict[str, Tensor]:
        return super().member_state(0)

    def load_member_state(self, member: int, state: Mapping[str, Tensor]) -> None:
        """Of the first member. Raises FileFormatError where another's is not the same."""
        if member == 0:
            return super().load_member_state(0, state)
        own = self.member_state(0)
        if any(not torch.equal(state[name].to(value), value) for name, value in own.items()):
            raise FileFormatError(f"member {member} has another update than the first; members of this kind share it")
        return None

    def gradients(self) -> Iterator[tuple[range, list[Tensor]]]:
        """Of what members share, which comes after the last one."""
        last = len(self.together.all_members)
        yield range(last, last + 1), [p.grad for p in self.parameters(recurse=False) if p.grad is not None]

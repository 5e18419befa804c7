"""Any module at all, held M times: the slow, general case."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from lora_ensemble.engine.initialisation import Start
from lora_ensemble.engine.layers.member import MemberLayer
from lora_ensemble.engine.layers.passes import PassState


class MemberCopies(MemberLayer):
    """Any other module with parameters: M copies, run one after another. The slow, general case."""

    def __init__(self, base: nn.Module, state: PassState, members: int):
        super().__init__(state)
        self.copies = nn.ModuleList(copy.deepcopy(base).requires_grad_(True) for _ in range(members))

    def forward(self, x: Tensor) -> Tensor:
        members = self.state.members
        return torch.cat([self.copies[m](part) for m, part in zip(members, x.chunk(len(members)), strict=True)])

    def member_state(self, member: int) -> dict[str, Tensor]:
        return dict(self.copies[member].state_dict())

    def load_member_state(self, member: int, state: Mapping[str, Tensor]) -> None:
        self.copies[member].load_state_dict(dict(state))

    def member_layer(self, member: int) -> nn.Module:
        """Member m's copy."""
        return copy.deepcopy(self.copies[member])

    def draw(self, member: int, generator: torch.Generator, start: Start) -> None:
        """As each module inside draws itself."""
        if start.init == "copy":
            return
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(torch.randint(2**62, (1,), generator=generator)))
            for module in self.copies[member].modules():
                getattr(module, "reset_parameters", lambda: None)()

    def grow(self, members: int) -> None:
        self.copies = nn.ModuleList(copy.deepcopy(self.copies[0]) for _ in range(members))

    def gradients(self) -> Iterator[tuple[range, list[Tensor]]]:
        for m, copied in enumerate(self.copies):
            yield range(m, m + 1), [p.grad[None] for p in copied.parameters() if p.grad is not None]

"""What every layer that holds M members does: run them, draw, save, load and show one of them, give its gradients."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from lora_ensemble.engine.initialisation import Start
from lora_ensemble.engine.layers.passes import PassState


class MemberLayer(nn.Module):
    """Base of all layers with members. Its own parameters are stacked, (M, ...); a layer whose parameters are not
    overrides what is said of them here."""

    def __init__(self, state: PassState):
        super().__init__()
        self.state = state

    # What a layer says --------------------------------------------------------------------------------------------

    def draw(self, member: int, generator: torch.Generator, start: Start) -> None:
        """Draw one member anew; nothing for start.init == "copy"."""
        raise NotImplementedError

    def member_state(self, member: int) -> dict[str, Tensor]:
        """One member's tensors, named as the plain layer (or PEFT) names them."""
        raise NotImplementedError

    def member_layer(self, member: int) -> nn.Module:
        """One member's part as a plain layer."""
        raise NotImplementedError

    # What it may say ----------------------------------------------------------------------------------------------

    def load_member_state(self, member: int, state: Mapping[str, Tensor]) -> None:
        """The inverse of `member_state`."""
        with torch.no_grad():
            for name, parameter in self.named_parameters(recurse=False):
                if name in state:
                    parameter[member].copy_(state[name])

    def gradients(self) -> Iterable[tuple[range, list[Tensor]]]:
        """Gradients that there are, by the members that they belong to: (members, tensors with a first axis of them).
        Those of all members are stacked, range(M)."""
        yield self.state.all_members, [p.grad for p in self.parameters(recurse=False) if p.grad is not None]

    def squared_norms(self, members: range) -> Tensor | None:
        """What lora_l2 penalises of some members, (len(members),); None: nothing."""
        return None

    def grow(self, members: int) -> None:
        """Hold so many members, all equal to the first."""
        for name, parameter in list(self.named_parameters(recurse=False)):
            setattr(self, name, nn.Parameter(stacked(parameter[0], members)))

    def merge(self) -> None:
        """Prepare every member for prediction: faster, for more memory."""

    def unmerge(self) -> None:
        """The inverse of `merge`."""


def member_dtype(weight: Tensor) -> torch.dtype:
    """The type of members' parameters. bf16, fp16 and quantised backbones get fp32 members, as in PEFT: small updates
    would be rounded away otherwise."""
    return torch.float32 if not weight.dtype.is_floating_point or weight.itemsize < 4 else weight.dtype


def stacked(tensor: Tensor, members: int) -> Tensor:
    """M equal copies of a weight, (M, ...)."""
    return tensor.detach().to(member_dtype(tensor)).expand(members, *tensor.shape).clone()

"""Hidden features: what the last layer of each member's head is given, caught while the ensemble predicts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from lora_ensemble.engine.ensemble import Ensemble
from lora_ensemble.engine.layers.heads import MemberHead
from lora_ensemble.errors import UserError


class HeadInputs:
    """The inputs of the heads' last linear layers since `taken` was last called, by the layer's path in a head."""

    def __init__(self) -> None:
        self._caught: dict[str, list[Tensor]] = {}
        self._last = ""

    def catch(self, path: str, given: Tensor) -> None:
        self._last = path
        self._caught.setdefault(path, []).append(given.detach())

    def taken(self, members: int, rows: int) -> Tensor:
        """(M, B, D) float32 on the CPU, of the batch that has just been run. Members run in their order, whether
        together, in passes or one network after another. Raises UserError for a head that sees no row as a whole."""
        caught, self._caught = self._caught.get(self._last, []), {}
        if not caught or any(part.ndim != 2 for part in caught) or sum(map(len, caught)) != members * rows:
            shapes = ", ".join(str(tuple(part.shape)) for part in caught[:3]) or "nothing"
            raise UserError(
                f"hidden features cannot be kept: the head's last layer was given {shapes}, expected (rows, width) "
                f"for {members} members and {rows} rows"
            )
        features: Tensor = torch.cat(caught).unflatten(0, (members, rows))
        return features.float().cpu()


@contextmanager
def head_inputs(ensemble: Ensemble, head: str | None) -> Iterator[HeadInputs]:
    """Catches them inside the block. head: path of the head within the backbone's model. Raises UserError for a
    network without a head of its own (a language model whose members share the output layer)."""
    inside = () if head is None else _linears(ensemble, head)
    if not inside:
        raise UserError("hidden features cannot be kept: this network has no head of its own that they would go into")
    found = HeadInputs()
    hooks = [
        layer.register_forward_pre_hook(lambda _, given, path=path: found.catch(path, given[0]))
        for path, layer in inside
    ]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def _linears(ensemble: Ensemble, head: str) -> list[tuple[str, nn.Module]]:
    """The linear layers of all heads, each with its path in its head, without the number of a copy."""
    pattern = re.compile(rf"(?:^|\.){re.escape(head)}(?:\.(.+))?$")
    found: list[tuple[str, nn.Module]] = []
    for name, module in ensemble.named_modules():
        match = pattern.search(name)
        if match and isinstance(module, nn.Linear | MemberHead):
            found.append((re.sub(r"copies\.\d+\.?", "", match[1] or ""), module))
    return found

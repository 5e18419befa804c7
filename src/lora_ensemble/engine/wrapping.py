"""Models that call a plain model in a way of their own, without hiding it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn


class Wrapper(nn.Module):
    """Calls a plain model, `plain`. Members are put into that one, under its own names, so that adapters fit it with
    and without the wrapper, and its weights are saved without it."""

    def __init__(self, plain: nn.Module):
        super().__init__()
        self.plain = plain

    def reads(self, inputs: Mapping[str, Any]) -> int | None:
        """The one position of its plain model's last block that a call with these inputs reads; None: all."""
        return None


def unwrapped(model: nn.Module) -> nn.Module:
    """The plain model inside a wrapper, or the model itself."""
    return model.plain if isinstance(model, Wrapper) else model

"""Models that call a plain model in a way of their own, without hiding it."""

from __future__ import annotations

from torch import nn


class Wrapper(nn.Module):
    """Calls a plain model, `plain`. Members are put into that one, under its own names, so that adapters fit it with
    and without the wrapper, and its weights are saved without it."""

    def __init__(self, plain: nn.Module):
        super().__init__()
        self.plain = plain


def unwrapped(model: nn.Module) -> nn.Module:
    """The plain model inside a wrapper, or the model itself."""
    return model.plain if isinstance(model, Wrapper) else model

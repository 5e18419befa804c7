"""Watching one forward pass over M copies of the same rows: which modules did the same work M times."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from lora_ensemble.errors import ConfigurationError

Path = tuple[Any, ...]
"""Where a value is within nested tuples, lists and dicts."""

Signature = frozenset[Path]
"""Which of the arguments (or results) of a call run over all rows."""

_PLAIN = (bool, int, float, str, torch.dtype, torch.device, torch.Size, type(None))


class Watch:
    """Hooks on every module of `model` that holds no `stop` layer, until `close`. Fills `known`: for each module that
    ran before any `stop` layer, and each signature of its inputs, that of its outputs; None where it cannot run once.
    """

    def __init__(
        self,
        model: nn.Module,
        stop: type[nn.Module],
        rows: int,
        members: int,
        known: dict[nn.Module, dict[Signature, Signature | None]],
    ):
        self._rows, self._members, self._known = rows, members, known
        self._over = False  # a `stop` layer has begun, or random numbers were drawn
        self._running: tuple[nn.Module, Signature] | None = None  # the candidate that is running
        self._device = next((p.device for p in model.parameters()), torch.device("cpu"))
        self._random = _random_states(self._device)
        self._handles: list[Any] = []
        for module in model.modules():
            if isinstance(module, stop):
                self._handles.append(module.register_forward_pre_hook(self._stop))
            elif not any(isinstance(m, stop) for m in module.modules()):
                self._handles.append(module.register_forward_pre_hook(self._enter, with_kwargs=True))
                self._handles.append(module.register_forward_hook(self._leave))

    def close(self) -> None:
        """Remove the hooks."""
        for handle in self._handles:
            handle.remove()

    def _stop(self, module: nn.Module, args: Any) -> None:
        first, self._over = not self._over and not self._drawn(), True
        if first and args and not same_on_average(args[0].detach().reshape(self._members, -1)):
            raise ConfigurationError(
                [
                    f"the first adapted layer got an input {tuple(args[0].shape)} whose first axis is not the batch; "
                    "such a model cannot hold several members"
                ]
            )

    def _enter(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        if self._running is not None:
            return
        self._over = self._over or self._drawn()
        inputs = signature((args, kwargs), self._rows)
        calls = self._known.get(module, {})
        if self._over:
            if inputs in calls:
                calls[inputs] = None
        elif inputs and calls.get(inputs, inputs) is not None and not needs_gradient((args, kwargs)):
            trained = any(p.requires_grad for p in module.parameters())
            if trained or not self._copied((args, kwargs), inputs):
                self._known.setdefault(module, {})[inputs] = None
            else:
                self._running = module, inputs

    def _leave(self, module: nn.Module, args: Any, output: Any) -> None:
        if self._running is None or self._running[0] is not module:
            return
        inputs, self._running = self._running[1], None
        outputs = signature(output, self._rows)
        calls = self._known.setdefault(module, {})
        once = bool(outputs) and not self._drawn() and self._copied(output, outputs)
        calls[inputs] = outputs if once and calls.get(inputs, outputs) == outputs else None

    def _copied(self, value: Any, paths: Signature) -> bool:
        tensors = [leaf for path, leaf in _leaves(value) if path in paths]
        if not all(isinstance(t, Tensor) for t in tensors):
            return False
        return all(copied(t.detach().unflatten(0, (self._members, -1))) for t in tensors)

    def _drawn(self) -> bool:
        """Whether random numbers were drawn since the pass began."""
        return any(not torch.equal(a, b) for a, b in zip(self._random, _random_states(self._device), strict=True))


def signature(value: Any, rows: int) -> Signature:
    """Paths of the tensors with `rows` rows, and of numbers equal to it; empty where something of an unknown kind is
    among the values."""
    paths = []
    for path, leaf in _leaves(value):
        if isinstance(leaf, Tensor):
            if leaf.ndim and leaf.shape[0] == rows:
                paths.append(path)
        elif not isinstance(leaf, _PLAIN):
            return frozenset()
        elif type(leaf) is int and leaf == rows:
            paths.append(path)
    return frozenset(paths)


def needs_gradient(value: Any) -> bool:
    """Whether a gradient will flow through one of the tensors."""
    return any(isinstance(leaf, Tensor) and leaf.requires_grad for _, leaf in _leaves(value))


def map_tensors(value: Any, change: Callable[[Path, Tensor], Tensor], path: Path = ()) -> Any:
    """The same structure of tuples, lists and dicts (and model outputs), with every tensor changed."""
    if isinstance(value, Tensor):
        return change(path, value)
    if type(value) in (tuple, list):
        return type(value)(map_tensors(v, change, (*path, i)) for i, v in enumerate(value))
    if isinstance(value, dict):
        mapped = {k: map_tensors(v, change, (*path, k)) for k, v in value.items()}
        return mapped if type(value) is dict else type(value)(**mapped)
    return value


def copied(parts: Tensor) -> bool:
    """Whether parts[1:] equal parts[0] up to rounding: a matrix product may treat one row in two places differently."""
    first = parts[:1]
    same = (parts == first) | ((parts != parts) & (first != first))
    if bool(same.all()) or not parts.dtype.is_floating_point:
        return bool(same.all())
    finite = first[first.isfinite()]
    largest = finite.abs().max() if finite.numel() else 0.0
    near = (parts - first).abs() <= (1e-4 if parts.itemsize >= 4 else 5e-2) * largest
    return bool((same | near).all())


def same_on_average(parts: Tensor) -> bool:
    """Whether parts[1:] are like parts[0] by and large: a router may flip for single rows, but another order of rows
    differs everywhere. True where there are numbers that are not finite."""
    parts = parts.float()
    return not bool((parts - parts[:1]).abs().mean() > 0.1 * parts.abs().mean())


def _leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    if type(value) in (tuple, list):
        for i, v in enumerate(value):
            yield from _leaves(v, (*path, i))
    elif isinstance(value, dict):
        for k, v in value.items():
            yield from _leaves(v, (*path, k))
    else:
        yield path, value


def _random_states(device: torch.device) -> list[Tensor]:
    states = [torch.get_rng_state()]
    if device.type not in ("cpu", "meta"):
        states.append(torch.get_device_module(device).get_rng_state())
    return states

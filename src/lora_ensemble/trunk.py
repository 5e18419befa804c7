"""The shared trunk: everything below the first adapted layer sees M copies of the same rows, so it runs once for B rows.

Which modules these are is found by watching the first forward pass, not guessed from the architecture: a module belongs to
the trunk if it finished before any member layer began, holds no member layer, is not called again later, and both its
inputs and its outputs were M copies (to rounding: a matrix product may treat the same row in two places differently). Around each such module, hooks then keep the first copy of every input and
repeat every output. What remains of the model sees M*B rows as ever, so masks, positions and pooling need no care.
Training and evaluation are watched separately: with dropout in the trunk, members have different masks in training, the
copies differ, and nothing is shared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from lora_ensemble.layers import MemberLayer, PassState

Path = tuple[Any, ...]


class SharedTrunk:
    """Finds the trunk of a model with member layers, and runs it once for all members."""

    def __init__(self, model: nn.Module, state: PassState):
        self._model, self._state = model, state
        self._found: dict[bool, dict[nn.Module, tuple[frozenset[Path], frozenset[Path]]]] = {}
        self._hooked: set[nn.Module] = set()
        self.enabled = True

    def modules(self, training: bool = False) -> list[str]:
        """Paths of the modules that run once (after a first forward pass in that mode)."""
        names = {module: name for name, module in self._model.named_modules()}
        return [names[m] for m in self._found.get(training, {})]

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Find the trunk during this forward pass, if it is the first one in this mode that could tell."""
        this, mode = self._state.current, self._model.training
        unknown = self.enabled and mode not in self._found and this is not None and this.shared
        if not unknown or torch.compiler.is_compiling() or len(this.members) == 1:
            yield
            return
        watch = _Watch(self._model, this.rows, len(this.members))
        try:
            yield
            self._found[mode] = watch.trunk()
        finally:
            watch.close()
        for module in self._found[mode]:
            if module not in self._hooked:
                self._hooked.add(module)
                module.register_forward_pre_hook(self._keep_one, with_kwargs=True)
                module.register_forward_hook(self._repeat)

    def _paths(self, module: nn.Module) -> tuple[frozenset[Path], frozenset[Path]] | None:
        this = self._state.current
        if not self.enabled or this is None or not this.shared or len(this.members) == 1:
            return None
        return self._found.get(self._model.training, {}).get(module)

    def _keep_one(self, module: nn.Module, args: Any, kwargs: Any) -> Any:
        paths = self._paths(module)
        if paths is None:
            return None
        this = self._state.current
        size = this.rows // len(this.members)

        def first(path: Path, t: Tensor) -> Tensor:
            return t[:size] if path in paths[0] and t.shape[0] == this.rows else t

        return _map((args, kwargs), first)

    def _repeat(self, module: nn.Module, args: Any, output: Any) -> Any:
        paths = self._paths(module)
        if paths is None:
            return None
        members = len(self._state.current.members)

        def repeat(path: Path, t: Tensor) -> Tensor:
            return t.expand(members, *t.shape).flatten(0, 1) if path in paths[1] else t

        return _map(output, repeat)


class _Watch:
    """Observes one forward pass over `members` copies of the same rows."""

    def __init__(self, model: nn.Module, rows: int, members: int):
        self._rows, self._members = rows, members
        self._started = False  # a member layer has begun
        self._inside: nn.Module | None = None  # the candidate that is running
        self._inputs: frozenset[Path] = frozenset()
        self._candidates: dict[nn.Module, tuple[frozenset[Path], frozenset[Path]]] = {}
        self._refused: set[nn.Module] = set()
        self._handles: list[Any] = []
        for module in model.modules():
            if any(isinstance(m, MemberLayer) for m in module.modules()):
                if isinstance(module, MemberLayer):
                    self._handles.append(module.register_forward_pre_hook(self._start))
                continue
            self._handles.append(module.register_forward_pre_hook(self._enter, with_kwargs=True))
            self._handles.append(module.register_forward_hook(self._leave))

    def trunk(self) -> dict[nn.Module, tuple[frozenset[Path], frozenset[Path]]]:
        return {m: paths for m, paths in self._candidates.items() if m not in self._refused}

    def close(self) -> None:
        for handle in self._handles:
            handle.remove()

    def _start(self, module: nn.Module, args: Any) -> None:
        self._started = True

    def _enter(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        if self._inside is not None:
            return
        inputs = None if self._started else self._copies((args, kwargs))
        if not inputs:
            self._refused.add(module)
            return
        self._inside, self._inputs = module, inputs

    def _leave(self, module: nn.Module, args: Any, output: Any) -> None:
        if self._inside is not module:
            return
        self._inside = None
        outputs = self._copies(output)
        before = self._candidates.get(module, (self._inputs, outputs))
        if outputs and before == (self._inputs, outputs):
            self._candidates[module] = (self._inputs, outputs)
        else:
            self._refused.add(module)

    def _copies(self, value: Any) -> frozenset[Path] | None:
        """Paths of the tensors over all rows; None where one of them is not M copies."""
        paths: list[Path] = []
        exact = True

        def look(path: Path, t: Tensor) -> Tensor:
            nonlocal exact
            if t.ndim and t.shape[0] == self._rows:
                parts = t.detach().unflatten(0, (self._members, -1))
                exact = exact and _copied(parts)
                paths.append(path)
            return t

        _map(value, look)
        return frozenset(paths) if exact else None


def _copied(parts: Tensor) -> bool:
    """Whether parts[1:] equal parts[0] up to rounding; random masks or noise differ by far more."""
    if not parts.dtype.is_floating_point:
        return bool((parts == parts[:1]).all())
    largest = parts[0].abs().max() if parts[0].numel() else 0.0
    return bool((parts - parts[:1]).abs().max() <= (1e-4 if parts.itemsize >= 4 else 5e-2) * largest)


def _map(value: Any, change: Callable[[Path, Tensor], Tensor], path: Path = ()) -> Any:
    """The same structure of tuples, lists and dicts (and model outputs), with every tensor changed."""
    if isinstance(value, Tensor):
        return change(path, value)
    if isinstance(value, tuple) and type(value) is tuple:
        return tuple(_map(v, change, (*path, i)) for i, v in enumerate(value))
    if type(value) is list:
        return [_map(v, change, (*path, i)) for i, v in enumerate(value)]
    if isinstance(value, dict):
        mapped = {k: _map(v, change, (*path, k)) for k, v in value.items()}
        return mapped if type(value) is dict else type(value)(**mapped)
    return value

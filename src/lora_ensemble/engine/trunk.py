"""The shared trunk: what lies below the first adapted layer sees M copies of the same rows, so it runs once for B rows.

Which modules these are is found by watching the first forward pass, not guessed from the architecture: those that
finish before any member layer begins, whose inputs and outputs are M copies, that draw no random numbers (members have
dropout masks of their own) and through which no gradient flows. Around each, hooks then keep the first copy of every
input and repeat every output. What remains of the model sees M*B rows as ever, so masks, positions and pooling need no
care.

What is known of a module holds for one signature of a call: which of its arguments run over all rows. A call with
another signature (a mask where there was none) runs on all rows, and the next pass is watched again. Training and
evaluation are watched separately. A compiled model runs with what was known when it was compiled, so that an eager
pass should come first.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, compiler, nn

from lora_ensemble.engine.layers.member import MemberLayer
from lora_ensemble.engine.layers.passes import Pass, PassState
from lora_ensemble.engine.watching import Signature, Watch, map_tensors, needs_gradient, signature


class SharedTrunk:
    """Finds the trunk of a model with member layers, and runs it once for all members."""

    def __init__(self, model: nn.Module, state: PassState):
        self._model, self._state = model, state
        self._known: dict[bool, dict[nn.Module, dict[Signature, Signature | None]]] = {True: {}, False: {}}
        self._unseen = {True: True, False: True}  # whether there was a call, in this mode, of which nothing is known
        self._hooked: set[nn.Module] = set()
        self._watching = False
        self._narrowed: nn.Module | None = None  # the trunk module that runs now, on B rows
        self._outputs: Signature = frozenset()  # what of its outputs is to be repeated
        self.enabled = True

    def modules(self, training: bool = False) -> list[str]:
        """Paths of the modules that run once (after a first forward pass in that mode)."""
        names = {module: name for name, module in self._model.named_modules()}
        return [names[m] for m, calls in self._known[training].items() if any(calls.values())]

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Find the trunk during this forward pass, if there is something to find."""
        self._narrowed = None
        this, mode = self._sharing(), self._model.training
        if this is None or not self._unseen[mode] or compiler.is_compiling():
            yield
            return
        watch = Watch(self._model, MemberLayer, this.rows, len(this.members), self._known[mode])
        self._watching = True
        try:
            yield
            self._unseen[mode] = False
        finally:
            watch.close()
            self._watching = False
        for module in self._known[mode]:
            if module not in self._hooked:
                self._hooked.add(module)
                module.register_forward_pre_hook(self._keep_one, with_kwargs=True)
                module.register_forward_hook(self._repeat)

    def _sharing(self) -> Pass | None:
        """The pass that is running, if its members share their rows."""
        this = self._state.current
        shares = self.enabled and this is not None and this.shared and len(this.members) > 1
        return this if shares else None

    def _keep_one(self, module: nn.Module, args: Any, kwargs: Any) -> Any:
        this, mode = self._sharing(), self._model.training
        if this is None or self._watching or self._narrowed is not None or needs_gradient((args, kwargs)):
            return None
        inputs = signature((args, kwargs), this.rows)
        calls = self._known[mode].get(module, {})
        if not inputs or calls.get(inputs) is None:
            if inputs and inputs not in calls and not compiler.is_compiling():
                self._unseen[mode] = True
            return None
        self._narrowed, self._outputs = module, calls[inputs] or frozenset()
        size = this.rows // len(this.members)
        return map_tensors((args, kwargs), lambda path, t: t[:size] if path in inputs else t)

    def _repeat(self, module: nn.Module, args: Any, output: Any) -> Any:
        if self._narrowed is not module:
            return None
        self._narrowed, outputs = None, self._outputs
        this = self._state.current
        assert this is not None
        members = len(this.members)

        # Contiguous, because of a single row there would be one copy in memory, which some layers cannot view.
        def repeated(t: Tensor) -> Tensor:
            return t.expand(members, *t.shape).flatten(0, 1).contiguous()

        return map_tensors(output, lambda path, t: repeated(t) if path in outputs else t)


def forget_trunk(model: nn.Module) -> None:
    """Remove a trunk's hooks from a deep copy of its model."""
    for module in model.modules():
        for hooks in (module._forward_pre_hooks, module._forward_hooks):
            for key in [k for k, hook in hooks.items() if isinstance(getattr(hook, "__self__", None), SharedTrunk)]:
                del hooks[key]
                module._forward_pre_hooks_with_kwargs.pop(key, None)

"""Only the rows that are read: a classifier's head reads one position of the last block's output, so of that block all
that follows the mixing of positions (and the query) runs there alone.

Exact: keys and values are made of every position, everything after attention treats positions one by one, and what the
head does not read has no gradient. Unread positions of the block's output hold what is of no use.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lora_ensemble.engine import surgery
from lora_ensemble.engine.layers.adapter import AdapterLayer
from lora_ensemble.engine.wrapping import Wrapper, unwrapped
from lora_ensemble.errors import ConfigurationError

Position = int | Tensor
"""The one that is read: the same of all rows, or (rows,)."""

_FIRST = re.compile(
    r"(ViT|Bert|Roberta|XLMRoberta|Electra|DistilBert|Camembert|MPNet)For(Image|Sequence)Classification"
)
_LAST = re.compile(r"(Llama|Mistral|Qwen2|Qwen3|Gemma|Phi3)ForSequenceClassification")
_DECODER = re.compile(r"(Llama|Mistral|Qwen2|Qwen3|Gemma|Phi3)ForCausalLM")
_MIXED = re.compile(r"(^|[._])(k|v|key|value|qkv|Wqkv|kv|query_key_value|k_proj|v_proj|k_lin|v_lin|in_proj)$")
_BY_POSITION = re.compile(r"mlp|feed_?forward|intermediate|ffn", re.IGNORECASE)


@dataclass(frozen=True)
class ReadRows:
    """The last block of a model, the parts of it that run on read positions, and which positions those are."""

    block: nn.Module
    parts: tuple[nn.Module, ...]
    position: Callable[[Mapping[str, Any]], Position | None]
    """Of a call's inputs; None: all are read."""

    @contextmanager
    def only(self, inputs: Mapping[str, Any]) -> Iterator[None]:
        """Inside, the parts run on what is read of these inputs."""
        where = None if torch.compiler.is_compiling() or self._whole() else self.position(inputs)
        if where is None:
            yield
            return
        narrow = [_Narrow(where) for _ in self.parts]
        handles: list[Any] = []
        for part, one in zip(self.parts, narrow, strict=True):
            handles += [part.register_forward_pre_hook(one.enter), part.register_forward_hook(one.leave)]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _whole(self) -> bool:
        """Whether the block runs on all rows: where it is recomputed outside of our context, or draws random numbers,
        which must stay those of all rows."""
        marks = ("gradient_checkpointing", "grad_checkpointing")
        recomputed = "forward" in vars(self.block) or any(getattr(self.block, mark, False) for mark in marks)
        draws = any(isinstance(m, nn.Dropout) and m.p and m.training for m in self.block.modules())
        drops = any(
            isinstance(m, AdapterLayer) and getattr(m, "dropout", 0) and m.training for m in self.block.modules()
        )
        return (recomputed and torch.is_grad_enabled()) or draws or drops


class _Narrow:
    """Hooks of one part: it gets (rows, 1, D), and gives what it made of them in its place among (rows, T, D)."""

    def __init__(self, position: Position):
        self._position = position
        self._tokens: int | None = None

    def enter(self, module: nn.Module, args: Any) -> Any:
        self._tokens = None
        if len(args) != 1 or args[0].ndim != 3:
            return None
        x: Tensor = args[0]
        self._tokens = x.shape[1]
        if isinstance(self._position, int):
            at = self._position % self._tokens
            return (x[:, at : at + 1],)
        return (x[torch.arange(len(x), device=x.device), self._position][:, None],)

    def leave(self, module: nn.Module, args: Any, output: Tensor) -> Tensor | None:
        if self._tokens is None:
            return None
        if isinstance(self._position, int):
            at = self._position % self._tokens
            return nn.functional.pad(output, (0, 0, at, self._tokens - 1 - at))
        whole = output.new_zeros(output.shape[0], self._tokens, output.shape[2])
        return whole.index_put((torch.arange(len(output), device=output.device), self._position), output[:, 0])


def find_read_rows(model: nn.Module) -> ReadRows:
    """Of a model whose members are in place. Raises ConfigurationError for an architecture of which it is not known
    which positions its head reads, or that reads them all."""
    plain = unwrapped(model)
    position = _position(model, plain)
    blocks = surgery.blocks(plain, [name for name, m in plain.named_modules() if _is_linear(m) and _MIXED.search(name)])
    if position is None or not blocks:
        raise ConfigurationError(
            [
                f"read_rows: it is not known which positions the head of {type(plain).__name__} reads; known are ViT, "
                "BERT and its kin with a class token, and decoders that classify or answer at the last token"
            ]
        )
    block = plain.get_submodule(blocks[-1])
    return ReadRows(block, tuple(_parts(block)), position)


def _position(model: nn.Module, plain: nn.Module) -> Callable[[Mapping[str, Any]], Position | None] | None:
    name = type(plain).__name__
    if name == "VisionTransformer" and type(plain).__module__.startswith("timm."):
        by_token = getattr(plain, "global_pool", None) == "token" and getattr(plain, "attn_pool", None) is None
        return _first if by_token else None
    if not type(plain).__module__.startswith("transformers."):
        return None
    if _FIRST.fullmatch(name):
        return _first
    if _LAST.fullmatch(name):
        padding = getattr(plain.config, "pad_token_id", None)
        return lambda inputs: _last_token(inputs.get("input_ids"), padding)
    if _DECODER.fullmatch(name) and isinstance(model, Wrapper):
        return model.reads
    return None


def _first(inputs: Mapping[str, Any]) -> int:
    return 0


def _last_token(tokens: Tensor | None, padding: int | None) -> Position | None:
    """The rightmost token that is no padding, as transformers finds it."""
    if tokens is None:
        return None
    if padding is None:
        return -1
    order = torch.arange(tokens.shape[1], device=tokens.device, dtype=torch.int32)
    return (order * (tokens != padding)).argmax(-1)


def _is_linear(module: nn.Module) -> bool:
    return isinstance(module, AdapterLayer) or surgery.is_linear(module)


def _parts(block: nn.Module) -> Iterator[nn.Module]:
    """The outermost parts of a block that treat positions one by one: whole multilayer perceptrons where they are
    modules of one input, single linear layers elsewhere; none that makes keys or values."""
    inside: list[str] = []
    for name, module in block.named_modules():
        if not name or any(name.startswith(f"{outer}.") for outer in inside):
            continue
        mlp = "." not in name and bool(_BY_POSITION.search(name)) and not _attends(module)
        if mlp or _is_linear(module):
            inside.append(name)
            if mlp or not _MIXED.search(name):
                yield module


def _attends(module: nn.Module) -> bool:
    return any(_is_linear(m) and _MIXED.search(name) for name, m in module.named_modules())

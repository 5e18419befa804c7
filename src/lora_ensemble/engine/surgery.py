"""Finding things in a model, and replacing them. Nothing here knows a method or a backbone."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from lora_ensemble.errors import NoMatchError, did_you_mean

_HEAD_NAMES = ("classifier", "score", "head", "heads", "fc", "classification_head", "lin_head")
_ATTENTION = re.compile(r"attention|attn|mhsa|gpsa|^xca$", re.IGNORECASE)
_POOLING = re.compile(r"pool", re.IGNORECASE)
_NOT_PROJECTION = re.compile(
    r"(^|[._])(gate|router|pos(?!t)|rel|bias|norm|indexer|mlp|ffn|feed_?forward)", re.IGNORECASE
)
_WEIGHT_READ = re.compile(r"self\.(\w+)\.weight\b(?!\.(?:dtype|device|shape|size|is_))")
_MOST_PROJECTIONS = 8  # q, k, v, output, and the factored forms of them (low-rank queries, shared latents)


def get(model: nn.Module, path: str) -> nn.Module:
    """The submodule at a path. Raises NoMatchError with the nearest path."""
    try:
        return model.get_submodule(path)
    except AttributeError:
        raise nothing_matches(f"module {path!r}", path, (n for n, _ in model.named_modules() if n)) from None


def replace(model: nn.Module, path: str, new: nn.Module) -> None:
    """Put `new` where `path` points to."""
    parent, _, name = path.rpartition(".")
    setattr(model.get_submodule(parent), name, new)


@contextmanager
def unchanged_on_error(model: nn.Module) -> Iterator[None]:
    """Inside, modules may be replaced and parameters frozen; where that fails, the model is left as it was."""
    children = [(module, dict(module._modules)) for module in model.modules()]
    wanted = [(p, p.requires_grad) for p in model.parameters()]
    separate = [m for m in model.modules() if getattr(m, "qkv_bias_separate", None) is False]
    try:
        yield
    except BaseException:
        for module, own in children:
            module._modules.clear()
            module._modules.update(own)
        for parameter, trained in wanted:
            parameter.requires_grad_(trained)
        for module in separate:
            module.qkv_bias_separate = False  # type: ignore[assignment]
        raise


@functools.cache
def _read_in_place(kind: type) -> frozenset[str]:
    """Names of the layers whose weights the methods of a class use without calling the layer."""
    found: set[str] = set()
    for cls in kind.__mro__[:-1]:
        if cls.__module__.startswith("torch.nn.modules.module"):
            break
        for name, method in vars(cls).items():
            if not inspect.isfunction(method) or re.search("init|reset", name):
                continue
            try:
                found |= set(_WEIGHT_READ.findall(inspect.getsource(method)))
            except (OSError, TypeError):  # no source at hand
                continue
    return frozenset(found)


def is_read(model: nn.Module, path: str) -> bool:
    """Whether the layer above uses the weight of this one without calling it. An ensemble follows it (see
    `layers.read_weight`); PEFT does not, and would leave out its update without a word."""
    parent, _, name = path.rpartition(".")
    module = model.get_submodule(parent)
    return isinstance(module, nn.MultiheadAttention) or name in _read_in_place(type(module))  # type: ignore[arg-type]


def ensure_called(model: nn.Module, path: str) -> None:
    """Some attention layers of timm use the weight of their projection without calling it, unless they are told to add
    their bias separately."""
    parent: Any = model.get_submodule(path.rpartition(".")[0])
    if hasattr(parent, "qkv_bias_separate"):
        parent.qkv_bias_separate = True


def is_linear(module: nn.Module) -> bool:
    """torch's Linear and what behaves like it: transformers' Conv1D, bitsandbytes' quantised linears."""
    return isinstance(module, nn.Linear) or type(module).__name__ in ("Conv1D", "Linear4bit", "Linear8bitLt")


def in_out(linear: nn.Module) -> tuple[int, int]:
    """Width of the input and of the output of a linear layer."""
    if isinstance(linear, nn.Linear):
        return linear.in_features, linear.out_features
    assert isinstance(linear.weight, Tensor)
    rows, columns = linear.weight.shape  # transformers' Conv1D stores (in, out)
    return rows, columns


def linears(model: nn.Module) -> list[str]:
    """Paths of all linear layers."""
    return [name for name, module in model.named_modules() if is_linear(module)]


def attention_projections(model: nn.Module) -> list[str]:
    """Paths of the query, key, value and output projections (or the fused one) of every attention layer.

    They are the linear layers inside the modules whose class says attention: true of every architecture in transformers
    and timm. Raises NoMatchError where there is none.
    """
    found = [path for root in attention_modules(model) for path in _projections(model, root)]
    if not found:
        raise nothing_matches("attention projection", "", linears(model))
    return found


def attention_modules(model: nn.Module) -> list[str]:
    """Outermost modules that are one attention layer: by class name, with few linear layers inside. Pooling by
    attention belongs to a head."""
    found: list[str] = []
    pooling: list[str] = []
    for name, module in model.named_modules():
        kind = type(module).__name__
        inside = any(name.startswith(f"{outer}.") for outer in [*found, *pooling])
        if not name or inside or not _ATTENTION.search(kind):
            continue
        if _POOLING.search(kind):
            pooling.append(name)
        elif 0 < sum(is_linear(m) for m in module.modules()) <= _MOST_PROJECTIONS:
            found.append(name)
    return found


def _projections(model: nn.Module, attention: str) -> list[str]:
    module = model.get_submodule(attention)
    if type(module) is nn.MultiheadAttention:
        if not module._qkv_same_embed_dim:
            raise NoMatchError(f"{attention} is a torch.nn.MultiheadAttention of several widths: not supported yet")
        return [f"{attention}.in_proj", f"{attention}.out_proj"]  # once it is opened
    inside = [n for n, m in module.named_modules() if is_linear(m) and not _NOT_PROJECTION.search(n)]
    return [f"{attention}.{n}" if n else attention for n in inside]


def output_layer(model: nn.Module) -> nn.Module | None:
    """The layer of a language model that yields logits over its vocabulary; None for a model without one."""
    found = getattr(model, "get_output_embeddings", lambda: None)()
    return found if isinstance(found, nn.Module) else None


def find_heads(model: nn.Module) -> list[str]:
    """Paths of all heads whose outputs make the logits: two in distilled classifiers of timm."""
    head = getattr(model, "get_classifier", lambda: None)()
    if isinstance(head, tuple):
        return [name for name, module in model.named_modules() if any(module is part for part in head)]
    found = find_head(model)
    return [] if found is None else [found]


def find_head(model: nn.Module) -> str | None:
    """Path of the classification head, or None for a model without one (a language model, a bare backbone).

    Raises NoMatchError for a model with several heads whose outputs are averaged.
    """
    if output_layer(model) is not None:
        return None
    classifier = getattr(model, "get_classifier", None)  # timm
    if callable(classifier):
        head = classifier()
        paths = [name for name, m in model.named_modules() if m in (head if isinstance(head, tuple) else (head,))]
        if len(paths) > 1:
            raise NoMatchError(f"{type(model).__name__} has several heads; name them in modules_to_save: {paths}")
        if paths:
            return str(paths[0])
    for name in _HEAD_NAMES:
        module = getattr(model, name, None)
        if isinstance(module, nn.Module) and any(True for _ in module.parameters()):
            return name
    return _only_layer_of_width(model, getattr(getattr(model, "config", None), "num_labels", None))


def _only_layer_of_width(model: nn.Module, width: int | None) -> str | None:
    """The linear layer with as many outputs as there are classes, if there is just one."""
    found = [path for path in linears(model) if in_out(model.get_submodule(path))[1] == width]
    return found[0] if len(found) == 1 else None


def ending(model: nn.Module, name: str) -> list[str]:
    """The path that equals a name, else the paths that end with `.name`."""
    paths = [n for n, _ in model.named_modules()]
    return [name] if name in paths else [p for p in paths if p.endswith(f".{name}")]


def matching(model: nn.Module, names: Iterable[str], what: str) -> list[str]:
    """Paths of the modules with one of these names or endings. Raises NoMatchError where a name matches nothing."""
    found: dict[str, None] = {}
    for name in names:
        hits = ending(model, name)
        if not hits:
            raise nothing_matches(f"{what} {name!r}", name, (n for n, _ in model.named_modules() if n))
        found |= dict.fromkeys(hits)
    return list(found)


def blocks(model: nn.Module, containing: Iterable[str]) -> list[str]:
    """Paths of the repeated blocks (elements of a ModuleList or Sequential) that contain any of the given paths."""
    wanted = list(containing)
    found: list[str] = []
    for name, module in model.named_modules():
        if not isinstance(module, nn.ModuleList | nn.Sequential) or any(name.startswith(f"{f}.") for f in found):
            continue
        found += [
            f"{name}.{i}" if name else i
            for i, _ in module.named_children()
            if any(w.startswith(f"{name}.{i}." if name else f"{i}.") for w in wanted)
        ]
    return found


def nothing_matches(what: str, name: str, available: Iterable[str]) -> NoMatchError:
    """The error for what was not found: names the nearest, and what there is (layer numbers folded into `*`)."""
    folded = sorted({re.sub(r"\.\d+(?=\.|$)", ".*", path) for path in available})
    leaves = {path.rpartition(".")[2]: path for path in folded}
    hint = did_you_mean(name.rpartition(".")[2], leaves, cutoff=0.5)
    listed = ", ".join(folded[:12]) + (f" and {len(folded) - 12} more" if len(folded) > 12 else "")
    return NoMatchError(f"no {what} in this model.{hint} There is: {listed or 'nothing'}.")

"""Finding things in a model, and replacing them. Nothing here knows a method or a backbone."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from torch import nn

from lora_ensemble.errors import NoMatchError

_HEAD_NAMES = ("classifier", "score", "head", "heads", "fc", "classification_head", "lin_head")
_ATTENTION = re.compile(r"attention|attn", re.IGNORECASE)
_NOT_ATTENTION = re.compile(r"pool", re.IGNORECASE)
_NOT_PROJECTION = re.compile(r"(^|[._])(gate|router|pos|rel|bias|norm)", re.IGNORECASE)
_MOST_PROJECTIONS = 8  # q, k, v, output, and the factored forms of them (low-rank queries, shared latents)


def get(model: nn.Module, path: str) -> nn.Module:
    """The submodule at a path. Raises NoMatchError with the nearest path."""
    try:
        return model.get_submodule(path)
    except AttributeError:
        raise NoMatchError(
            _nothing(f"module {path!r}", path, (n for n, _ in model.named_modules() if n))
        ) from None


def replace(model: nn.Module, path: str, new: nn.Module) -> None:
    """Put `new` where `path` points to."""
    parent, _, name = path.rpartition(".")
    setattr(model.get_submodule(parent), name, new)


def is_linear(module: nn.Module) -> bool:
    """torch's Linear and what behaves like it: transformers' Conv1D, bitsandbytes' quantised linears."""
    return isinstance(module, nn.Linear) or type(module).__name__ in ("Conv1D", "Linear4bit", "Linear8bitLt")


def in_out(linear: nn.Module) -> tuple[int, int]:
    """Width of the input and of the output of a linear layer."""
    if isinstance(linear, nn.Linear):
        return linear.in_features, linear.out_features
    rows, columns = linear.weight.shape  # transformers' Conv1D stores (in, out)
    return int(rows), int(columns)


def linears(model: nn.Module) -> list[str]:
    """Paths of all linear layers."""
    return [name for name, module in model.named_modules() if is_linear(module)]


def attention_projections(model: nn.Module) -> list[str]:
    """Paths of the query, key, value and output projections (or the fused one) of every attention layer.

    They are the linear layers inside the modules whose class says attention: true of every architecture in transformers
    and timm. Raises NoMatchError where there is none.
    """
    found = [path for root in _attention_modules(model) for path in _projections(model, root)]
    if not found:
        raise NoMatchError(_nothing("attention projection", "", linears(model)))
    return found


def _attention_modules(model: nn.Module) -> list[str]:
    """Outermost modules that are one attention layer: by class name, with few linear layers inside."""
    found: list[str] = []
    for name, module in model.named_modules():
        kind = type(module).__name__
        if not name or not _ATTENTION.search(kind) or _NOT_ATTENTION.search(kind):
            continue
        if any(name.startswith(f"{outer}.") for outer in found):
            continue
        if 0 < sum(is_linear(m) for m in module.modules()) <= _MOST_PROJECTIONS:
            found.append(name)
    return found


def _projections(model: nn.Module, attention: str) -> list[str]:
    module = model.get_submodule(attention)
    if isinstance(module, nn.MultiheadAttention):
        raise NoMatchError(
            f"{attention} is a torch.nn.MultiheadAttention, whose projections are one parameter and no layers; "
            "use a transformers or timm model, or name other layers in target_modules"
        )
    inside = [n for n, m in module.named_modules() if is_linear(m) and not _NOT_PROJECTION.search(n)]
    return [f"{attention}.{n}" if n else attention for n in inside]


def find_head(model: nn.Module) -> str | None:
    """Path of the classification head, or None for a model without one (a language model)."""
    if hasattr(model, "get_output_embeddings") and model.get_output_embeddings() is not None:
        return None
    classifier = getattr(model, "get_classifier", None)
    if callable(classifier):
        head = classifier()
        for name, module in model.named_modules():
            if module is head:
                return name
    for name in _HEAD_NAMES:
        module = getattr(model, name, None)
        if isinstance(module, nn.Module) and any(True for _ in module.parameters()):
            return name
    return None


def matching(model: nn.Module, names: Iterable[str], what: str) -> list[str]:
    """Paths of modules that equal a name or end with `.name`. Raises NoMatchError for a name that matches nothing."""
    paths = [n for n, _ in model.named_modules() if n]
    found: list[str] = []
    for name in names:
        hits = [p for p in paths if p == name or p.endswith(f".{name}")]
        if not hits:
            raise NoMatchError(_nothing(f"{what} {name!r}", name, paths))
        found += [h for h in hits if h not in found]
    return found


def blocks(model: nn.Module, containing: Iterable[str]) -> list[str]:
    """Paths of the repeated blocks (elements of a ModuleList or Sequential) that contain any of the given paths."""
    wanted = list(containing)
    found: list[str] = []
    for name, module in model.named_modules():
        if not isinstance(module, nn.ModuleList | nn.Sequential) or any(
            name.startswith(f"{f}.") for f in found
        ):
            continue
        found += [
            f"{name}.{i}" if name else i
            for i, _ in module.named_children()
            if any(w.startswith(f"{name}.{i}." if name else f"{i}.") for w in wanted)
        ]
    return found


def nothing_matches(what: str, name: str, available: Iterable[str]) -> NoMatchError:
    """The error for a pattern that matches nothing: says what there is."""
    return NoMatchError(_nothing(what, name, available))


def _nothing(what: str, name: str, available: Iterable[str]) -> str:
    """One line: what was not found, the nearest, and what there is (with layer numbers folded into `*`)."""
    folded = sorted({re.sub(r"\.\d+(?=\.|$)", ".*", path) for path in available})
    leaves = {path.rpartition(".")[2]: path for path in folded}
    near = difflib.get_close_matches(name.rpartition(".")[2], leaves, n=1, cutoff=0.5) if name else []
    hint = f" Did you mean {near[0]!r}?" if near else ""
    listed = ", ".join(folded[:12]) + (f" and {len(folded) - 12} more" if len(folded) > 12 else "")
    return f"no {what} in this model.{hint} There is: {listed or 'nothing'}."

"""Predictions side by side, members or rows: what must agree, and which row is which."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from lora_ensemble.errors import DataError
from lora_ensemble.predictions.accept import ids_of

if TYPE_CHECKING:
    from lora_ensemble.predictions.predictions import Predictions


class Contents(NamedTuple):
    """The fields of predictions, in their order."""

    logits_MBC: Tensor
    labels_B: Tensor | None
    ids: Sequence[str] | None
    meta: Mapping[str, Any]
    features_MBD: Tensor | None


def members_of(parts: Sequence[Predictions]) -> Contents:
    """The members of all parts in their order, on the samples of part 0."""
    first = _first(parts)
    aligned = [_aligned(part, first, k) for k, part in enumerate(parts)]
    labels_B = next((part.labels_B for part in aligned if part.labels_B is not None), None)
    for k, part in enumerate(aligned):
        _check_same_labels(part, labels_B, k)
    logits_MBC = torch.cat([part.logits_MBC for part in aligned])
    return Contents(logits_MBC, labels_B, first.ids, _agreed(aligned), _features(aligned, 0))


def rows_of(parts: Sequence[Predictions]) -> Contents:
    """The samples of all parts in their order; member m of the result is member m of each part."""
    first = _first(parts)
    for k, part in enumerate(parts):
        _check_same_classes(part, first, k)
        if part.num_members != first.num_members:
            raise DataError(f"part {k} has {part.num_members} members, part 0 has {first.num_members}")
    having: tuple[tuple[str, Callable[[Predictions], Any]], ...] = (
        ("ids", lambda part: part.ids),
        ("labels", lambda part: part.labels_B),
    )
    for what, value_of in having:
        without = [k for k, part in enumerate(parts) if value_of(part) is None]
        if 0 < len(without) < len(parts):
            raise DataError(f"part {without[0]} has no {what}, but others have")
    ids = [name for part in parts for name in part.ids or ()]
    labels = [part.labels_B for part in parts if part.labels_B is not None]
    logits_MBC = torch.cat([part.logits_MBC for part in parts], dim=1)
    return Contents(
        logits_MBC,
        torch.cat(labels) if labels else None,
        ids_of(ids, logits_MBC.shape[1]) if ids else None,
        _agreed(parts),
        _features(parts, 1),
    )


def _first(parts: Sequence[Predictions]) -> Predictions:
    if not parts:
        raise DataError("there are no predictions to concatenate")
    return parts[0]


def _features(parts: Sequence[Predictions], axis: int) -> Tensor | None:
    """Hidden features side by side, where every part has as many of them."""
    features = [part.features_MBD for part in parts if part.features_MBD is not None]
    if len(features) < len(parts) or len({part.shape[2] for part in features}) > 1:
        return None
    return torch.cat(features, axis)


def _aligned(part: Predictions, first: Predictions, k: int) -> Predictions:
    """`part` (number k) with its rows in the order of `first`."""
    _check_same_classes(part, first, k)
    if part.ids is None and first.ids is None:
        if len(part) != len(first):
            raise DataError(f"part {k} has {len(part)} rows, part 0 has {len(first)}")
        return part
    if part.ids is None or first.ids is None:
        without = k if part.ids is None else 0
        raise DataError(f"part {without} has no ids, but part {k - without} has: rows cannot be matched")
    if part.ids == first.ids:
        return part
    where = {name: b for b, name in enumerate(part.ids)}
    for name in first.ids:
        if name not in where:
            raise DataError(f"id {name!r} of part 0 is not in part {k}")
    if len(part) > len(first):
        foreign = next(name for name in part.ids if name not in set(first.ids))
        raise DataError(f"id {foreign!r} of part {k} is not in part 0")
    return part.rows([where[name] for name in first.ids])


def _check_same_classes(part: Predictions, first: Predictions, k: int) -> None:
    if part.num_classes != first.num_classes:
        raise DataError(f"part {k} has {part.num_classes} classes, part 0 has {first.num_classes}")
    for a, b in zip(first.meta.get("classes") or (), part.meta.get("classes") or (), strict=False):
        if a != b:
            raise DataError(f"part {k} has class {b!r} where part 0 has {a!r}")


def _check_same_labels(part: Predictions, labels_B: Tensor | None, k: int) -> None:
    if part.labels_B is None or labels_B is None or torch.equal(part.labels_B, labels_B):
        return
    b = int((part.labels_B != labels_B).nonzero()[0])
    name = f"row {b}" if part.ids is None else f"id {part.ids[b]!r}"
    raise DataError(f"part {k} has label {part.labels_B[b]} for {name}, an earlier one has {labels_B[b]}")


def _agreed(parts: Sequence[Predictions]) -> dict[str, Any]:
    """Of `meta`, what all parts agree on."""
    return {key: v for key, v in parts[0].meta.items() if all(part.meta.get(key) == v for part in parts)}

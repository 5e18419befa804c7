"""uncertainty: how uncertain each sample is, by any of the plug-ins in `uncertainties/`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from lora_ensemble import registry
from lora_ensemble.analysis.tensors import LARGE, NEEDS, TENSORS, wanted
from lora_ensemble.errors import DataError, UnknownNameError
from lora_ensemble.predictions import Pooling, Predictions

ALIASES = {"total": "entropy", "aleatoric": "expected_entropy", "epistemic": "mutual_information"}
"""Names of the scores whose means they are, taken as well."""

_AT_A_TIME = 2**20
"""Logits of all members that are worked on at a time."""


def uncertainty(
    p: Predictions,
    by: str,
    *,
    reference: Predictions | None = None,
    pooling: Pooling = "mean-of-probabilities",
) -> Tensor:
    """(B,) float64, the higher, the less certain; units are the plug-in's.

    by: a name of `lora-ensemble list uncertainties`, or `total`, `aleatoric`, `epistemic`. reference: labelled
    predictions of the same members with features, of training or validation samples, for what compares with them
    (`mahalanobis`, `knn`, `vim`). Raises UnknownNameError for another name; DataError for one that these predictions
    do not have: the logits of what was made from probabilities, features that were not kept.
    """
    name = named(by)
    if problem := missing(p, name, reference):
        raise DataError(f"uncertainty {name!r} needs {problem}")
    return uncertainties(p, [name], reference=reference, pooling=pooling)[name]


def uncertainties(
    p: Predictions,
    names: Collection[str],
    *,
    reference: Predictions | None = None,
    pooling: Pooling = "mean-of-probabilities",
    known: Mapping[str, Tensor] | None = None,
) -> dict[str, Tensor]:
    """Several at once, by name: what they share is computed once, some of the rows at a time. What only several members
    have is 0 for one. known: tensors of all rows that are there already."""
    values: dict[str, Tensor] = {name: torch.zeros(len(p), dtype=torch.float64) for name in names}
    functions = {name: plugin(name).uncertainty for name in names if p.num_members > 1 or not needs_several(name)}
    fitted = {name: _fitted(name, p, reference, pooling) for name in functions if hasattr(plugin(name), "fit")}
    asked = {tensor for function in functions.values() for tensor in wanted(function)} - {"fitted"}
    whole = {name: TENSORS[name](p, pooling) for name in asked - LARGE - (known or {}).keys()} | dict(known or {})
    step = max(1, _AT_A_TIME // (p.num_members * p.num_classes)) if asked & LARGE else len(p)
    for start in range(0, len(p), step):
        rows = slice(start, start + step)
        part = p.rows(rows) if asked & LARGE else p
        here = {name: whole[name][:, rows] if "_MB" in name else whole[name][rows] for name in asked - LARGE}
        here |= {name: TENSORS[name](part, pooling) for name in asked & LARGE}
        for name, function in functions.items():
            given = {tensor: fitted[name] if tensor == "fitted" else here[tensor] for tensor in wanted(function)}
            values[name][rows] = function(**given)
    return values


def missing(p: Predictions, name: str, reference: Predictions | None = None) -> str | None:
    """What an uncertainty needs that these predictions do not have, in words; None for nothing."""
    module = plugin(name)
    asked = wanted(module.uncertainty) | (wanted(module.fit) if hasattr(module, "fit") else frozenset())
    needs = {NEEDS.get(tensor) for tensor in asked}
    if "logits_MBC" in needs and p.from_probabilities:
        return "logits, and these predictions were made from probabilities"
    if "features_MBD" in asked and p.features_MBD is None:
        return "hidden features, and these predictions have none (Predictions.features_MBD)"
    if hasattr(module, "fit"):
        return _missing_reference(p, wanted(module.fit), reference)
    return None


def _missing_reference(p: Predictions, asked: Collection[str], reference: Predictions | None) -> str | None:
    if reference is None:
        return "a reference: predictions of the same members on training or validation samples"
    if "labels_B" in asked and reference.labels_B is None:
        return "a reference with labels"
    if "features_MBD" in asked:
        expected = None if p.features_MBD is None else (p.num_members, p.features_MBD.shape[2])
        found = None if reference.features_MBD is None else (reference.num_members, reference.features_MBD.shape[2])
        if found != expected:
            return f"a reference with as many members and features {expected}, there are {found or 'none'}"
    return None


def needs_several(name: str) -> bool:
    """Whether one member has none of an uncertainty."""
    return getattr(plugin(name), "MEMBERS", 1) > 1


def names() -> dict[str, str]:
    """Every uncertainty as it is typed, with the name by which the registry knows it."""
    return {name.replace("-", "_"): name for name in registry.names("uncertainties")}


def named(by: str) -> str:
    """The uncertainty that a user means. Raises UnknownNameError with the nearest name."""
    name = ALIASES.get(by, by.replace("-", "_"))
    if name not in names():
        raise UnknownNameError("uncertainty", by, [*names(), *ALIASES])
    return name


def plugin(name: str) -> ModuleType:
    """Its module."""
    return registry.module("uncertainties", names()[name])


def _fitted(name: str, p: Predictions, reference: Predictions | None, pooling: Pooling) -> Any:
    assert reference is not None, f"{name} without a reference"
    fit = plugin(name).fit
    return fit(**{tensor: TENSORS[tensor](reference, pooling) for tensor in wanted(fit)})

"""uncertainty: how uncertain each sample is, by any of the plug-ins in `uncertainties/`."""

from __future__ import annotations

from collections.abc import Collection
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from lora_ensemble import registry
from lora_ensemble.analysis.tensors import TENSORS, wanted
from lora_ensemble.errors import DataError, UnknownNameError
from lora_ensemble.predictions import Pooling, Predictions

ALIASES = {"total": "entropy", "aleatoric": "expected_entropy", "epistemic": "mutual_information"}
"""Names of the scores whose means they are, taken as well."""

_AT_A_TIME = 2**20
"""Logits of all members that are worked on at a time."""


_POOLED = {"probs_BC", "total_B", "aleatoric_B", "epistemic_B"}


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
) -> dict[str, Tensor]:
    """Several at once, by name: what they share is computed once, some of the rows at a time."""
    fitted = {name: _fitted(name, p, reference, pooling) for name in names if hasattr(plugin(name), "fit")}
    values: dict[str, Tensor] = {name: torch.empty(len(p), dtype=torch.float64) for name in names}
    if any(wanted(plugin(name).uncertainty) & _POOLED for name in names):
        p.pooled_probs()  # of all rows: kept, and taken apart below
    step = max(1, _AT_A_TIME // (p.num_members * p.num_classes))
    for start in range(0, len(p), step):
        rows = slice(start, start + step)
        part = p.rows(rows)
        known: dict[str, Any] = {}
        for name in names:
            function = plugin(name).uncertainty
            for tensor in wanted(function) - known.keys() - {"fitted"}:
                known[tensor] = TENSORS[tensor](part, pooling)
            given = {tensor: fitted[name] if tensor == "fitted" else known[tensor] for tensor in wanted(function)}
            values[name][rows] = function(**given)
    return values


def missing(p: Predictions, name: str, reference: Predictions | None = None) -> str | None:
    """What an uncertainty needs that these predictions do not have, in words; None for nothing."""
    module = plugin(name)
    asked = wanted(module.uncertainty) | (wanted(module.fit) if hasattr(module, "fit") else frozenset())
    if "logits_MBC" in asked and p.from_probabilities:
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

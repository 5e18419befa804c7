"""The seam: logits of every member on every sample, kept before anything is computed from them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from lora_ensemble.disk.files import atomic_write
from lora_ensemble.errors import DataError, FileFormatError, UnknownNameError
from lora_ensemble.predictions.accept import Index, check_finite, ids_of, labels_of, logits_of, positions_of

FORMAT = "lora-ensemble-predictions"
VERSION = "1"

Pooling = Literal["mean-of-probabilities", "softmax-of-mean-logits"]
"""Ways to make one distribution out of M."""


@dataclass(frozen=True, eq=False, repr=False)
class Predictions:
    """Logits of M members on the same B samples. Treated as immutable; `len(p)` is B.

    Raises DataError for anything but finite logits of shape (M, B, C) with C >= 2, labels outside 0 .. C - 1,
    ids that are not unique, and lengths that differ.
    """

    logits_MBC: Tensor
    """(M, B, C) float32 on the CPU; numpy arrays and other number types are converted."""
    labels_B: Tensor | None = None
    """(B,) int64 class indices, or None where they are unknown or have no meaning (an OOD set)."""
    ids: Sequence[str] | None = None
    """(B,) unique names of the samples; by them predictions of different runs are matched."""
    meta: Mapping[str, Any] = field(default_factory=dict)
    """What to keep with the predictions (JSON). `classes`, where given, are the names of the C classes."""

    def __post_init__(self) -> None:
        logits_MBC = logits_of(self.logits_MBC)
        _, rows, num_classes = logits_MBC.shape
        ids = None if self.ids is None else ids_of(self.ids, rows)
        check_finite(logits_MBC, ids)
        labels_B = None if self.labels_B is None else labels_of(self.labels_B, rows, num_classes)
        if not isinstance(self.meta, Mapping):
            raise DataError(f"meta is a {type(self.meta).__name__}, expected a mapping")
        classes = self.meta.get("classes")
        if classes is not None and len(classes) != num_classes:
            raise DataError(f"meta names {len(classes)} classes, but the logits have {num_classes}")
        for name, value in (("logits_MBC", logits_MBC), ("labels_B", labels_B), ("ids", ids)):
            object.__setattr__(self, name, value)
        object.__setattr__(self, "meta", dict(self.meta))

    def __len__(self) -> int:
        return self.logits_MBC.shape[1]

    def __repr__(self) -> str:
        labels = "without labels" if self.labels_B is None else "with labels"
        return f"Predictions({self.num_members} members, {len(self)} rows, {self.num_classes} classes, {labels})"

    @property
    def num_members(self) -> int:
        """M."""
        return self.logits_MBC.shape[0]

    @property
    def num_classes(self) -> int:
        """C."""
        return self.logits_MBC.shape[2]

    # Probabilities and uncertainties ------------------------------------------------------------------------

    @cached_property
    def probs_MBC(self) -> Tensor:
        """(M, B, C) probabilities of each member, float32."""
        return torch.softmax(self.logits_MBC, -1)

    @cached_property
    def mean_probs_BC(self) -> Tensor:
        """(B, C) mean of the members' probabilities, float32: the ensemble's prediction."""
        return self.pooled_probs().float()

    def pooled_probs(self, pooling: Pooling = "mean-of-probabilities") -> Tensor:
        """(B, C) one distribution for the ensemble, float64: 1 - p of a confident class is not rounded to 0.

        Raises UnknownNameError for another pooling than those of `Pooling`.
        """
        if pooling not in get_args(Pooling):
            raise UnknownNameError("pooling", pooling, get_args(Pooling))
        if pooling == "mean-of-probabilities":
            return self._moments[0]
        return torch.softmax(self.logits_MBC.mean(0, dtype=torch.float64), -1)

    @cached_property
    def total_B(self) -> Tensor:
        """(B,) total uncertainty in nats, 0 .. ln C: entropy of the mean of the members' probabilities."""
        return -self._moments[1].sum(-1).float()

    @cached_property
    def aleatoric_B(self) -> Tensor:
        """(B,) aleatoric uncertainty in nats, 0 .. ln C: mean of the members' entropies."""
        return -self._moments[2].sum(-1).float()

    @cached_property
    def epistemic_B(self) -> Tensor:
        """(B,) epistemic uncertainty in nats, 0 .. ln M: mutual information of label and member.

        Equals total - aleatoric. High where members disagree; exactly 0 with one member. Houlsby et al. 2011,
        equation 2, with the members as draws of the parameters.
        """
        _, of_mean_BC, mean_of_BC = self._moments
        # Each class contributes at least 0 (Jensen); rounding may leave a sum of -1e-17.
        return (mean_of_BC - of_mean_BC).sum(-1).clamp(min=0).float()

    @cached_property
    def _moments(self) -> tuple[Tensor, Tensor, Tensor]:
        """Mean over members of p, p log p of that mean, and mean over members of p log p; each (B, C) float64."""
        mean_BC = torch.zeros(self.logits_MBC.shape[1:], dtype=torch.float64)
        plogp_BC = torch.zeros_like(mean_BC)
        # One member at a time, which bounds the memory.
        for probs_BC, terms_BC in vars(self).get("_terms_M") or map(_terms, self.logits_MBC):
            mean_BC += probs_BC
            plogp_BC += terms_BC
        mean_BC /= self.num_members
        return mean_BC, torch.special.xlogy(mean_BC, mean_BC), plogp_BC / self.num_members

    @cached_property
    def _terms_M(self) -> list[tuple[Tensor, Tensor]]:
        return [_terms(logits_BC) for logits_BC in self.logits_MBC]

    # Selecting and joining ----------------------------------------------------------------------------------

    def members(self, index: Index) -> Predictions:
        """The same samples with some of the members. Raises DataError for a position that does not exist."""
        chosen = positions_of(index, self.num_members, "member")
        part = Predictions(self.logits_MBC[chosen], self.labels_B, self.ids, self.meta)
        if "_terms_M" in vars(self):
            vars(part)["_terms_M"] = [self._terms_M[m] for m in chosen.tolist()]
        return part

    def for_subsets(self) -> Predictions:
        """The same predictions, for many calls of `members`: each member's probabilities are computed once for all of
        them, and kept (16 bytes a logit)."""
        same = Predictions(self.logits_MBC, self.labels_B, self.ids, self.meta)
        same._terms_M  # noqa: B018
        return same

    def rows(self, index: Index) -> Predictions:
        """The same members on some of the samples. Raises DataError for a position that does not exist."""
        chosen = positions_of(index, len(self), "row")
        labels_B = None if self.labels_B is None else self.labels_B[chosen]
        ids = None if self.ids is None else [self.ids[b] for b in chosen.tolist()]
        return Predictions(self.logits_MBC[:, chosen], labels_B, ids, self.meta)

    @staticmethod
    def concat(parts: Sequence[Predictions]) -> Predictions:
        """One ensemble of the members of all parts, in their order: several runs, snapshots, other models.

        Rows are matched by id (in the order of part 0), or by position where no part has ids. Of `meta`, what
        all parts agree on is kept. Raises DataError for no parts; for samples, labels or classes that differ.
        """
        if not parts:
            raise DataError("there are no predictions to concatenate")
        first = parts[0]
        aligned = [_aligned(part, first, k) for k, part in enumerate(parts)]
        labels_B = next((part.labels_B for part in aligned if part.labels_B is not None), None)
        for k, part in enumerate(aligned):
            _check_same_labels(part, labels_B, k)
        return Predictions(torch.cat([part.logits_MBC for part in aligned]), labels_B, first.ids, _agreed(aligned))

    @staticmethod
    def concat_rows(parts: Sequence[Predictions]) -> Predictions:
        """One set of the samples of all parts, in their order: the test folds of a cross-validation.

        Member m of the result is member m of each part. Of `meta`, what all parts agree on is kept. Raises DataError
        for no parts; for members or classes that differ; for ids or labels that only some parts have; for an id that
        several parts have.
        """
        if not parts:
            raise DataError("there are no predictions to concatenate")
        first = parts[0]
        for k, part in enumerate(parts):
            _check_same_classes(part, first, k)
            if part.num_members != first.num_members:
                raise DataError(f"part {k} has {part.num_members} members, part 0 has {first.num_members}")
        for what, values in (("ids", [part.ids for part in parts]), ("labels", [part.labels_B for part in parts])):
            without = [k for k, value in enumerate(values) if value is None]
            if 0 < len(without) < len(parts):
                raise DataError(f"part {without[0]} has no {what}, but others have")
        ids = [name for part in parts for name in part.ids or ()]
        labels = [part.labels_B for part in parts if part.labels_B is not None]
        logits_MBC = torch.cat([part.logits_MBC for part in parts], dim=1)
        return Predictions(logits_MBC, torch.cat(labels) if labels else None, ids or None, _agreed(parts))

    # On disk ------------------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> None:
        """Write one safetensors file, atomically: tensors `logits_MBC` and `labels_B`; ids and meta as JSON.

        Raises DataError for a `meta` that is not JSON, UserError for a file that cannot be written.
        """
        from safetensors.torch import save_file

        try:
            described = {"ids": json.dumps(self.ids), "meta": json.dumps(self.meta)}
        except TypeError as error:
            raise DataError(f"meta cannot be saved as JSON: {error}") from error
        tensors = {"logits_MBC": self.logits_MBC.contiguous()}
        if self.labels_B is not None:
            tensors["labels_B"] = self.labels_B.contiguous()
        metadata = {"format": FORMAT, "version": VERSION, **described}
        atomic_write(path, lambda temporary: save_file(tensors, temporary, metadata))

    @staticmethod
    def load(path: str | Path) -> Predictions:
        """Read what `save` wrote.

        Raises DataError for a missing file, FileFormatError for one truncated, foreign or of another version.
        """
        from safetensors import SafetensorError, safe_open

        if not Path(path).is_file():
            raise DataError(f"there is no predictions file {path}")
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                _check_format(path, metadata)
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            ids, meta = json.loads(metadata["ids"]), json.loads(metadata["meta"])
            return Predictions(tensors["logits_MBC"], tensors.get("labels_B"), ids, meta)
        except FileFormatError:
            raise
        except SafetensorError as error:
            raise FileFormatError(f"{path} is truncated or not a safetensors file: {error}") from error
        except KeyError as error:
            raise FileFormatError(f"{path} is not a complete predictions file: {error} is missing") from error
        except (TypeError, ValueError) as error:  # broken JSON, or contents that Predictions refuses
            raise FileFormatError(f"{path} holds no usable predictions: {error}") from error


def _terms(logits_BC: Tensor) -> tuple[Tensor, Tensor]:
    """p and p log p, float64."""
    probs_BC = torch.softmax(logits_BC.double(), -1)
    return probs_BC, torch.special.xlogy(probs_BC, probs_BC)


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


def _agreed(parts: Sequence[Predictions]) -> dict[str, Any]:
    """Of `meta`, what all parts agree on."""
    return {key: v for key, v in parts[0].meta.items() if all(part.meta.get(key) == v for part in parts)}


def _check_same_labels(part: Predictions, labels_B: Tensor | None, k: int) -> None:
    if part.labels_B is None or labels_B is None or torch.equal(part.labels_B, labels_B):
        return
    b = int((part.labels_B != labels_B).nonzero()[0])
    name = f"row {b}" if part.ids is None else f"id {part.ids[b]!r}"
    raise DataError(f"part {k} has label {part.labels_B[b]} for {name}, an earlier one has {labels_B[b]}")


def _check_format(path: str | Path, metadata: Mapping[str, str]) -> None:
    if metadata.get("format") != FORMAT:
        raise FileFormatError(f"{path} is a safetensors file, but not one of predictions ({FORMAT})")
    if metadata.get("version") != VERSION:
        raise FileFormatError(f"{path} has version {metadata.get('version')}, this library reads {VERSION}")

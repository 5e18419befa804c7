"""The seam: logits of every member on every sample, kept before anything is computed from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from torch import Tensor

from lora_ensemble.errors import DataError, FileFormatError, UnknownNameError
from lora_ensemble.predictions import join, notebook, save, table
from lora_ensemble.predictions.accept import checked, ids_of
from lora_ensemble.predictions.choose import Index, positions_of, selected
from lora_ensemble.predictions.foreign import reading
from lora_ensemble.predictions.probabilities import check_not_probabilities, log_probs_of
from lora_ensemble.predictions.uncertainties import Moments, Terms, moments_of, terms_of

if TYPE_CHECKING:
    import pandas as pd

Pooling = Literal["mean-of-probabilities", "softmax-of-mean-logits"]
"""Ways to make one distribution out of M."""


@dataclass(frozen=True, eq=False, repr=False)
class Predictions:
    """Logits of M members on the same B samples. Treated as immutable; `len(p)` is B.

    Raises DataError for anything but finite logits of shape (M, B, C) with C >= 2, (B, C) being one member; for
    probabilities (`from_probs` takes them); labels outside 0 .. C - 1, ids that are not unique, lengths that differ.
    """

    logits_MBC: Tensor
    """(M, B, C) float32 on the CPU; numpy arrays and other number types are converted."""
    labels_B: Tensor | None = None
    """(B,) int64 class indices, or None where they are unknown or have no meaning (an OOD set)."""
    ids: Sequence[str] | None = None
    """(B,) unique names of the samples; by them predictions of different runs are matched."""
    meta: Mapping[str, Any] = field(default_factory=dict)
    """What to keep with the predictions (JSON). `classes`, where given, are the names of the C classes."""
    features_MBD: Tensor | None = None
    """(M, B, D) float32, what each member's head was given for each sample, where it was kept: for uncertainties that
    compare features (`mahalanobis`, `knn`, `vim`)."""

    def __post_init__(self) -> None:
        self._set(*checked(*self._contents))
        check_not_probabilities(self.logits_MBC)

    def _set(self, *contents: Any) -> None:
        for name, value in zip(join.Contents._fields, contents, strict=True):
            object.__setattr__(self, name, value)

    @property
    def _contents(self) -> join.Contents:
        return join.Contents(self.logits_MBC, self.labels_B, self.ids, self.meta, self.features_MBD)

    @staticmethod
    def _of(*contents: Any) -> Predictions:
        """From contents that are known to be right."""
        made = object.__new__(Predictions)
        made._set(*contents)
        return made

    def __len__(self) -> int:
        return self.logits_MBC.shape[1]

    def __repr__(self) -> str:
        labels = "without labels" if self.labels_B is None else "with labels"
        return f"Predictions({self.num_members} members, {len(self)} rows, {self.num_classes} classes, {labels})"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return notebook.html_of(self)

    @property
    def num_members(self) -> int:
        """M."""
        return self.logits_MBC.shape[0]

    @property
    def num_classes(self) -> int:
        """C."""
        return self.logits_MBC.shape[2]

    # Probabilities and uncertainties ------------------------------------------------------------------------

    @staticmethod
    def from_probs(
        probs_MBC: Any,
        labels_B: Any = None,
        ids: Sequence[str] | None = None,
        meta: Mapping[str, Any] | None = None,
        features_MBD: Any = None,
    ) -> Predictions:
        """Of probabilities (M, B, C), or (B, C) of one member. The logits are their logarithms, which `meta` says.

        A probability of exactly 0 stays 0. What only logits tell (`energy`, `max_logit`) is refused later. Raises
        DataError that names the first row with a negative probability or another sum than 1.
        """
        logits_MBC = log_probs_of(probs_MBC)
        kept = {**(meta or {}), "logits": "log-probabilities"}
        return Predictions._of(*checked(logits_MBC, labels_B, ids, kept, features_MBD))

    @property
    def from_probabilities(self) -> bool:
        """Whether the logits are logarithms of probabilities, so that their level says nothing."""
        return self.meta.get("logits") == "log-probabilities"

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
            return self.moments.mean_BC
        return torch.softmax(self.logits_MBC.mean(0, dtype=torch.float64), -1)

    @property
    def total_B(self) -> Tensor:
        """(B,) total uncertainty in nats, 0 .. ln C: entropy of the mean of the members' probabilities."""
        return self.moments.total_B

    @property
    def aleatoric_B(self) -> Tensor:
        """(B,) aleatoric uncertainty in nats, 0 .. ln C: mean of the members' entropies."""
        return self.moments.aleatoric_B

    @property
    def epistemic_B(self) -> Tensor:
        """(B,) epistemic uncertainty in nats, 0 .. ln M: mutual information of label and member.

        Equals total - aleatoric. High where members disagree; exactly 0 with one member. Houlsby et al. 2011,
        equation 2, with the members as draws of the parameters.
        """
        return self.moments.epistemic_B

    @cached_property
    def moments(self) -> Moments:
        """What the members' probabilities say, each member's and all together; computed once."""
        return moments_of(self.logits_MBC, vars(self).get("_terms_M"))

    @cached_property
    def _terms_M(self) -> list[Terms]:
        return [terms_of(logits_BC) for logits_BC in self.logits_MBC]

    def calibrated(self, calibration: Callable[[Predictions], Predictions]) -> Predictions:
        """What a calibration (of `calibrate`, or a run's `calibrated`) makes of these predictions."""
        return calibration(self)

    # Selecting and joining ----------------------------------------------------------------------------------

    def members(self, index: Index) -> Predictions:
        """The same samples with some of the members. Raises DataError for a position that does not exist."""
        chosen = positions_of(index, self.num_members, "member")
        logits_MBC, features_MBD = selected(self.logits_MBC, chosen, 0), selected(self.features_MBD, chosen, 0)
        part = Predictions._of(logits_MBC, self.labels_B, self.ids, self.meta, features_MBD)
        if "_terms_M" in vars(self):
            vars(part)["_terms_M"] = [self._terms_M[m] for m in chosen.tolist()]
        return part

    def for_subsets(self) -> Predictions:
        """The same predictions, for many calls of `members`: each member's probabilities are computed once for all of
        them, and kept (8 bytes a logit)."""
        same = Predictions._of(*self._contents)
        same._terms_M  # noqa: B018
        return same

    def rows(self, index: Index) -> Predictions:
        """The same members on some of the samples. Raises DataError for a position that does not exist, or one twice
        where samples have ids."""
        chosen = positions_of(index, len(self), "row")
        ids = None if self.ids is None else ids_of([self.ids[b] for b in chosen.tolist()], len(chosen))
        tensors = (self.logits_MBC, 1), (self.labels_B, 0), (self.features_MBD, 1)
        logits_MBC, labels_B, features_MBD = (selected(tensor, chosen, axis) for tensor, axis in tensors)
        part = Predictions._of(logits_MBC, labels_B, ids, self.meta, features_MBD)
        if "moments" in vars(self):
            vars(part)["moments"] = self.moments.rows(chosen)
        return part

    @staticmethod
    def concat(parts: Sequence[Predictions]) -> Predictions:
        """One ensemble of the members of all parts, in their order: several runs, snapshots, other models.

        Rows are matched by id (in the order of part 0), or by position where no part has ids. Of `meta`, what
        all parts agree on is kept. Raises DataError for no parts; for samples, labels or classes that differ.
        """
        return Predictions._of(*join.members_of(parts))

    @staticmethod
    def concat_rows(parts: Sequence[Predictions]) -> Predictions:
        """One set of the samples of all parts, in their order: the test folds of a cross-validation.

        Member m of the result is member m of each part. Of `meta`, what all parts agree on is kept. Raises DataError
        for no parts; for members or classes that differ; for ids or labels that only some parts have; for an id that
        several parts have.
        """
        return Predictions._of(*join.rows_of(parts))

    # As a table ---------------------------------------------------------------------------------------------

    def to_pandas(
        self,
        *,
        probabilities: bool = False,
        members: bool = False,
        sets_BC: Tensor | None = None,
        abstain_B: Tensor | None = None,
    ) -> pd.DataFrame:
        """An answer per row: id, prediction, probability, total, aleatoric, epistemic (nats), agreement (share of
        members whose most probable class is the prediction), then, where asked for or given, `abstain`, `set` (list of
        classes), `members` (list of each one's prediction), `p_<class>`, and `label` where it is known.

        sets_BC: (B, C) bool, classes of a prediction set. abstain_B: (B,) bool. Raises DataError for other shapes.
        """
        return table.frame_of(self, probabilities, members, sets_BC, abstain_B)

    def to_csv(self, path: str | Path, **options: Any) -> None:
        """Write `to_pandas(**options)` as CSV, atomically; lists as JSON."""
        table.write_csv(self.to_pandas(**options), path)

    @staticmethod
    def from_pandas(frame: pd.DataFrame) -> Predictions:
        """Of a table with columns `p_<class>` (probabilities) or `logit_<class>`, and `id` and `label` where there are
        any. With a column `member`, a row per member and sample; else one member. The columns name the classes.

        Raises DataError for a table without such columns, a label that is none of the classes, members on different
        samples.
        """
        columns = table.columns_of(frame)
        make: Callable[..., Predictions] = Predictions.from_probs if columns.are_probabilities else Predictions
        return make(columns.values_MBC, columns.labels_B, columns.ids, columns.meta)

    @staticmethod
    def from_file(
        path: str | Path,
        labels: reading.Labels = None,
        *,
        probabilities: bool = False,
        members: int | None = None,
        columns: Sequence[str] = (),
    ) -> Predictions:
        """Logits that another program wrote: .safetensors, .npy, .npz, .parquet, .csv, .tsv, or samples of
        lm-evaluation-harness (.jsonl). What `save` wrote is read, too. Objects that are pickled in a file are not.

        labels: a file, the name of an array or column, or labels themselves; None: those in the file, False: none.
        probabilities: the values are probabilities. members: M of rows (M * B, C), those of member 0 first. columns: of
        the values, where their names do not tell; of a file of arrays the name of one. Two axes are one member's.
        Raises DataError or FileFormatError, which name the file and list what it holds.
        """
        found = reading.read(Path(path), labels, probabilities, members, columns)
        rest = found.labels_B, found.ids, found.meta, found.features
        make: Callable[..., Predictions] = Predictions.from_probs if found.are_probabilities else Predictions
        try:
            return make(found.values_MBC, *rest)
        except DataError as error:
            raise DataError(f"{path}: {error}") from None

    # On disk ------------------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> None:
        """Write one safetensors file, atomically: tensors `logits_MBC`, `labels_B`, `features_MBD`; ids and meta as
        JSON.

        Raises DataError for a `meta` that is not JSON, UserError for a file that cannot be written.
        """
        save.write(self, path)

    @staticmethod
    def load(path: str | Path) -> Predictions:
        """Read what `save` wrote.

        Raises DataError for a missing file, FileFormatError for one truncated, foreign or of another version.
        """
        tensors, ids, meta = save.read(path)
        rest = tensors.get("labels_B"), ids, meta, tensors.get("features_MBD")
        try:
            return Predictions._of(*checked(tensors["logits_MBC"], *rest))
        except (TypeError, ValueError) as error:
            raise FileFormatError(f"{path} holds no usable predictions: {error}") from error

"""Calibrated rows of a cross-validation: each goes through the calibration of the run that predicted it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self

from lora_ensemble.contracts import Calibration
from lora_ensemble.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

    from lora_ensemble.predictions import Predictions


@dataclass(frozen=True)
class FoldCalibration(Calibration):
    """The calibrations of all folds, in the place of one; `source` has the rows of the smallest validation split."""

    of_fold: Mapping[int, Calibration] = field(default_factory=dict)
    fold_of: Mapping[str, int] = field(default_factory=dict)
    """The fold that each row, by its id, was tested in."""

    @classmethod
    def of(cls, of_fold: Mapping[int, Calibration], ids_of_fold: Mapping[int, Sequence[str]]) -> Self:
        """Put together from those of the folds' runs."""
        sources = [calibration.source for calibration in of_fold.values()]
        smallest = min(sources, key=lambda source: source.rows)
        fold_of = {name: fold for fold, ids in ids_of_fold.items() for name in ids}
        return cls(replace(smallest, run=None), of_fold, fold_of)

    @classmethod
    def fit(cls, validation: Predictions) -> Self:
        """There is no one split to fit it to. Raises DataError."""
        raise DataError("calibrations of folds are fitted one by one, each to the validation split of its fold")

    @property
    def name(self) -> str:
        return ", ".join(dict.fromkeys(calibration.name for calibration in self.of_fold.values()))

    @property
    def moves_pool(self) -> bool:
        return any(calibration.moves_pool for calibration in self.of_fold.values())

    def logits(self, p: Predictions) -> Tensor:
        """(M, B, C). Raises DataError for rows that were in no fold."""
        import torch

        strange = [name for name in p.ids or () if name not in self.fold_of]
        if p.ids is None or strange:
            raise DataError(f"row {strange[0]!r} was in no fold" if strange else "rows without ids are in no fold")
        fold_B = torch.tensor([self.fold_of[name] for name in p.ids])
        logits_MBC = torch.empty_like(p.logits_MBC)
        for fold in fold_B.unique().tolist():
            rows = fold_B == fold
            logits_MBC[:, rows] = self.of_fold[fold].logits(p.rows(rows)).to(logits_MBC.dtype)
        return logits_MBC

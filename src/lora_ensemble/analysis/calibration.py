"""Calibrations fitted on validation predictions: any by its name, the best by a proper score, a plain temperature."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from lora_ensemble import registry
from lora_ensemble.errors import DataError, UnknownNameError
from lora_ensemble.fitted import CALIBRATED, Source
from lora_ensemble.predictions import Predictions
from lora_ensemble.recalibration.folds import FOLDS, fold_numbers
from lora_ensemble.recalibration.pool import nll
from lora_ensemble.recalibration.temperatures import best_temperature

if TYPE_CHECKING:
    from lora_ensemble.contracts import Calibration

RAW = "raw"
BEST = "best"
"""In place of a calibration's name: the one that does best on rows that it was not fitted on."""
SCORES: dict[str, Callable[[Predictions], float]] = {
    "nll": lambda p: nll(p.pooled_probs(), _labels(p)),
    "brier": lambda p: float((p.pooled_probs() - one_hot(_labels(p), p.num_classes)).square().sum(1).mean()),
}
"""Proper scores that a calibration may be chosen by; lower is better."""


def calibrate(validation: Predictions, name: str = "temperature", *, score: str = "nll") -> Calibration:
    """Fit a calibration to validation labels, and return it: call it with predictions of the same ensemble.

    name: a file of `calibrations/`, or "best": the one of lowest cross-fitted `score` ("nll" or "brier"), see
    `compare_calibrations`. Few rows are enough for some of them; what has many parameters stays near the raw
    predictions then. Raises UnknownNameError for another name, DataError for predictions without labels or of the test
    split.
    """
    if name == BEST:
        found = compare_calibrations(validation, score=score)
        name = min(found, key=found.__getitem__)
        if name == RAW:
            unchanged: Calibration = registry.config_class("calibrations", "temperature")(Source.of(validation))
            return unchanged
    elif name not in registry.names("calibrations"):
        raise UnknownNameError("calibration", name, [*registry.names("calibrations"), BEST])
    fitted: Calibration = registry.config_class("calibrations", name).fit(validation)
    return fitted


def cross_fitted(validation: Predictions, name: str, folds: int = FOLDS) -> Predictions:
    """The same rows, each calibrated by what was fitted without it: an honest score of a calibration where there are
    no other rows. Raises DataError for fewer than two rows."""
    source = Source.of(validation)
    if len(validation) < 2:
        raise DataError("cross-fitting needs at least two rows, there is one")
    assert validation.labels_B is not None
    number_B = fold_numbers(validation.pooled_probs(), validation.labels_B, folds)
    logits_MBC = torch.empty_like(validation.logits_MBC)
    for k in range(int(number_B.max()) + 1):
        out_B = number_B == k
        logits_MBC[:, out_B] = calibrate(validation.rows(~out_B), name)(validation.rows(out_B)).logits_MBC
    meta = {**validation.meta, CALIBRATED: [*source.calibrated, name]}
    return replace(validation, logits_MBC=logits_MBC, meta=meta)


def compare_calibrations(
    validation: Predictions, names: Sequence[str] | None = None, score: str = "nll"
) -> dict[str, float]:
    """The cross-fitted score of each calibration, and of the raw predictions ("raw"), by name; the raw ones first, then
    temperatures, so that the simpler is taken of equals."""
    if score not in SCORES:
        raise UnknownNameError("proper score", score, SCORES)
    Source.of(validation)
    every = registry.names("calibrations") if names is None else names
    order = sorted(every, key=lambda name: (name != "temperature", name))
    return {RAW: SCORES[score](validation), **{n: SCORES[score](cross_fitted(validation, n)) for n in order}}


@dataclass(frozen=True)
class Temperature:
    """Divides logits by a temperature: above 1 makes predictions less confident. Call it with predictions."""

    temperatures: tuple[float, ...]
    """One for all members, or one for each."""

    def __post_init__(self) -> None:
        if not self.temperatures or not all(t > 0 for t in self.temperatures):
            raise DataError(f"temperatures are {self.temperatures}, expected positive numbers")

    def __call__(self, p: Predictions) -> Predictions:
        """Calibrated predictions. Raises DataError for another number of members than it was fitted on."""
        if len(self.temperatures) not in (1, p.num_members):
            raise DataError(f"there are {len(self.temperatures)} temperatures for {p.num_members} members")
        temperature_M = torch.tensor(self.temperatures)
        return Predictions(p.logits_MBC / temperature_M[:, None, None], p.labels_B, p.ids, p.meta)


def fit_temperature(validation: Predictions, *, per_member: bool = False) -> Temperature:
    """The temperature that minimises the negative log-likelihood of validation labels (Guo et al. 2017, section 4.2).

    One temperature for all members, chosen for the ensemble's mean of probabilities (each member may stay off, if
    the pool is calibrated: Rahaman and Thiery 2021); or, per member, each one chosen for that member alone.
    The likelihood may have no maximum above 0, as where every member predicts all samples right: at a temperature near
    0 every later error would be a certain one. The temperature is 1 then, and a warning says so.
    Never fit on the split that is reported. Raises DataError for predictions without labels, or that say they are
    of the test split (`meta["split"] == "test"`).
    """
    labels_B = validation.labels_B
    if labels_B is None:
        raise DataError("a temperature is fitted to labels, and these predictions have none")
    if validation.meta.get("split") == "test":
        raise DataError("these are predictions of the test split: fit the temperature on validation predictions")
    groups = validation.logits_MBC[:, None] if per_member else [validation.logits_MBC]
    return Temperature(tuple(best_temperature(logits_MBC, labels_B) for logits_MBC in groups))


def _labels(p: Predictions) -> Tensor:
    assert p.labels_B is not None  # Source.of has seen to it
    return p.labels_B

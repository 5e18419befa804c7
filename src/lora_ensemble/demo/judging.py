"""One row judged: what the ensemble says, where that lies among the validation rows, and whether to trust it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from lora_ensemble.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from lora_ensemble.analysis.abstention import Abstention
    from lora_ensemble.analysis.binomial import Share
    from lora_ensemble.predictions import Predictions
    from lora_ensemble.runs.run import Run

NEIGHBOURS = 100
"""Validation rows that are looked at for how often the ensemble is right when it is as certain as here."""

STRANGE = 0.99
"""Members that disagree more than on this share of the validation rows mean a row unlike those."""


@dataclass(frozen=True)
class Place:
    """Where a row lies among the validation rows."""

    total: float
    """Share of them with a lower total uncertainty, 0 to 1;"""
    aleatoric: float
    """aleatoric,"""
    epistemic: float
    """epistemic."""
    right: Share
    """How many of those whose total uncertainty is nearest were right, with its exact 95 % interval."""


@dataclass(frozen=True)
class Verdict:
    """Whether to trust an answer."""

    says: Literal["trust", "ask", "unknown"]
    why: str
    """A sentence or two."""


@dataclass(frozen=True)
class Judgement:
    """Everything that the page shows of a row; uncertainties in nats."""

    classes: tuple[str, ...]
    probs_C: tuple[float, ...]
    """The members' mean, calibrated."""
    probs_MC: tuple[tuple[float, ...], ...]
    """Each member's."""
    total: float
    aleatoric: float
    epistemic: float
    place: Place | None
    """None where there are no validation rows."""
    verdict: Verdict
    calibrated: str | None
    """Name of the calibration that these went through."""

    @property
    def prediction(self) -> int:
        """Number of the most probable class."""
        return max(range(len(self.classes)), key=self.probs_C.__getitem__)

    @property
    def agreeing(self) -> int:
        """Members whose most probable class it is."""
        return sum(max(range(len(p)), key=p.__getitem__) == self.prediction for p in self.probs_MC)


@dataclass(frozen=True)
class Judge:
    """What was learned from a run's validation rows, once; called with the raw predictions of one row."""

    calibration: object | None
    validation: Predictions | None
    """Calibrated."""
    abstention: Abstention | None
    missing: str = ""
    """Why there is no validation, or no promise: one line."""
    risk: float = 0.05
    confidence: float = 0.95

    @classmethod
    def of(cls, run: Run, risk: float = 0.05, confidence: float = 0.95, by: str = "total") -> Judge:
        """risk: of the answers that are to be trusted, at most this share is wrong, with this confidence. Where that
        cannot be promised, or there are no validation rows, the verdict says so. Raises UserError for a damaged run."""
        from lora_ensemble.analysis import abstain
        from lora_ensemble.runs.calibrated import validation_predictions

        calibration = run.calibrated
        try:
            raw = validation_predictions(run)
        except UserError as error:
            return cls(calibration, None, None, str(error), risk, confidence)
        validation = raw if calibration is None else calibration(raw)
        try:
            return cls(calibration, validation, abstain(validation, risk, confidence, by), "", risk, confidence)
        except UserError as error:
            return cls(calibration, validation, None, str(error), risk, confidence)

    def __call__(self, raw: Predictions, names: Sequence[str]) -> Judgement:
        """names: of the classes, as they are to be shown; fewer than there are logits leave the rest out."""
        p = raw if self.calibration is None else self.calibration(raw)  # type: ignore[operator]
        shown = range(len(names))
        return Judgement(
            classes=tuple(names),
            probs_C=tuple(float(p.mean_probs_BC[0, c]) for c in shown),
            probs_MC=tuple(tuple(float(member[c]) for c in shown) for member in p.probs_MBC[:, 0]),
            total=float(p.total_B[0]),
            aleatoric=float(p.aleatoric_B[0]),
            epistemic=float(p.epistemic_B[0]),
            place=None if self.validation is None else _place(p, self.validation),
            verdict=self._verdict(p),
            calibrated=getattr(self.calibration, "name", None),
        )

    def _verdict(self, p: Predictions) -> Verdict:
        if self.validation is None:
            return Verdict("unknown", f"There is nothing to compare it with: {self.missing}")
        if p.num_members > 1 and _below(self.validation.epistemic_B, p.epistemic_B) > STRANGE:
            return Verdict(
                "ask",
                f"The members disagree more than on {100 * STRANGE:.0f} % of the validation rows: this is unlike what "
                "they were trained on.",
            )
        if self.abstention is None:
            return Verdict("unknown", f"No promise can be given: {self.missing}")
        promise = (
            f"at most {100 * self.risk:g} % are wrong (with {100 * self.confidence:g} % confidence, for rows like "
        )
        if bool(self.abstention(p).keep_B[0]):
            return Verdict("trust", f"Of the answers that are as certain as this, {promise}the validation rows).")
        return Verdict("ask", f"It is less certain than the answers of which {promise}the validation rows).")


def _place(p: Predictions, validation: Predictions) -> Place:
    from lora_ensemble.analysis.binomial import Share

    distance_B = (validation.total_B - p.total_B[0]).abs()
    nearest = distance_B.argsort(stable=True)[:NEIGHBOURS]
    assert validation.labels_B is not None  # a validation split has them
    right_B = validation.mean_probs_BC.argmax(1) == validation.labels_B
    return Place(
        _below(validation.total_B, p.total_B),
        _below(validation.aleatoric_B, p.aleatoric_B),
        _below(validation.epistemic_B, p.epistemic_B),
        Share.of(int(right_B[nearest].sum()), len(nearest)),
    )


def _below(many_B: Tensor, one: Tensor) -> float:
    return float((many_B < one[0]).double().mean())

"""From predictions to answers: calibrated, with sets and abstention that were fitted to the validation split."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lora_ensemble.answers.asked import Asked

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

    from lora_ensemble.analysis.adaptive import Adaptive
    from lora_ensemble.predictions import Predictions


@dataclass(frozen=True)
class Decider:
    """Fitted once, called with the predictions of each part."""

    asked: Asked
    calibration: Callable[[Predictions], Predictions] | None = None
    sets: Callable[[Predictions], Any] | None = None
    """`conformal(...)`; what it returns has `sets_BC`."""
    abstention: Callable[[Predictions], Any] | None = None
    """`abstain(...)`; what it returns has `keep_B`."""
    adaptive: Adaptive | None = None
    """How many members a row asks."""

    @classmethod
    def fitted(
        cls,
        asked: Asked,
        calibration: Callable[[Predictions], Predictions] | None,
        validation: Callable[[], Predictions],
    ) -> Decider:
        """validation: gives the predictions of the validation split; called only where something is fitted to it.

        Raises what `conformal` and `abstain` raise, for instance for a risk that cannot be promised."""
        from lora_ensemble.analysis import abstain, conformal
        from lora_ensemble.analysis.adaptive import fit_adaptive

        calibration = None if asked.raw else calibration
        if not asked.needs_validation:
            return cls(asked, calibration)
        raw, adaptive = validation(), None
        if asked.is_adaptive:
            adaptive = fit_adaptive(
                raw,
                budget=asked.budget,
                max_loss=asked.max_loss,
                confidence=asked.confidence,
                calibration=calibration,
            )
            raw = adaptive.filled(raw)  # promises are fitted to what answers are made of
        known = raw if calibration is None else calibration(raw)
        sets = None
        if asked.coverage is not None:
            sets = conformal(known, asked.coverage, asked.conformal, penalty=asked.penalty, free_ranks=asked.free_ranks)
        abstention = None
        if asked.risk is not None:
            abstention = abstain(known, risk=asked.risk, confidence=asked.confidence, by=asked.by)
        return cls(asked, calibration, sets, abstention, adaptive)

    def __call__(self, p: Predictions) -> pd.DataFrame:
        """The answers, a row for each row of `p`; see `Predictions.to_pandas`."""
        asked_B = None if self.adaptive is None else self.adaptive.asked(p.logits_MBC)
        p = p if self.calibration is None else self.calibration(p)
        sets_BC: Tensor | None = None if self.sets is None else self.sets(p).sets_BC
        abstain_B: Tensor | None = None if self.abstention is None else ~self.abstention(p).keep_B
        table = p.to_pandas(probabilities=self.asked.probabilities, sets_BC=sets_BC, abstain_B=abstain_B)
        if asked_B is not None:
            table.insert(sum(not str(name).startswith("p_") for name in table), "members", asked_B.numpy())
        return table

"""What answers are to hold."""

from __future__ import annotations

from dataclasses import dataclass

from lora_ensemble.errors import ConfigurationError


@dataclass(frozen=True)
class Asked:
    """Beside id, prediction, probability, total, aleatoric, epistemic (nats) and agreement."""

    raw: bool = False
    """Without the run's calibration."""
    probabilities: bool = False
    """A column p_<class> for each class."""
    coverage: float | None = None
    """A column "set": classes among which the label is with this probability (conformal prediction)."""
    conformal: str = "aps"
    """Kind of the sets."""
    risk: float | None = None
    """A column "abstain", so that of the rows that are answered at most this share is wrong."""
    confidence: float = 0.95
    """That the promise on the risk holds."""
    by: str = "total"
    """Uncertainty by which rows are left to a person."""

    budget: float | None = None
    """Ask so many members of a row on average, more of difficult ones; with a column "members", how many were asked."""
    max_loss: float | None = None
    """Ask as few members as possible so that at most this share of the rows is turned from right to wrong."""

    penalty: float | None = None
    """Of raps and saps; chosen on a part of validation where it is not given."""
    free_ranks: int | None = None
    """Of raps, the same."""

    def __post_init__(self) -> None:
        found = [
            f"{name} = {value}: must be above 0 and below 1"
            for name in ("coverage", "risk", "confidence")
            if (value := getattr(self, name)) is not None and not 0 < value < 1
        ]
        if self.budget is not None and self.max_loss is not None:
            found.append(f"budget = {self.budget}, max_loss = {self.max_loss}: give one of them")
        if found:
            raise ConfigurationError(found)

    @property
    def needs_validation(self) -> bool:
        """Whether something is fitted to the validation split."""
        return self.coverage is not None or self.risk is not None or self.is_adaptive

    @property
    def is_adaptive(self) -> bool:
        """Whether rows ask as many members as they need."""
        return self.budget is not None or self.max_loss is not None

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

    def __post_init__(self) -> None:
        found = [
            f"{name} = {value}: must be above 0 and below 1"
            for name in ("coverage", "risk", "confidence")
            if (value := getattr(self, name)) is not None and not 0 < value < 1
        ]
        if found:
            raise ConfigurationError(found)

    @property
    def needs_validation(self) -> bool:
        """Whether something is fitted to the validation split."""
        return self.coverage is not None or self.risk is not None

"""Temperature scaling, fitted on validation predictions."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import torch
from torch import Tensor

from lora_ensemble.errors import DataError
from lora_ensemble.predictions import Predictions

RANGE = (0.01, 100.0)
"""Temperatures that are considered."""


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
    Where all validation samples are predicted right (or, of an ensemble, each by some member), the likelihood may have
    no maximum: at a temperature near 0 every later error would be a certain one. The temperature is 1 then, and a
    warning says so.
    Never fit on the split that is reported. Raises DataError for predictions without labels, or that say they are
    of the test split (`meta["split"] == "test"`).
    """
    labels_B = validation.labels_B
    if labels_B is None:
        raise DataError("a temperature is fitted to labels, and these predictions have none")
    if validation.meta.get("split") == "test":
        raise DataError("these are predictions of the test split: fit the temperature on validation predictions")
    groups = validation.logits_MBC.split(1) if per_member else [validation.logits_MBC]
    return Temperature(tuple(_fitted(logits_MBC.double(), labels_B) for logits_MBC in groups))


def _fitted(logits_MBC: Tensor, labels_B: Tensor) -> float:
    right = bool((logits_MBC.softmax(2).mean(0).argmax(1) == labels_B).all())
    found = None if right else _minimiser(logits_MBC, labels_B)
    if found is None:
        why = "they are all predicted right" if right else "the nearer to 0, the better"
        warnings.warn(
            f"{len(labels_B)} validation samples fit no temperature ({why}): it stays 1; more of them would help",
            stacklevel=4,  # fit_temperature, called from anywhere
        )
        return 1.0
    return found


def _minimiser(logits_MBC: Tensor, labels_B: Tensor) -> float | None:
    """Over log T: a coarse grid, as a pool may have several minima, then Brent's method around the best point. None:
    the lower end of the range is no worse."""
    from scipy.optimize import minimize_scalar

    # Above the highest logit of each row, so that nothing overflows at any temperature.
    shifted_MBC = logits_MBC - logits_MBC.amax(2, keepdim=True)
    label_logits_MB = shifted_MBC.gather(2, labels_B.expand(len(shifted_MBC), -1)[..., None]).squeeze(2)
    scaled_BC = torch.empty_like(shifted_MBC[0])

    def nll(log_t: float) -> float:
        """Up to ln M, of the mean over members of the label's probability."""
        log_probs = []
        for logits_BC, label_logits_B in zip(shifted_MBC, label_logits_MB, strict=True):
            torch.mul(logits_BC, math.exp(-log_t), out=scaled_BC)
            log_probs.append(label_logits_B * math.exp(-log_t) - scaled_BC.exp_().sum(1).log())
        return -float(torch.stack(log_probs).logsumexp(0).mean())

    grid = torch.linspace(math.log(RANGE[0]), math.log(RANGE[1]), 9).tolist()
    values = [nll(log_t) for log_t in grid]
    k = values.index(min(values))
    bounds = grid[max(k - 1, 0)], grid[min(k + 1, len(grid) - 1)]
    found = minimize_scalar(nll, bounds=bounds, method="bounded", options={"xatol": 1e-4})
    return None if values[0] <= found.fun + 1e-9 else math.exp(found.x)

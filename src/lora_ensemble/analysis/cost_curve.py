"""Cost curves: which threshold to answer at, where a wrong answer and a person have their price."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lora_ensemble.analysis.kept_counts import KeptCounts
from lora_ensemble.analysis.uncertainty import uncertainty
from lora_ensemble.errors import ConfigurationError, DataError
from lora_ensemble.predictions import Predictions


@dataclass(frozen=True, eq=False)
class CostCurve:
    """What answering the rows of at most some uncertainty costs, by rising threshold; the others go to a person."""

    threshold_G: Tensor
    """(G,) uncertainties; -infinity first: every row goes to a person."""
    coverage_G: Tensor
    """(G,) share of rows that are answered."""
    cost_G: Tensor
    """(G,) mean cost of a row."""

    @property
    def best(self) -> tuple[float, float, float]:
        """Threshold, coverage and cost where the cost is lowest; of equals the one that answers most."""
        at = int((self.cost_G <= self.cost_G.min() + 1e-12).nonzero()[-1])
        return float(self.threshold_G[at]), float(self.coverage_G[at]), float(self.cost_G[at])


def cost_curve(p: Predictions, wrong: float = 10.0, person: float = 1.0, by: str = "total") -> CostCurve:
    """wrong: cost of a wrong answer; person: of a row that goes to a person; a right answer costs nothing.

    Choose the threshold on validation, and measure its cost on other rows. Raises DataError for predictions without
    labels, ConfigurationError for costs that are not positive, UnknownNameError for another uncertainty.
    """
    if not (0 < wrong < float("inf") and 0 < person < float("inf")):
        raise ConfigurationError([f"wrong = {wrong}, person = {person}: must be positive numbers"])
    if p.labels_B is None:
        raise DataError("a cost curve needs labels, and these predictions have none")
    counts = KeptCounts.of(uncertainty(p, by), torch.ne(p.pooled_probs().argmax(1), p.labels_B))
    kept_G = torch.from_numpy(np.append(0, counts.kept)).double()
    wrong_G = torch.from_numpy(np.append(0, counts.wrong)).double()
    threshold_G = torch.from_numpy(np.append(-np.inf, counts.threshold))
    cost_G = (wrong * wrong_G + person * (counts.rows - kept_G)) / counts.rows
    return CostCurve(threshold_G, kept_G / counts.rows, cost_G)

"""Histogram binning of the pool: the share of each class in bins that hold equally many rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from lora_ensemble.contracts import Calibration
from lora_ensemble.fitted import Source

if TYPE_CHECKING:
    from torch import Tensor

    from lora_ensemble.predictions import Predictions

BINS, ROWS_IN_BIN = 15, 10


@dataclass(frozen=True)
class Histogram(Calibration):
    """Zadrozny and Elkan 2001, one class against the rest, normalised. At most 15 bins, fewer where they would hold
    fewer than ten rows. The raw pool counts as one row of a bin and of the whole; a class that validation lacks keeps
    its probability. It maps the pool; the members follow it."""

    edges: tuple[tuple[float, ...], ...] = ()
    """(C, bins - 1) rising probabilities between the bins of a class; a bin includes its upper edge."""
    values: tuple[tuple[float, ...], ...] = ()
    """(C, bins) shares of the class; none where the class was not there."""

    @classmethod
    def fit(cls, validation: Predictions) -> Self:
        import torch

        source = Source.of(validation)
        assert validation.labels_B is not None
        bins = max(1, min(BINS, len(validation) // ROWS_IN_BIN))
        inner = torch.arange(1, bins, dtype=torch.float64) / bins
        edges, values = [], []
        for c in range(validation.num_classes):
            is_c_B, probs_B = (validation.labels_B == c).double(), validation.pooled_probs()[:, c].contiguous()
            if not bool(is_c_B.any()):
                edges.append(())
                values.append(())
                continue
            between = torch.unique(probs_B.sort().values[(inner * (len(probs_B) - 1)).long()])
            at_B = torch.bucketize(probs_B, between)
            count = torch.bincount(at_B, minlength=len(between) + 1).double()
            right, mean = (torch.bincount(at_B, v, len(count)) for v in (is_c_B, probs_B))
            edges.append(tuple(between.tolist()))
            values.append(tuple(((right + mean / count.clamp(min=1)) / (count + 1)).tolist()))
        return cls(source, tuple(edges), tuple(values))

    def logits(self, p: Predictions) -> Tensor:
        import torch

        from lora_ensemble.recalibration.one_against_rest import normalised
        from lora_ensemble.recalibration.pool import following

        pool_BC = p.pooled_probs()
        mapped_BC = pool_BC.clone()
        for c, (edges, values) in enumerate(zip(self.edges, self.values, strict=True)):
            if values:
                at_B = torch.bucketize(pool_BC[:, c].contiguous(), torch.tensor(edges, dtype=torch.float64))
                mapped_BC[:, c] = torch.tensor(values, dtype=torch.float64)[at_B]
        rows = self.source.rows
        return following(p, normalised((rows * mapped_BC + pool_BC) / (rows + 1)))

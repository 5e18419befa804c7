"""Adaptive ECE: calibration error of the most probable class over 15 bins of equally many samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    from torch import Tensor

BETTER = {"ece_adaptive": "lower"}
LABELS = {"ece_adaptive": "ECE, adaptive"}
_BINS = 15
_BLOCK = 64


def prepare(top_BK: Tensor, right_B: Tensor) -> tuple[Any, Any]:
    """Sparse (G, B), for each different confidence, rising: its samples, and right or not less confidence of them. As
    many groups of no samples as fill the last block are added."""
    import numpy as np
    from scipy.sparse import csr_matrix

    confidence_B = top_BK[:, 0].numpy()
    values, group_B = np.unique(confidence_B, return_inverse=True)
    shape = (-(-len(values) // _BLOCK) * _BLOCK, len(group_B))
    place = (group_B, np.arange(len(group_B)))
    gaps = right_B.numpy() - confidence_B
    return csr_matrix((np.ones_like(gaps), place), shape), csr_matrix((gaps, place), shape)


def score(prepared: tuple[Any, Any], counts_RB: Tensor) -> dict[str, Tensor]:
    """0 .. 1: |accuracy - mean confidence| of each bin, averaged (Nixon et al. 2019, equation 4, of the prediction).

    Every resample has bins of its own. A sample, or samples of equal confidence, on the edge of two bins belong to both
    by their parts, so that no order of samples matters.
    """
    import torch

    mass, gaps = (_Running(torch.from_numpy(matrix @ counts_RB.T.numpy())) for matrix in prepared)
    size = counts_RB[0].sum()
    edges_KR = (size * torch.arange(_BINS + 1, dtype=torch.float64) / _BINS)[:, None].expand(-1, len(counts_RB))
    block_KR = mass.block_of(edges_KR)
    within_JKR = mass.within(block_KR)
    place_1KR = (within_JKR < edges_KR).sum(0, keepdim=True).clamp(min=1, max=_BLOCK)
    low_KR, high_KR = (within_JKR.gather(0, place)[0] for place in (place_1KR - 1, place_1KR))
    along_KR = (edges_KR - low_KR) / (high_KR - low_KR).clamp(min=1)
    gaps_JKR = gaps.within(block_KR)
    start_KR, end_KR = (gaps_JKR.gather(0, place)[0] for place in (place_1KR - 1, place_1KR))
    reached_KR = start_KR + along_KR * (end_KR - start_KR)
    return {"ece_adaptive": reached_KR.diff(dim=0).abs().sum(0) / size}


class _Running:
    """Sums over groups up to any one, of R resamples: those of blocks are kept, the rest is added where it is asked."""

    def __init__(self, values_GR: Tensor):
        import torch

        self.values_NJR = values_GR.view(-1, _BLOCK, values_GR.shape[1])
        self.before_NR = torch.nn.functional.pad(self.values_NJR.sum(1).cumsum(0), (0, 0, 1, 0))

    def block_of(self, edges_KR: Tensor) -> Tensor:
        """(K, R) the block in which a sum is reached."""
        import torch

        ends_RN = self.before_NR[1:].T.contiguous()
        return torch.searchsorted(ends_RN, edges_KR.T.contiguous()).clamp(max=ends_RN.shape[1] - 1).T

    def within(self, block_KR: Tensor) -> Tensor:
        """(1 + groups of a block, K, R) the sums before the block and up to each of its groups."""
        import torch

        resample_R = torch.arange(block_KR.shape[1])
        inside_KRJ = self.values_NJR[block_KR, :, resample_R]
        start_1KR = self.before_NR.gather(0, block_KR)[None]
        return torch.cat([start_1KR, start_1KR + inside_KRJ.permute(2, 0, 1).cumsum(0)])

"""OOD detection: AUROC, AUPR and FPR at 95 % of four scores that should be higher out of distribution."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

_SCORES = ("msp", "entropy", "mutual_information", "expected_entropy")
_ROUNDING = 1e-9  # nats: members with the same weights differ by less
_MEASURES = {"auroc": "higher", "aupr": "higher", "fpr95": "lower"}

BETTER = {f"{measure}_{name}": better for measure, better in _MEASURES.items() for name in _SCORES}
LABELS = {
    f"{measure}_{name}": f"{said}, {'largest probability' if name == 'msp' else name.replace('_', ' ')}"
    for measure, said in (("auroc", "AUROC"), ("aupr", "AUPR"), ("fpr95", "FPR at 95 %"))
    for name in _SCORES
}
COLUMNS = {"auroc_entropy": 60, "auroc_mutual_information": 70}


def score(
    probs_BC: Tensor, total_B: Tensor, aleatoric_B: Tensor, epistemic_B: Tensor, ood_B: Tensor, counts_RB: Tensor
) -> dict[str, Tensor]:
    """All 0 .. 1; OOD is the positive class; samples of equal score are never told apart.

    Scores: msp is 1 - the largest probability (Hendrycks and Gimpel 2017); entropy, mutual_information,
    expected_entropy are total, epistemic, aleatoric uncertainty. Measures: auroc is the probability that an OOD
    sample scores higher than an in-distribution one, ties counting half; aupr is average precision; fpr95 is the
    share of in-distribution samples at or above the highest threshold that catches 95 % of the OOD samples.
    Those of mutual information are NaN where there is none, as with one member.
    """
    import torch

    scores = (1 - probs_BC.max(-1).values, total_B, epistemic_B, aleatoric_B)
    counts_RI, counts_RO = counts_RB[:, ~ood_B], counts_RB[:, ood_B]
    values = {}
    for name, score_B in zip(_SCORES, scores, strict=True):
        if name == "mutual_information" and score_B.max() < _ROUNDING:
            values.update({f"{measure}_{name}": torch.full_like(counts_RB[:, 0], torch.nan) for measure in _MEASURES})
            continue
        measured = _measures(score_B[~ood_B], score_B[ood_B], counts_RI, counts_RO)
        values.update({f"{measure}_{name}": values_R for measure, values_R in measured.items()})
    return values


def _measures(score_I: Tensor, score_O: Tensor, counts_RI: Tensor, counts_RO: Tensor) -> dict[str, Tensor]:
    """I: samples in distribution; O: samples out of it, each of whose scores is a threshold."""
    import torch

    (score_I, order_I), (score_O, order_O) = score_I.sort(), score_O.sort()
    below_O, up_to_O = torch.searchsorted(score_I, score_O), torch.searchsorted(score_I, score_O, right=True)
    missed_O = torch.searchsorted(score_O, score_O)
    parts = []
    for part_RI, part_RO in zip(counts_RI.split(256), counts_RO.split(256), strict=True):
        # Counts are whole numbers: exact in float32 up to 2**24, and twice as fast.
        weight_RO = part_RO.float().index_select(1, order_O)
        seen_RI, seen_RO = _cumulated(part_RI.float().index_select(1, order_I)), _cumulated(weight_RO)
        all_I, all_O = seen_RI[:, -1:], seen_RO[:, -1:]
        below_RO, up_to_RO = seen_RI.index_select(1, below_O), seen_RI.index_select(1, up_to_O)
        false_RO, true_RO = all_I - below_RO, all_O - seen_RO.index_select(1, missed_O)
        precision_RO = true_RO / (true_RO + false_RO).clamp(min=1)
        highest_R1 = (true_RO / all_O >= 0.95).sum(1, keepdim=True) - 1
        auroc_R1 = (weight_RO * (below_RO + up_to_RO)).sum(1, keepdim=True) / (2 * all_I * all_O)
        aupr_R1 = (weight_RO * precision_RO).sum(1, keepdim=True) / all_O
        parts.append(torch.cat([auroc_R1, aupr_R1, false_RO.gather(1, highest_R1) / all_I], 1))
    return dict(zip(_MEASURES, torch.cat(parts).double().unbind(1), strict=True))


def _cumulated(counts_RB: Tensor) -> Tensor:
    """(R, B + 1): how many are among the first 0, 1, 2 .. B."""
    from torch.nn.functional import pad

    return pad(counts_RB.cumsum(1), (1, 0))

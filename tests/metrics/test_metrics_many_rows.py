"""More rows, and more resamples, than a metric treats at a time, against a slow obvious twin."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lora_ensemble.analysis import evaluate
from lora_ensemble.analysis.bootstrap import in_parts, resample_counts
from lora_ensemble.analysis.scoring import compute
from lora_ensemble.predictions import Predictions
from lora_ensemble.predictions.uncertainties import moments_of
from tolerance import close

ROWS = 700


def predictions(seed: int, step: float, members: int = 3, classes: int = 7) -> Predictions:
    """step: logits are multiples of it, so that a coarse one makes many rows equal."""
    generator = torch.Generator().manual_seed(seed)
    logits_MBC = torch.randn(members, ROWS, classes, generator=generator)
    labels_B = torch.randint(classes, (ROWS,), generator=generator)
    logits_MBC[:, torch.arange(ROWS), labels_B] += 1
    return Predictions((logits_MBC / step).round() * step, labels_B)


@pytest.mark.parametrize("step", [1e-3, 1.0, 4.0])
def test_adaptive_ece_interpolates_between_confidences(step: float) -> None:
    p = predictions(0, step)
    counts_RB = resample_counts(ROWS, 40, torch.Generator().manual_seed(1))
    found_R = torch.cat([compute(p, part, names=["ece_adaptive"])["ece_adaptive"] for part in in_parts([counts_RB])])
    confidence_B, predicted_B = p.pooled_probs().max(-1)
    gap_B = (predicted_B == p.labels_B).double() - confidence_B
    for counts_B, found in zip(counts_RB.double(), found_R, strict=True):
        mass, gaps = [0.0], [0.0]
        for value in confidence_B.unique():
            inside_B = counts_B * (confidence_B == value)
            mass.append(mass[-1] + float(inside_B.sum()))
            gaps.append(gaps[-1] + float((inside_B * gap_B).sum()))
        edges = np.interp(np.arange(16) * ROWS / 15, mass, gaps)
        close(found, np.abs(np.diff(edges)).sum() / ROWS, depth=ROWS)


@pytest.mark.parametrize("step", [1e-3, 1.0, 4.0])
def test_intervals_are_those_of_resamples_taken_one_by_one(step: float) -> None:
    p, ood = predictions(0, step), predictions(1, step)
    generator = torch.Generator().manual_seed(2)
    counts_RB = torch.cat([resample_counts(ROWS, 12, generator) for _ in range(2)], 1).double()
    for other in (None, ood):
        size = ROWS * (1 if other is None else 2)
        together = compute(p, counts_RB[:, :size], ood=other)
        for r in range(len(counts_RB)):
            alone = compute(p, counts_RB[r : r + 1, :size], ood=other)
            for name, value in alone.items():
                close(together[name][r], value[0], depth=ROWS, dtype=torch.float32)


def test_what_members_say_by_plain_formulas() -> None:
    p = predictions(3, 1e-3, classes=120)
    found = moments_of(p.logits_MBC)
    probs_MBC = p.logits_MBC.double().softmax(-1)
    mean_BC = probs_MBC.mean(0)
    own_B = -(probs_MBC * probs_MBC.log()).sum(-1).mean(0)
    total_B = -(mean_BC * mean_BC.log()).sum(-1)
    close(found.mean_BC, mean_BC, depth=120)
    close(found.total_B, total_B, depth=120, dtype=torch.float32)
    close(found.aleatoric_B, own_B, depth=120, dtype=torch.float32)
    close(found.epistemic_B, total_B - own_B, depth=120, dtype=torch.float32)
    close(found.evidence_MB, p.logits_MBC.double().logsumexp(-1), depth=120, scale=10)
    close(found.max_logit_MB, p.logits_MBC.double().amax(-1), depth=1)
    assert torch.equal(found.classes_MB, p.logits_MBC.argmax(-1))


def test_probabilities_of_exactly_0_and_1() -> None:
    p = Predictions.from_probs([[[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.5, 0.5]]], labels_B=[0, 0])
    close(p.total_B, [0.0, -(0.25 * np.log(0.25) + 0.75 * np.log(0.75))], depth=4, dtype=torch.float32)
    close(p.aleatoric_B, [0.0, np.log(2) / 2], depth=4, dtype=torch.float32)
    assert evaluate(p, intervals=False)["accuracy"] == 0.5

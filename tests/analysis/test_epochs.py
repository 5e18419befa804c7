"""Scores over epochs are those of each epoch's predictions."""

from __future__ import annotations

import json
import math
import statistics

import pytest
import torch

from lora_ensemble.analysis import epochs_curve, epochs_json, epochs_table, evaluate
from lora_ensemble.errors import DataError
from lora_ensemble.predictions import Predictions


def predictions(signal: float, members: int = 3, seed: int = 0, labels: bool = True) -> Predictions:
    """The larger the signal, the better trained."""
    generator = torch.Generator().manual_seed(seed)
    labels_B = torch.randint(4, (50,), generator=generator)
    noise_MBC = torch.randn(members, 50, 4, generator=generator)
    return Predictions(noise_MBC + signal * torch.nn.functional.one_hot(labels_B, 4), labels_B if labels else None)


BY_EPOCH = {epoch: predictions(0.7 * epoch, seed=epoch) for epoch in (2, 0, 1)}
OUTSIDE = {epoch: predictions(0.0, seed=10 + epoch, labels=False) for epoch in (0, 1, 2)}


def test_each_epoch_has_the_scores_of_its_predictions() -> None:
    curve = epochs_curve(BY_EPOCH, {"noise": OUTSIDE})
    assert curve.epochs == (0, 1, 2)
    for k, epoch in enumerate(curve.epochs):
        inside = evaluate(BY_EPOCH[epoch], OUTSIDE[epoch], intervals=False)
        outside = evaluate(OUTSIDE[epoch], intervals=False)
        for name in ("accuracy", "nll", "ece_15", "total", "aleatoric", "epistemic"):
            assert curve.ensemble[name][k] == inside[name]
            assert curve.member[name][k] == inside.member_mean(name)
            assert curve.spread[name][k] == inside.member_std(name)
        assert curve.ensemble["auroc_entropy[noise]"][k] == inside["auroc_entropy"]
        assert curve.ensemble["epistemic[noise]"][k] == outside["epistemic"]
        parts = curve.ensemble["aleatoric"][k] + curve.ensemble["epistemic"][k]
        assert curve.ensemble["total"][k] == pytest.approx(parts, abs=1e-6)
        assert curve.member["total"][k] == pytest.approx(curve.ensemble["aleatoric"][k], abs=1e-6)


def test_without_labels_and_with_one_member() -> None:
    curve = epochs_curve({0: predictions(0.0, members=1, labels=False)})
    assert set(curve.ensemble) == {"total", "aleatoric", "epistemic"}
    assert curve.ensemble["epistemic"] == (0.0,)
    assert math.isnan(curve.spread["total"][0])
    assert json.loads(epochs_json({"a": [curve]}))["a"][0]["spread"]["total"] == [None]


def test_table_of_one_run_shows_the_spread_of_its_members() -> None:
    curve = epochs_curve(BY_EPOCH)
    head, _, *rows = epochs_table([curve]).splitlines()
    assert head.startswith("| epoch | accuracy ↑ | accuracy ↑ of one member | nll ↓ |")
    assert [row.split(" | ")[0] for row in rows] == ["| 0", "| 1", "| 2"]
    assert f"| {curve.ensemble['accuracy'][2]:.3f} | {curve.member['accuracy'][2]:.3f} ± " in rows[2]
    assert r"\begin{tabular}" in epochs_table([curve], "latex")


def test_table_of_seeds_shows_their_mean_and_the_epochs_of_all() -> None:
    curves = [epochs_curve(BY_EPOCH), epochs_curve({e: predictions(1.0, seed=20 + e) for e in (0, 2)})]
    _, _, *rows = epochs_table(curves).splitlines()
    assert [row.split(" | ")[0] for row in rows] == ["| 0", "| 2"]
    values = [curves[0].ensemble["nll"][2], curves[1].ensemble["nll"][1]]
    assert f"{statistics.fmean(values):.3f} ± {statistics.stdev(values):.3f}" in rows[1]


def test_what_is_refused() -> None:
    with pytest.raises(DataError, match="there are no epochs"):
        epochs_curve({})
    with pytest.raises(DataError, match="the OOD set 'noise' has no predictions of epoch 1"):
        epochs_curve(BY_EPOCH, {"noise": {0: OUTSIDE[0], 2: OUTSIDE[2]}})

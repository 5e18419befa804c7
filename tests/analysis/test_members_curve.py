"""Scores against the number of members."""

from __future__ import annotations

import itertools

import pytest
import torch

from lora_ensemble.analysis import evaluate, members_curve
from lora_ensemble.errors import ConfigurationError, UnknownNameError
from lora_ensemble.predictions import Predictions


def predictions(members: int = 5, rows: int = 40) -> Predictions:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(members, rows, 3, generator=generator)
    return Predictions(logits, torch.randint(3, (rows,), generator=generator))


def test_all_subsets_where_there_are_few() -> None:
    p = predictions(members=4)
    curve = members_curve(p, ["nll", "accuracy"], sizes=[2, 4])
    pairs = [evaluate(p.members(pair), intervals=False)["nll"] for pair in itertools.combinations(range(4), 2)]
    assert curve.mean["nll"][0] == pytest.approx(sum(pairs) / 6)
    assert curve.std["nll"][0] == pytest.approx(float(torch.tensor(pairs).double().std(correction=0)))
    assert curve.mean["nll"][1] == evaluate(p, intervals=False)["nll"]
    assert curve.std["accuracy"][1] == 0


def test_random_subsets_where_there_are_many() -> None:
    p = predictions(members=12)
    curve = members_curve(p, ["nll"], sizes=[1, 6], subsets=12)
    assert curve.mean["nll"][0] == pytest.approx(evaluate(p, intervals=False).member_mean("nll"))
    assert curve.mean["nll"][1] < curve.mean["nll"][0]
    assert curve == members_curve(p, ["nll"], sizes=[1, 6], subsets=12)
    assert curve != members_curve(p, ["nll"], sizes=[1, 6], subsets=12, seed=1)


@pytest.mark.parametrize(("members", "sizes"), [(1, (1,)), (2, (1, 2)), (5, (1, 2, 4, 5)), (8, (1, 2, 4, 8))])
def test_default_sizes(members: int, sizes: tuple[int, ...]) -> None:
    assert members_curve(predictions(members, rows=5), subsets=2).sizes == sizes


def test_uncertainties_and_detection_by_number_of_members() -> None:
    p, ood = predictions(), predictions(rows=30)
    curve = members_curve(p, ["total", "epistemic", "auroc_entropy[noise]"], sizes=[1, 3], ood={"noise": ood})
    for size, k in ((1, 0), (3, 1)):
        chosen = list(itertools.combinations(range(5), size))
        alone = [evaluate(p.members(c), ood.members(c), intervals=False) for c in chosen]
        for name in ("total", "epistemic", "auroc_entropy"):
            shown = f"{name}[noise]" if name == "auroc_entropy" else name
            assert curve.mean[shown][k] == pytest.approx(sum(s[name] for s in alone) / len(alone))
    assert curve.mean["epistemic"][0] == 0


def test_what_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="unknown score 'acc'"):
        members_curve(predictions(), ["acc"])
    with pytest.raises(UnknownNameError, match="unknown score 'accuracy'"):
        members_curve(Predictions(torch.zeros(2, 3, 4)), ["accuracy"])
    with pytest.raises(ConfigurationError, match="6 members of 5, expected 1 to 5"):
        members_curve(predictions(), sizes=[2, 6])

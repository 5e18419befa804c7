"""Pairs of members, the value of one more, greedy selection: closed forms and slow twins."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lora_ensemble.analysis import evaluate, members_curve
from lora_ensemble.analysis.member_pairs import member_pairs
from lora_ensemble.analysis.member_value import greedy_selection, one_more
from lora_ensemble.errors import ConfigurationError, UnknownNameError
from lora_ensemble.predictions import Predictions
from tolerance import close


def drawn(members: int = 4, rows: int = 60, seed: int = 0) -> Predictions:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(3, (rows,), generator=generator)
    signal = 1.5 * torch.nn.functional.one_hot(labels, 3)
    return Predictions(signal + torch.randn(members, rows, 3, generator=generator), labels)


@given(st.integers(2, 5), st.integers(2, 30), st.integers(0, 100))
def test_pairs_against_the_obvious(members: int, rows: int, seed: int) -> None:
    from scipy.spatial.distance import jensenshannon

    p = drawn(members, rows, seed)
    assert p.labels_B is not None
    pairs = member_pairs(p)
    classes, probs = p.logits_MBC.argmax(-1).numpy(), torch.softmax(p.logits_MBC.double(), -1).numpy()
    wrong = (classes != p.labels_B.numpy()).astype(float)
    for i, j in itertools.combinations(range(members), 2):
        assert pairs.disagreement_MM[i][j] == pytest.approx((classes[i] != classes[j]).mean())
        distance = np.mean([jensenshannon(a, b) ** 2 for a, b in zip(probs[i], probs[j], strict=True)])
        assert pairs.divergence_MM[i][j] == pytest.approx(distance, abs=1e-9)
        assert pairs.divergence_MM[j][i] == pytest.approx(pairs.divergence_MM[i][j])
        assert pairs.error_correlation_MM is not None
        if wrong[i].std() and wrong[j].std():
            expected = np.corrcoef(wrong[i], wrong[j])[0, 1]
            assert pairs.error_correlation_MM[i][j] == pytest.approx(expected, abs=1e-9)
        else:
            assert math.isnan(pairs.error_correlation_MM[i][j])


def test_the_mean_divergence_of_two_is_their_mutual_information() -> None:
    p = drawn(2)
    close(member_pairs(p).mean_of("divergence_MM"), evaluate(p, intervals=False)["epistemic"], dtype=torch.float32)


def test_without_labels_and_with_one_member() -> None:
    p = drawn(1)
    assert math.isnan(member_pairs(p).mean_of("disagreement_MM"))
    assert member_pairs(Predictions(p.logits_MBC)).error_correlation_MM is None


def test_the_value_of_one_more_is_exact_for_the_brier_score() -> None:
    """Over all subsets the mean Brier score of k members is a + b / k: the fit to 1 .. 5 tells that of 6."""
    p = drawn(6)
    whole = members_curve(p, ["brier"], range(1, 7), subsets=1000)
    known = type(whole)(whole.sizes[:5], {"brier": whole.mean["brier"][:5]}, {"brier": whole.std["brier"][:5]})
    expected = whole.mean["brier"][5] - whole.mean["brier"][4]
    assert one_more(known)["brier"] == pytest.approx(expected, rel=1e-5)
    single = members_curve(p.members([0]), ["brier"])
    assert math.isnan(one_more(single)["brier"])


def test_greedy_selection_takes_the_best_each_time() -> None:
    p = drawn(5)
    selection = greedy_selection(p)
    assert sorted(selection.order) == [0, 1, 2, 3, 4]
    alone = [evaluate(p.members([m]), intervals=False)["nll"] for m in range(5)]
    assert selection.order[0] == int(np.argmin(alone))
    for k, value in enumerate(selection.values, 1):
        scores = {
            m: evaluate(p.members(sorted([*selection.order[: k - 1], m])), intervals=False)["nll"]
            for m in selection.order[k - 1 :]
        }
        assert value == pytest.approx(min(scores.values()))
    assert len(selection.best) == int(np.argmin(selection.values)) + 1


def test_a_member_that_learned_nothing_comes_last() -> None:
    p = drawn(4)
    spoiled = p.logits_MBC.clone()
    spoiled[2] = 8 * torch.randn(spoiled[2].shape, generator=torch.Generator().manual_seed(1))
    for score in ("nll", "accuracy"):
        selection = greedy_selection(Predictions(spoiled, p.labels_B), score)
        assert selection.order[-1] == 2
        assert 2 not in selection.best


def test_what_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="'nlll'"):
        greedy_selection(drawn(), "nlll")
    with pytest.raises(ConfigurationError, match="neither higher nor lower"):
        greedy_selection(drawn(), "total")

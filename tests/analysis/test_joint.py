"""Joint log-scores: closed forms, and an obvious twin that draws."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from lora_ensemble.analysis import dyadic_log_score, evaluate
from lora_ensemble.errors import ConfigurationError, DataError
from lora_ensemble.predictions import Predictions
from tolerance import close


def drawn(members: int, rows: int, seed: int = 0) -> Predictions:
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(members, rows, 3, generator=generator)
    return Predictions(logits, torch.randint(3, (rows,), generator=generator))


def of(p: Predictions) -> float:
    return evaluate(p, intervals=False)["nll_pairs"]


def test_of_one_member_it_is_the_nll() -> None:
    for rows in (40, 700):
        p = drawn(1, rows)
        nll = evaluate(p, intervals=False)["nll"]
        assert of(p) == pytest.approx(nll, rel=1e-5)
        same = Predictions(p.logits_MBC.expand(3, -1, -1), p.labels_B)
        assert of(same) == pytest.approx(nll, rel=1e-5)
    assert dyadic_log_score(drawn(1, 40)) == pytest.approx(evaluate(drawn(1, 40), intervals=False)["nll"], rel=1e-5)


def test_members_that_are_certain_of_different_worlds() -> None:
    """One of two members gives every label probability 0.8, the other 0.1: a pair has (0.64 + 0.01) / 2."""
    probs = torch.tensor([[0.8, 0.2], [0.1, 0.9]])[:, None].expand(2, 6, 2)
    p = Predictions.from_probs(probs, torch.zeros(6, dtype=torch.long))
    assert of(p) == pytest.approx(-math.log(0.325) / 2, rel=1e-5)
    assert of(p) < evaluate(p, intervals=False)["nll"]  # what is wrong together is wrong once
    assert dyadic_log_score(p, tau=2) == pytest.approx(-math.log(0.325) / 2, rel=1e-5)
    assert dyadic_log_score(p, tau=7) == pytest.approx(-math.log((0.8**7 + 0.1**7) / 2) / 7, rel=1e-5)


def test_the_slow_twins() -> None:
    p = drawn(3, 9)
    assert p.labels_B is not None
    probs_MB = p.probs_MBC.double().gather(2, p.labels_B.expand(3, -1)[..., None]).squeeze(2)
    pairs = list(itertools.combinations(range(9), 2))
    expected = [-math.log(float((probs_MB[:, i] * probs_MB[:, j]).mean())) / 2 for i, j in pairs]
    close(of(p), sum(expected) / len(expected), dtype=torch.float32)
    total = 0.0
    for (i, j), choice in itertools.product(pairs, itertools.product((0, 1), repeat=3)):
        picked = [(i, j)[k] for k in choice]
        total -= math.log(float(probs_MB[:, picked].prod(1).mean())) / 3
    close(dyadic_log_score(p, tau=3), total / len(pairs) / 8, dtype=torch.float32)


def test_some_pairs_stand_for_all() -> None:
    """Within five standard errors; a pair's score has a deviation below 2 here."""
    p = drawn(4, 1200)
    assert abs(of(p) - of(p.rows(range(500)))) < 5 * 2 / math.sqrt(500)
    assert abs(dyadic_log_score(p, pairs=4000) - dyadic_log_score(p, pairs=4000, seed=1)) < 5 * 2 / math.sqrt(2000)


def test_what_is_refused() -> None:
    with pytest.raises(DataError, match="needs labels"):
        dyadic_log_score(Predictions(torch.zeros(1, 3, 2)))
    with pytest.raises(ConfigurationError, match="tau = 0"):
        dyadic_log_score(drawn(2, 5), tau=0)

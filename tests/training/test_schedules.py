"""Schedules against their closed forms and against transformers' own."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import (
    get_constant_schedule_with_warmup,
    get_cosine_schedule_with_warmup,
    get_linear_schedule_with_warmup,
)

from lora_ensemble.errors import ConfigurationError
from lora_ensemble.training.options import Training
from lora_ensemble.training.schedules import cycle_ends, ends_of_training, learning_rate_factor

TRANSFORMERS = {
    "cosine": get_cosine_schedule_with_warmup,
    "linear": get_linear_schedule_with_warmup,
    "constant": lambda optimizer, warmup, total: get_constant_schedule_with_warmup(optimizer, warmup),
}


@pytest.mark.parametrize("schedule", sorted(TRANSFORMERS))
@pytest.mark.parametrize("warmup", [0, 7])
def test_as_in_transformers(schedule: str, warmup: int) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = TRANSFORMERS[schedule](optimizer, warmup, 40)
    training = Training(schedule=schedule, warmup_steps=warmup)  # type: ignore[arg-type]
    for step in range(40):
        assert learning_rate_factor(step, 40, 10, training) == pytest.approx(theirs.get_last_lr()[0], abs=1e-12)
        optimizer.step()
        theirs.step()


def test_step_multiplies_every_epoch_from_the_given_one_on() -> None:
    training = Training(schedule="step", step_gamma=0.5, first_step_epoch=2)
    of_epoch = [learning_rate_factor(3 * epoch, 18, 3, training) for epoch in range(6)]
    assert of_epoch == [1, 1, 0.5, 0.25, 0.125, 0.0625]
    assert learning_rate_factor(8, 18, 3, training) == 0.5  # the last step of epoch 2


def test_step_after_warmup_counts_epochs_from_the_start() -> None:
    training = Training(schedule="step", step_gamma=0.5, first_step_epoch=1, warmup_steps=2)
    assert [learning_rate_factor(s, 9, 3, training) for s in range(6)] == [0, 0.5, 1, 0.5, 0.5, 0.5]


def test_cyclic_cosine_restarts_at_full_rate() -> None:
    training = Training(schedule="cyclic-cosine", min_lr_ratio=1e-6)
    factors = [learning_rate_factor(step, 30, 10, training, cycles=3) for step in range(30)]
    once = [1e-6 + (1 - 1e-6) * 0.5 * (1 + math.cos(math.pi * t / 10)) for t in range(10)]
    assert factors == pytest.approx(once * 3, abs=1e-12)
    assert learning_rate_factor(30, 30, 10, training, cycles=3) == pytest.approx(1e-6)


def test_cyclic_cosine_with_burn_in_and_warmup() -> None:
    training = Training(schedule="cyclic-cosine", first_cycle=2.0, warmup_steps=4, min_lr_ratio=0.0)
    assert ends_of_training(44, training, 3) == [24, 34, 44]
    factors = [learning_rate_factor(step, 44, 10, training, cycles=3) for step in range(44)]
    assert factors[:5] == [0, 0.25, 0.5, 0.75, 1]
    assert factors[14] == pytest.approx(0.5)  # half of the first, longer cycle
    assert factors[24] == factors[34] == 1
    assert factors[29] == factors[39] == pytest.approx(0.5)


@given(total=st.integers(1, 10_000), cycles=st.integers(1, 30), first=st.floats(0.1, 20))
def test_cycles_partition_the_steps(total: int, cycles: int, first: float) -> None:
    try:
        ends = cycle_ends(total, cycles, first)
    except ConfigurationError:
        assert total < 20 * cycles * max(1, first, 1 / first)
        return
    assert len(ends) == cycles
    assert ends[-1] == total
    lengths = [b - a for a, b in zip([0, *ends], ends, strict=False)]
    assert min(lengths) >= 1
    unit = total / (cycles - 1 + first)
    assert abs(lengths[0] - first * unit) <= 1
    assert all(abs(length - unit) <= 1 for length in lengths[1:])


def test_too_few_steps_for_the_cycles() -> None:
    with pytest.raises(ConfigurationError, match=r"training\.cycles = 5: 3 steps are too few"):
        cycle_ends(3, 5)


def test_a_schedule_without_cycles_ends_once() -> None:
    assert ends_of_training(12, Training(schedule="cosine"), 4) == [12]

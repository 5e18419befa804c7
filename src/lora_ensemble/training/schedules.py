"""Learning-rate schedules as pure functions of the step."""

from __future__ import annotations

import math

from lora_ensemble.errors import ConfigurationError
from lora_ensemble.training.options import Training


def learning_rate_factor(
    step: int, total_steps: int, steps_per_epoch: int, training: Training, cycles: int = 1
) -> float:
    """What the learning rate of the update number `step` (from 0) is multiplied by, in [0, 1].

    With W warm-up steps the factor is step / W before step W; the schedule then runs over the remaining steps. "step"
    counts epochs from the very start. cycles: number of cycles of "cyclic-cosine".
    """
    warmup = training.warmup_steps
    if step < warmup:
        return step / warmup
    done = min((step - warmup) / max(1, total_steps - warmup), 1.0)
    match training.schedule:
        case "constant":
            return 1.0
        case "linear":
            return 1.0 - done
        case "cosine":
            return _half_cosine(done)
        case "step":
            return training.step_gamma ** max(0, step // steps_per_epoch - training.first_step_epoch + 1)
        case "cyclic-cosine":
            return _cyclic(step - warmup, cycle_ends(total_steps - warmup, cycles, training.first_cycle), training)


def cycle_ends(total_steps: int, cycles: int, first_cycle: float = 1.0) -> list[int]:
    """The step counts after which each cycle is over; the last is `total_steps`.

    The first cycle is `first_cycle` times as long as each of the others, rounded to whole steps. Raises
    ConfigurationError where a cycle would have no step.
    """
    unit = total_steps / (first_cycle + cycles - 1)
    ends = [round(unit * (first_cycle + i)) for i in range(cycles)]
    if any(b <= a for a, b in zip([0, *ends], ends, strict=False)):
        raise ConfigurationError([f"training.cycles = {cycles}: {total_steps} steps are too few for so many cycles"])
    return ends


def ends_of_training(total_steps: int, training: Training, cycles: int) -> list[int]:
    """`cycle_ends` of a whole training, warm-up included; a schedule without cycles is one."""
    if training.schedule != "cyclic-cosine":
        return [total_steps]
    warmup = training.warmup_steps
    return [warmup + end for end in cycle_ends(total_steps - warmup, cycles, training.first_cycle)]


def _half_cosine(done: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * done))


def _cyclic(step: int, ends: list[int], training: Training) -> float:
    """Cosine annealing with warm restarts (Huang et al. 2017, equation 2), with a floor."""
    cycle = next((i for i, end in enumerate(ends) if step < end), len(ends) - 1)
    start, floor = ([0, *ends])[cycle], training.min_lr_ratio
    done = min((step - start) / (ends[cycle] - start), 1.0)
    return floor + (1 - floor) * _half_cosine(done)

"""Shifts of sounds: closed forms."""

from __future__ import annotations

import math

import pytest
import torch

from lora_ensemble import registry
from lora_ensemble.audio.shift import RATE, power
from lora_ensemble.contracts import Shift
from lora_ensemble.randomness import generator


def shift(name: str, severity: int) -> Shift:
    found: Shift = registry.config_class("shifts", name)(severity=severity)
    return found


def tone(hertz: float, seconds: float = 1.0) -> torch.Tensor:
    return torch.sin(2 * math.pi * hertz * torch.arange(int(seconds * RATE)) / RATE)


def after(name: str, severity: int, wave: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(shift(name, severity).shifted({"audio": wave.numpy()}, generator(0))["audio"])


def decibels(ratio: torch.Tensor) -> float:
    return 10 * math.log10(float(ratio))


@pytest.mark.parametrize(("severity", "expected"), [(1, 20), (3, 10), (5, 0)])
def test_noise_has_the_level_that_is_told(severity: int, expected: float) -> None:
    wave = tone(440)
    noise = after("white-noise", severity, wave) - wave
    # The mean square of n normal numbers has a relative deviation of sqrt(2 / n): 0.05 dB here.
    assert decibels(power(wave) / power(noise)) == pytest.approx(expected, abs=0.25)


def test_gain_is_in_decibels() -> None:
    wave = tone(440)
    for severity, expected in ((1, 6), (5, 30)):
        assert decibels(power(wave) / power(after("gain", severity, wave))) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("name", "severity", "kept", "gone"),
    [("low-pass", 3, 2900.0, 3400.0), ("low-pass", 5, 500.0, 2000.0), ("high-pass", 2, 300.0, 100.0)],
)
def test_a_tone_beyond_the_limit_is_gone(name: str, severity: int, kept: float, gone: float) -> None:
    assert decibels(power(after(name, severity, tone(kept))) / power(tone(kept))) == pytest.approx(0, abs=0.1)
    assert float(power(after(name, severity, tone(gone)))) < 1e-6


def test_a_room_goes_on_after_the_sound_and_keeps_its_level() -> None:
    wave = torch.cat([tone(440, 0.5), torch.zeros(RATE)])
    tails = []
    for severity in (1, 3, 5):
        made = after("reverberation", severity, wave)
        assert float(power(made)) == pytest.approx(float(power(wave)), rel=1e-3)
        tails.append(float(power(made[int(0.6 * RATE) :])))
    assert 0 < tails[0] < tails[1] < tails[2]
    assert bool(torch.isfinite(after("reverberation", 5, torch.zeros(100))).all())

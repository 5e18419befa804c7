"""Quantities for readers."""

from __future__ import annotations

import pytest

from lora_ensemble.report.run_result import COSTS
from lora_ensemble.report.words import quantity


@pytest.mark.parametrize(
    ("cost", "value", "text"),
    [
        ("train_seconds", 83.21, "83.2 s"),
        ("train_seconds", 4812.0, "4,812 s"),
        ("predict_seconds_per_example", 0.00123, "1.23 ms"),
        ("predict_seconds_per_example", 2e-5, "20.0 µs"),
        ("parameters_trained", 0, "0"),
        ("parameters_trained", 640, "640"),
        ("parameters_trained", 1_234_567, "1.23 M"),
        ("peak_memory_bytes", 3 * 2**29, "1.50 GiB"),
    ],
)
def test_quantity(cost, value, text):
    assert cost in COSTS
    assert quantity(cost, value) == text

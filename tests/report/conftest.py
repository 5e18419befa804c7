"""Results that several tests look at."""

from __future__ import annotations

import pytest
from noisy_predictions import run

from lora_ensemble.report import Results, report


@pytest.fixture(scope="session")
def comparison() -> Results:
    """Two methods over two seeds."""
    runs = [
        run(method, members, seed, intervals=False)
        for method, members in (("lora", 3), ("single", 1))
        for seed in (0, 1)
    ]
    return Results("A <comparison>", tuple(runs), "What it shows.", {"data set": "noise", "seeds": 2})


@pytest.fixture(scope="session")
def compared(comparison) -> str:
    """The page of `comparison`."""
    return report(comparison)

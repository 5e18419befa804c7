"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REAL_DATA = Path(os.environ.get("LORA_ENSEMBLE_DATA", Path(__file__).parents[2] / "shared" / "data"))
os.environ["LORA_ENSEMBLE_CACHE"] = "off"  # nothing is left in the user's folders; tests of the cache have their own
REQUIRED = os.environ.get("LORA_ENSEMBLE_REQUIRE_DATA") == "1"


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of real data and real pretrained weights; where there is none, the test skips, or fails where required."""
    if not REAL_DATA.is_dir():
        (pytest.fail if REQUIRED else pytest.skip)(f"no real data at {REAL_DATA} (set LORA_ENSEMBLE_DATA)")
    return REAL_DATA

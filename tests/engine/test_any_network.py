"""The contract of an ensemble over many architectures of transformers, timm, torchvision and torch."""

from __future__ import annotations

from pathlib import Path

import pytest

import network_checks as checks
from tiny_models import around_peft
from tiny_networks import NETWORKS

pytestmark = [
    around_peft,
    pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning", "ignore::DeprecationWarning"),
]

OFTEN = sorted(NETWORKS)[::4]
"""Networks of which everything is checked on every run; of the others, what a member is together and alone."""

each = pytest.mark.parametrize("name", sorted(NETWORKS))
thorough = pytest.mark.parametrize(
    "name", [name if name in OFTEN else pytest.param(name, marks=pytest.mark.slow) for name in sorted(NETWORKS)]
)


def test_there_are_many() -> None:
    assert len(NETWORKS) >= 60


@each
def test_members_are_alone_what_they_are_together(name: str) -> None:
    checks.members_are_alone_what_they_are_together(name)
    checks.every_target_is_used(name)


@thorough
def test_a_step_is_that_of_each_member_alone(name: str) -> None:
    checks.a_step_is_that_of_each_member_alone(name)


@thorough
def test_what_is_shared_changes_nothing(name: str) -> None:
    checks.what_is_shared_changes_nothing(name)


@thorough
def test_saved_is_loaded_and_peft_agrees(name: str, tmp_path: Path) -> None:
    checks.saved_is_loaded(name, tmp_path / "ours")
    checks.peft_agrees(name, tmp_path / "peft")

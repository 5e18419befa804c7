"""Checkpoints: whatever happens to their files, a training ends with the same weights or with one line."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from lora_ensemble.errors import ConfigurationError, FileFormatError, UserError
from lora_ensemble.training.checkpoints import checkpoints
from tiny_training import EVENTFUL, InterruptedByTestError, Linears, noisy, stop_at, trained, vectors

SPLIT = vectors(augment=noisy)
FILES = ("about.json", "model.safetensors", "optimizer.pt", "rng_state.pth")


def ensemble() -> Linears:
    return Linears(2, dropout=0.3)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tensor]:
    """The weights of a training that nothing interrupts."""
    return trained(ensemble(), EVENTFUL, tmp_path_factory.mktemp("reference"), SPLIT)


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the two newest checkpoints of a training that stopped in step 6."""
    folder = tmp_path_factory.mktemp("interrupted")
    often = replace(EVENTFUL, save="end", checkpoint_seconds=0.0)
    with pytest.raises(InterruptedByTestError):
        trained(ensemble(), often, folder, SPLIT, on_progress=stop_at(6))
    assert [c.step for c in checkpoints(folder / "checkpoints")] == [4, 5]
    return folder


def damage(path: Path, how: str, where: float, bit: int) -> None:
    content = bytearray(path.read_bytes())
    position = min(int(where * len(content)), len(content) - 1)
    if how == "delete":
        path.unlink()
    elif how == "truncate":
        path.write_bytes(content[:position])
    else:
        content[position] ^= 1 << bit
        path.write_bytes(content)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(FILES),
    how=st.sampled_from(["flip", "truncate", "delete"]),
    where=st.floats(0, 1),
    bit=st.integers(0, 7),
    both=st.booleans(),
)
def test_damage_is_passed_over_or_one_line(
    interrupted: Path,
    reference: dict[str, Tensor],
    tmp_path_factory: pytest.TempPathFactory,
    name: str,
    how: str,
    where: float,
    bit: int,
    both: bool,
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    shutil.rmtree(folder)
    shutil.copytree(interrupted, folder)
    for step in (4, 5) if both else (5,):
        damage(folder / "checkpoints" / f"checkpoint-{step}" / name, how, where, bit)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        if both:
            with pytest.raises(FileFormatError, match=r"no checkpoint in .* is whole .* remove") as caught:
                trained(ensemble(), EVENTFUL, folder, SPLIT)
            assert "\n" not in str(caught.value)
            return
        after = trained(ensemble(), EVENTFUL, folder, SPLIT)
    lines = [str(w.message) for w in said]
    assert len(lines) == 1
    assert "checkpoint-5 is passed over" in lines[0]
    assert lines[0].endswith("going on from checkpoint-4")
    assert "\n" not in lines[0]
    assert all(torch.equal(after[n], reference[n]) for n in reference)
    shutil.rmtree(folder)


def test_a_description_that_was_edited_is_damage(interrupted: Path, tmp_path: Path) -> None:
    shutil.copytree(interrupted, tmp_path / "run")
    for step in (4, 5):
        path = tmp_path / "run" / "checkpoints" / f"checkpoint-{step}" / "about.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"updates": 1}))
    with pytest.raises(FileFormatError, match=r"no checkpoint in .* is whole"):
        trained(ensemble(), EVENTFUL, tmp_path / "run", SPLIT)


def test_nothing_that_a_checkpoint_holds_is_executed(interrupted: Path, tmp_path: Path) -> None:
    """Also where its author gives it a digest that fits."""
    from lora_ensemble.disk.digests import digests_in, sealed

    class Touch:
        def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
            return Path, (str(tmp_path / "touched"),)

    shutil.copytree(interrupted, tmp_path / "run")
    for step in (4, 5):
        folder = tmp_path / "run" / "checkpoints" / f"checkpoint-{step}"
        torch.save({"state": Touch(), "param_groups": []}, folder / "optimizer.pt")
        about = json.loads((folder / "about.json").read_text())
        about["files"] = digests_in(folder, without=["about.json"])
        (folder / "about.json").write_text(json.dumps(sealed(about)))
    with pytest.raises(FileFormatError, match=r"optimizer.pt is damaged"):
        trained(ensemble(), EVENTFUL, tmp_path / "run", SPLIT)


def test_another_number_of_processes_is_refused(interrupted: Path, tmp_path: Path) -> None:
    from lora_ensemble.disk.digests import sealed

    shutil.copytree(interrupted, tmp_path / "run")
    path = tmp_path / "run" / "checkpoints" / "checkpoint-5" / "about.json"
    path.write_text(json.dumps(sealed(json.loads(path.read_text()) | {"processes": 2})))
    with pytest.raises(ConfigurationError, match="written by 2 processes, now there are 1"):
        trained(ensemble(), EVENTFUL, tmp_path / "run", SPLIT)


def test_the_command_line_names_a_damaged_checkpoint_in_one_line(tmp_path: Path) -> None:
    """In a process of its own, in which warnings are no errors."""
    words = [
        *("digits-lora", "--members", "2", "--output", str(tmp_path / "run"), "--device", "cpu"),
        *("--training.max-steps", "4", "--training.save", "steps", "--training.save-steps", "1"),
    ]
    command = [sys.executable, "-m", "lora_ensemble", "train", *words]
    subprocess.run(command, capture_output=True, check=True)
    (tmp_path / "run" / "finished.json").unlink()  # as if it had been killed before its end
    shutil.rmtree(tmp_path / "run" / "ensemble")
    damage(tmp_path / "run" / "checkpoints" / "checkpoint-4" / "optimizer.pt", "flip", 0.5, 3)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    named = [line for line in done.stderr.splitlines() if "checkpoint-4" in line]
    assert len(named) == 1
    assert named[0].startswith("lora-ensemble: warning: ")
    assert named[0].endswith("going on from checkpoint-3")


# Of versions before, which trained with transformers' Trainer ---------------------------------------------------------

BEFORE = Path(__file__).parent / "before"


def test_a_training_that_began_before_the_upgrade_goes_on(reference: dict[str, Tensor], tmp_path: Path) -> None:
    shutil.copytree(BEFORE, tmp_path / "checkpoints")
    assert [(c.step, c.kept, c.epochs) for c in checkpoints(tmp_path / "checkpoints")] == [(7, True, 1.4)]
    after = trained(ensemble(), EVENTFUL, tmp_path, SPLIT)
    for name, values in reference.items():  # another processor may have written it
        torch.testing.assert_close(after[name], values, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json", "about.json"])
@pytest.mark.parametrize("how", ["delete", "truncate"])
def test_one_from_before_that_lacks_something_is_damage(name: str, how: str, tmp_path: Path) -> None:
    shutil.copytree(BEFORE, tmp_path / "checkpoints")
    damage(tmp_path / "checkpoints" / "checkpoint-7" / name, how, 0.5, 0)
    with pytest.raises(FileFormatError, match=r"no checkpoint in .* is whole"):
        trained(ensemble(), EVENTFUL, tmp_path, SPLIT)


# Full disks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [0, 100, 400, 700, 1500, 2500, 4000, 8000])
def test_a_disk_that_is_full_anywhere_in_a_checkpoint(limit: int, tmp_path: Path, interrupted: Path) -> None:
    shutil.copytree(interrupted, tmp_path / "run")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        with pytest.raises(UserError, match=r"^cannot write ") as caught:
            trained(ensemble(), EVENTFUL, tmp_path / "run", SPLIT)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "\n" not in str(caught.value)
    assert [c.step for c in checkpoints(tmp_path / "run" / "checkpoints")] == [4, 5]

"""accelerate's state belongs to the process: a training leaves it as it was, and refuses what it cannot do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from lora_ensemble.errors import ConfigurationError
from lora_ensemble.training.acceleration import accelerated
from tiny_training import BASE, Linears, trained


def test_trainings_of_different_precision_follow_one_another(tmp_path: Path) -> None:
    """Each is the same as in a process of its own."""
    order = ("fp32", "bf16", "fp32", "bf16")
    found = [trained(Linears(2), replace(BASE, precision=p), tmp_path / str(n)) for n, p in enumerate(order)]
    assert all(torch.equal(found[0][name], found[2][name]) for name in found[0])
    assert all(torch.equal(found[1][name], found[3][name]) for name in found[0])
    assert not torch.equal(found[0]["weight"], found[1]["weight"])


def test_the_callers_accelerator_is_left_alone(tmp_path: Path) -> None:
    AcceleratorState._reset_state(reset_partial_state=True)  # of other tests in this process
    own = Accelerator(cpu=True, mixed_precision="bf16")
    own.gradient_state.plugin_kwargs["num_steps"] = 4
    own.sync_gradients = False  # in the middle of an accumulation
    before = Linears(2).trainable_state()
    after = trained(Linears(2), BASE, tmp_path)
    assert not torch.equal(after["weight"], before["weight"])
    assert own.state.mixed_precision == "bf16"
    assert own.sync_gradients is False
    own.sync_gradients = True
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.mark.parametrize(
    ("variable", "name"),
    [("ACCELERATE_USE_FSDP", "FSDP"), ("ACCELERATE_USE_DEEPSPEED", "DeepSpeed")],
)
def test_what_shards_the_members_is_refused(
    variable: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "true")
    with pytest.raises(ConfigurationError, match=f"^{name}: training runs on one device, or on several"):
        trained(Linears(2), BASE, tmp_path)


def test_an_interrupted_training_leaves_nothing_behind() -> None:
    with pytest.raises(KeyError), accelerated(torch.device("cpu"), "bf16"):
        raise KeyError
    with accelerated(torch.device("cpu"), "fp32") as accelerator:
        assert accelerator.mixed_precision == "no"

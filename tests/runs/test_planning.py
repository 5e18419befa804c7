"""`plan`: what it counts is what there is, and what it finds fits."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from lora_ensemble.cli import main
from lora_ensemble.cli.commands.plan import in_bytes
from lora_ensemble.errors import UserError
from lora_ensemble.experiment import Experiment
from lora_ensemble.recipes import digits
from lora_ensemble.runs.building import build
from lora_ensemble.runs.planning import Estimate, estimate


def experiment(members: int = 4, **training: object) -> Experiment:
    recipe = digits.lora()
    options = replace(recipe.training, device="cpu", **training)  # type: ignore[arg-type]
    return replace(recipe, method=replace(recipe.method, members=members), training=options)


def test_what_is_counted_is_what_there_is() -> None:
    found = estimate(experiment())
    _, ensemble = build(experiment(), 10)
    trained = sum(p.numel() for p in ensemble.parameters() if p.requires_grad)
    assert found.parameters == sum(p.numel() for p in ensemble.parameters()) * 4
    assert (found.gradients, found.optimizer) == (trained * 4, trained * 8)
    assert found.members_per_pass == 4
    assert found.steps_per_epoch == -(-100 // experiment().training.batch_size)
    assert found.seconds_per_step > 0


def test_activations_are_of_the_largest_pass() -> None:
    two, one = (estimate(experiment(2, members_per_pass=size)).activations for size in (2, 1))
    assert one < two <= 2.05 * one
    half = estimate(experiment(2, batch_size=16)).activations
    assert half < two
    checkpointed = estimate(experiment(2, gradient_checkpointing=True)).activations
    assert checkpointed < two / 2


def fixed(found: Estimate) -> int:
    return found.bytes - found.activations


def test_what_is_found_fits() -> None:
    whole = estimate(experiment())
    less = fixed(whole) + whole.activations * 3 // 5
    found = estimate(experiment(), less)
    assert found.bytes <= less
    assert 1 <= found.members_per_pass < 4
    assert found.batch_size == whole.batch_size
    least = fixed(whole) + whole.activations // 12
    smaller = estimate(experiment(), least)
    assert smaller.bytes <= least
    assert smaller.members_per_pass == 1
    assert smaller.batch_size < whole.batch_size
    assert smaller.batch_size * smaller.gradient_accumulation >= whole.batch_size


def test_what_cannot_fit_is_said() -> None:
    with pytest.raises(UserError, match="weights, gradients and optimiser alone take"):
        estimate(experiment(), 1000)


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    state = torch.get_rng_state()
    assert main(["plan", "digits-lora", "--members", "2", "--memory", "1GiB", "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    assert "| activations |" in said
    assert "--training.members-per-pass 2" in said
    assert torch.equal(torch.get_rng_state(), state)
    for words, message in ((["--memory", "lots"], "as in 24GiB"), (["--memory", "10KiB"], "too little")):
        assert main(["plan", "digits-lora", *words]) == 2
        assert message in capsys.readouterr().err


def test_units() -> None:
    assert (in_bytes("24GiB"), in_bytes("1.5 MB"), in_bytes("8KiB")) == (24 * 2**30, 1_500_000, 8192)
    for wrong in ("24", "GiB", "0GiB", "-1GiB", "24gb"):
        with pytest.raises(UserError, match="--memory"):
            in_bytes(wrong)

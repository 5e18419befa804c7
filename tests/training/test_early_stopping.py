"""Stopping early: the best epoch is chosen on the validation split alone, and resuming gives the same bits."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lora_ensemble import train
from lora_ensemble.contracts import Split
from lora_ensemble.errors import ConfigurationError, DataError, DivergedError
from lora_ensemble.recipes import digits
from lora_ensemble.training.checkpoints import checkpoints
from lora_ensemble.training.fitting import Cost, fit
from lora_ensemble.training.options import ADDED, Training
from tiny_training import BACKBONE, BASE, EVENTFUL, Linears, noisy, trained, vectors

LONG = replace(BASE, epochs=12, learning_rate=0.3, gradient_clip=None, schedule="constant", save="epoch")


def misleading() -> Split:
    """Validation rows of which a third has another label: being sure of the rule costs more and more."""
    split = vectors()
    labels = np.asarray(split.labels).copy()
    labels[::3] = (labels[::3] + 1) % 3
    return replace(split, labels=labels)


def run(training: Training, folder: Path, split: Split | None = None) -> tuple[Linears, Cost]:
    ensemble = Linears(3, dropout=0.1)
    return ensemble, fit(ensemble, split or vectors(), BACKBONE, training, 7, folder, validation=misleading())


def obvious_loss(weights: dict[str, torch.Tensor]) -> float:
    """NLL of the mean probability, row by row."""
    split = misleading()
    losses = []
    for example, label in zip(split.examples, split.labels, strict=True):  # type: ignore[arg-type]
        probs = [
            torch.softmax(w @ torch.from_numpy(example["x"]) + b, 0)[label]
            for w, b in zip(weights["weight"], weights["bias"], strict=True)
        ]
        losses.append(-torch.stack(probs).mean().log())
    return float(torch.stack(losses).mean())


def test_ends_with_the_best_epoch(tmp_path: Path) -> None:
    run(LONG, tmp_path / "all")
    losses = {c.step: obvious_loss(c.weights()) for c in checkpoints(tmp_path / "all" / "checkpoints")}
    best = min(losses, key=lambda step: losses[step])
    assert best < 60  # it pays to stop
    ensemble, cost = run(replace(LONG, early_stopping=2), tmp_path / "early")
    assert (cost.best_step, cost.steps) == (best, best + 12)
    assert cost.validation_loss == pytest.approx(losses[best], rel=1e-5)
    kept = next(c for c in checkpoints(tmp_path / "all" / "checkpoints") if c.step == best).weights()
    assert all(torch.equal(ensemble.trainable_state()[name], kept[name]) for name in kept)


def test_resuming_at_any_step_gives_the_same_bits(tmp_path: Path) -> None:
    training = replace(EVENTFUL, epochs=8, early_stopping=1, learning_rate=0.3, gradient_clip=None, schedule="constant")
    split, whole = vectors(augment=noisy), tmp_path / "whole"
    reference, cost = run(training, whole, split)
    steps = [c.step for c in checkpoints(whole / "checkpoints")]
    assert steps == list(range(1, cost.steps + 1))
    assert cost.steps < 40
    for last in steps[2::3]:
        folder = tmp_path / str(last)
        shutil.copytree(whole, folder)
        for later in steps[last:]:
            shutil.rmtree(folder / "checkpoints" / f"checkpoint-{later}")
        torch.manual_seed(last)
        resumed, again = run(training, folder, split)
        assert (again.steps, again.best_step, again.validation_loss) == (
            cost.steps,
            cost.best_step,
            cost.validation_loss,
        )
        for name, values in reference.trainable_state().items():
            assert torch.equal(resumed.trainable_state()[name], values), f"resumed at step {last}"


def test_some_batches_are_always_the_same_ones(tmp_path: Path) -> None:
    training = replace(LONG, epochs=1, early_stopping=2)
    found = [
        run(replace(training, validation_batches=n), tmp_path / str(i))[1].validation_loss
        for i, n in enumerate([2, 2, 6, None])
    ]
    assert found[0] == found[1] != found[2] == found[3]


def test_a_run_of_the_digits_stops(tmp_path: Path) -> None:
    recipe = digits.lora()
    training = replace(recipe.training, epochs=2, early_stopping=1, device="cpu")
    experiment = replace(recipe, training=training, method=replace(recipe.method, members=2))
    cost = train(experiment, tmp_path / "run", on_progress=lambda progress: None).cost
    assert cost["best_step"] in (4, 8)


def test_what_does_not_fit(tmp_path: Path) -> None:
    early = replace(BASE, early_stopping=1)
    with pytest.raises(ConfigurationError, match="no validation split"):
        trained(Linears(2), early, tmp_path)
    with pytest.raises(DataError, match="no rows or no labels"):
        fit(Linears(2), vectors(), BACKBONE, early, 7, tmp_path, validation=vectors(labels=None))
    assert any("cycle" in p for p in replace(early, schedule="cyclic-cosine").problems())
    assert any("needs training.early_stopping" in p for p in replace(BASE, validation_batches=3).problems())
    assert any("at least 1" in p for p in replace(BASE, early_stopping=0).problems())


def test_options_that_came_later_change_nothing_of_before() -> None:
    experiment = digits.lora()
    assert not {f"training.{name}" for name in ADDED} & experiment.determining().keys()
    changed = replace(experiment, training=replace(experiment.training, early_stopping=3))
    assert changed.determining()["training.early_stopping"] == 3


# Weights of classes by hand -------------------------------------------------------------------------------------------


def test_class_weights_by_hand(tmp_path: Path) -> None:
    counts = np.bincount(np.asarray(vectors().labels))
    by_hand = replace(BASE, class_weight_values=tuple(float(1 / n) for n in counts))
    first = trained(Linears(2), by_hand, tmp_path / "1")
    second = trained(Linears(2), replace(BASE, class_weights="ins"), tmp_path / "2")
    for name in first:
        torch.testing.assert_close(first[name], second[name], rtol=1e-5, atol=1e-6)
    with pytest.raises(ConfigurationError, match="2 values, there are 3 classes"):
        trained(Linears(2), replace(BASE, class_weight_values=(1.0, 2.0)), tmp_path / "3")
    assert any("give one of them" in p for p in replace(by_hand, class_weights="ins").problems())
    assert any("must be at least 0" in p for p in replace(BASE, class_weight_values=(-1.0, 1.0)).problems())


def test_a_checkpoint_is_promised_only_where_there_is_one(tmp_path: Path) -> None:
    wild = replace(BASE, learning_rate=1e38, gradient_clip=None, schedule="constant", optimizer="sgd")
    with pytest.raises(DivergedError) as none:
        trained(Linears(2), wild, tmp_path / "none")
    assert "checkpoint" not in str(none.value)
    with pytest.raises(DivergedError, match="the last checkpoint, checkpoint-1, is kept"):
        trained(Linears(2), replace(wild, save="steps", save_steps=1), tmp_path / "some")

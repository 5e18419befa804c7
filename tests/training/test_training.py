"""The trainer on a tiny ensemble: solo equivalence, resuming, bad input."""

from __future__ import annotations

import json
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lora_ensemble.errors import ConfigurationError, DataError, DivergedError, UserError
from lora_ensemble.training.checkpoints import checkpoints, rotate
from lora_ensemble.training.class_weights import class_weights
from lora_ensemble.training.fitting import fit
from lora_ensemble.training.progress import Progress
from tiny_training import (
    BACKBONE,
    BASE,
    CLASSES,
    EVENTFUL,
    ROWS,
    WIDTH,
    InterruptedByTestError,
    Linears,
    noisy,
    stacked,
    stop_at,
    trained,
    vectors,
)
from tolerance import close

# Solo equivalence -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": "adamw", "weight_decay": 0.1},
        {"optimizer": "adam", "weight_decay": 0.1, "data_order": "independent"},
        {"optimizer": "sgd", "momentum": 0.9, "nesterov": True, "members_per_pass": 2},
        {"data_order": "independent", "members_per_pass": 2, "gradient_accumulation": 2},
        {"class_weights": "ens", "schedule": "linear", "warmup_steps": 3, "gradient_clip": None},
    ],
    ids=lambda c: "-".join(map(str, c.values())),
)
def test_together_equals_alone(tmp_path: Path, changes: dict[str, Any]) -> None:
    training, split = replace(BASE, **changes), vectors(augment=noisy)
    together = trained(Linears(3), training, tmp_path / "together", split)
    for m in range(3):
        alone = trained(Linears(1, first_member=m), training, tmp_path / str(m), split)
        for name in alone:
            close(alone[name][0], together[name][m], depth=8)


def test_the_members_get_batches_of_their_own_only_when_asked(tmp_path: Path) -> None:
    equal = Linears(2)
    equal.weight.data[1] = equal.weight.data[0]
    twin = Linears(2)
    twin.load_state_dict(equal.state_dict())
    shared = trained(equal, BASE, tmp_path / "shared")
    independent = trained(twin, replace(BASE, data_order="independent"), tmp_path / "independent")
    assert torch.equal(shared["weight"][0], shared["weight"][1])
    assert not torch.allclose(independent["weight"][0], independent["weight"][1])


def test_trains_as_a_plain_loop_does(tmp_path: Path) -> None:
    """The slow, obvious twin of one member: torch's AdamW, clip_grad_norm_ and a cosine."""
    mine = trained(Linears(1), BASE, tmp_path)
    start, split = Linears(1), vectors()
    linear = nn.Linear(WIDTH, CLASSES)
    linear.load_state_dict({"weight": start.weight.data[0], "bias": start.bias.data[0]})
    from lora_ensemble.training.order import MemberBatches

    optimizer = torch.optim.AdamW(linear.parameters(), lr=0.05, weight_decay=0.0)
    sampler, step = MemberBatches(ROWS, 8, seed=7), 0
    for sampler.epoch in range(2):
        for rows in sampler:
            for group in optimizer.param_groups:
                group["lr"] = 0.05 * 0.5 * (1 + np.cos(np.pi * step / 12))
            logits = linear(stacked([split.examples[i] for i in rows])["x"])
            nn.functional.cross_entropy(logits, torch.as_tensor(split.labels[rows])).backward()
            nn.utils.clip_grad_norm_(linear.parameters(), 0.1)
            optimizer.step()
            optimizer.zero_grad()
            step += 1
    close(mine["weight"][0], linear.weight.data, depth=8)
    close(mine["bias"][0], linear.bias.data, depth=8)


def test_accumulated_batches_equal_one_big_batch(tmp_path: Path) -> None:
    big = trained(Linears(3), BASE, tmp_path / "big")
    small = trained(Linears(3), replace(BASE, batch_size=4, gradient_accumulation=2), tmp_path / "small")
    for name in big:
        close(small[name], big[name], depth=8)


def test_joint_clip_differs_from_a_clip_per_member(tmp_path: Path) -> None:
    sgd = replace(BASE, optimizer="sgd", max_steps=1, learning_rate=1.0, schedule="constant")
    moved = {
        clip: trained(Linears(3), replace(sgd, clip=clip), tmp_path / clip)
        for clip in ("member", "joint")  # type: ignore[arg-type]
    }
    start = Linears(3).trainable_state()
    norms = {
        clip: torch.cat([(state[n] - start[n]).flatten(1) for n in start], 1).norm(dim=1)
        for clip, state in moved.items()
    }
    close(norms["member"], torch.full((3,), 0.1), depth=256)
    close(norms["joint"].norm(), torch.tensor(0.1), depth=256)


def test_cycles_are_told_to_the_ensemble(tmp_path: Path) -> None:
    ensemble = Linears(3)
    trained(ensemble, replace(BASE, schedule="cyclic-cosine"), tmp_path)
    assert ensemble.cycles == [0, 1, 2]  # one per member


# Resuming -------------------------------------------------------------------------------------------------------------


def test_resuming_at_any_checkpoint_gives_the_same_bits(tmp_path: Path) -> None:
    """With dropout from the global random numbers, augmentation, and an epoch that ends with a short batch."""
    split, whole = vectors(augment=noisy), tmp_path / "whole"
    reference = trained(Linears(3, dropout=0.3), EVENTFUL, whole, split)
    steps = [c.step for c in checkpoints(whole / "checkpoints")]
    assert steps == list(range(1, 11))
    for last in steps:
        folder = tmp_path / str(last)
        shutil.copytree(whole, folder)
        for later in steps[last:]:
            shutil.rmtree(folder / "checkpoints" / f"checkpoint-{later}")
        # What a process that died while it wrote the next checkpoint leaves behind:
        (folder / "checkpoints" / ".partial-" / f"checkpoint-{last + 1}").mkdir(parents=True)
        torch.manual_seed(last)
        resumed = trained(Linears(3, dropout=0.3), EVENTFUL, folder, split)
        assert all(torch.equal(resumed[name], reference[name]) for name in reference), f"resumed at step {last}"
        assert not list((folder / "checkpoints").glob(".partial-*"))
        lines = [json.loads(line)["step"] for line in (folder / "log.jsonl").read_text().splitlines()]
        assert lines == steps  # each step once, whatever was logged before


def test_only_checkpoints_that_are_needed_remain(tmp_path: Path) -> None:
    def steps(folder: str) -> list[int]:
        return [c.step for c in checkpoints(tmp_path / folder / "checkpoints")]

    often = replace(BASE, checkpoint_seconds=0.0)
    with pytest.raises(InterruptedByTestError):
        trained(Linears(2), often, tmp_path / "a", on_progress=stop_at(5))
    assert steps("a") == [3, 4]  # the newest, to resume from, and the one before should it be damaged
    resumed = trained(Linears(2), often, tmp_path / "a")
    rotate(tmp_path / "a" / "checkpoints", None, finished=True)
    assert not (tmp_path / "a" / "checkpoints").exists()
    for folder, keep, asked_for in (("b", None, [6, 12]), ("c", 1, [12])):
        trained(Linears(2), replace(often, save="epoch", keep_checkpoints=keep), tmp_path / folder)
        rotate(tmp_path / folder / "checkpoints", keep, finished=True)
        assert steps(folder) == asked_for
    plain = trained(Linears(2), BASE, tmp_path / "d")
    assert all(torch.equal(resumed[name], plain[name]) for name in plain)


def test_a_checkpoint_of_another_ensemble_is_refused(tmp_path: Path) -> None:
    trained(Linears(2), EVENTFUL, tmp_path)
    with pytest.raises(UserError, match=r"shape"):
        trained(Linears(3), EVENTFUL, tmp_path)


def test_no_checkpoint_holds_more_than_what_is_trained(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    ensemble = Linears(2)
    ensemble.frozen = nn.Linear(50, 50).requires_grad_(False)
    trained(ensemble, replace(BASE, save="epoch"), tmp_path)
    weights = load_file(checkpoints(tmp_path / "checkpoints")[0].folder / "model.safetensors")
    assert weights.keys() == {"weight", "bias"}


# Bad input ------------------------------------------------------------------------------------------------------------


class BreaksAt(Linears):
    """Member 1's logits become infinite in the given forward pass."""

    at = 0

    def member_logits(self, members: range, inputs: dict[str, Any], shared: bool) -> Tensor:
        self.at -= 1
        logits = super().member_logits(members, inputs, shared)
        return logits * torch.tensor([1.0, torch.inf, 1.0])[:, None, None] if self.at == 0 else logits


def test_a_diverged_member_stops_the_training_and_the_last_checkpoint_stays(tmp_path: Path) -> None:
    ensemble = BreaksAt(3)
    ensemble.at = 9
    with pytest.raises(DivergedError, match=r"^member 1 diverged: .* at step 9 of 12"):
        trained(ensemble, replace(BASE, save="epoch"), tmp_path)
    assert [c.step for c in checkpoints(tmp_path / "checkpoints")] == [6]


def test_label_out_of_range(tmp_path: Path) -> None:
    labels = vectors().labels.copy()  # type: ignore[union-attr]
    labels[5] = 3
    with pytest.raises(DataError, match=r"'row-5': label 3 is out of range, there are 3 classes \(0 to 2\)"):
        trained(Linears(2), BASE, tmp_path, vectors(labels=labels))


@pytest.mark.parametrize("labels", [None, np.zeros(3, dtype=np.int64)])
def test_labels_missing(tmp_path: Path, labels: np.ndarray | None) -> None:
    with pytest.raises(DataError, match="labels"):
        trained(Linears(2), BASE, tmp_path, vectors(labels=labels))


@pytest.mark.parametrize("workers", [0, 1])
def test_input_that_is_nan_names_its_example(tmp_path: Path, workers: int) -> None:
    examples = [dict(e) for e in vectors().examples]
    examples[11] = {"x": np.full(WIDTH, np.nan, dtype=np.float32)}
    with pytest.raises(DataError) as caught:
        trained(Linears(2), replace(BASE, workers=workers), tmp_path, vectors(examples=examples))
    assert str(caught.value) == "example 'row-11': x has a value that is NaN or infinite"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"precision": "fp16"}, "needs a GPU"),
        ({"warmup_steps": 12}, "only 12 steps"),
        ({"schedule": "cyclic-cosine", "cycles": 20}, "too few"),
    ],
)
def test_options_that_do_not_fit(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        trained(Linears(2), replace(BASE, **changes), tmp_path)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_weights_in_half_precision_are_not_trained(tmp_path: Path, dtype: torch.dtype) -> None:
    with pytest.raises(ConfigurationError, match=r"the trained weights are b?float16, in which small updates are lost"):
        trained(Linears(2).to(dtype), BASE, tmp_path)


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """The system refuses to write files beyond a size, as a full disk would."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("limit", [100_000, 170_000], ids=["weights", "optimiser"])
def test_full_disk_is_one_line_and_loses_nothing(tmp_path: Path, limit: int) -> None:
    wide, often = 4_000, replace(EVENTFUL, optimizer="adamw", momentum=0.0, gradient_accumulation=1, batch_size=24)
    split, folder = vectors(width=wide), tmp_path / "run"
    reference = trained(Linears(3, width=wide), often, tmp_path / "reference", split)
    with pytest.raises(InterruptedByTestError):
        trained(Linears(3, width=wide), often, folder, split, on_progress=stop_at(2))
    with files_up_to(limit), pytest.raises(UserError, match=r"^cannot write .*checkpoint-2: .+") as caught:
        trained(Linears(3, width=wide), often, folder, split)
    assert "\n" not in str(caught.value)
    assert [p.name for p in (folder / "checkpoints").iterdir()] == ["checkpoint-1"]
    after = trained(Linears(3, width=wide), often, folder, split)
    assert all(torch.equal(after[name], reference[name]) for name in reference)


# What it tells --------------------------------------------------------------------------------------------------------


def test_progress_log_and_cost(tmp_path: Path) -> None:
    seen: list[Progress] = []
    cost = fit(Linears(3), vectors(), BACKBONE, replace(BASE, epochs=6), 7, tmp_path, seen.append)
    assert [seen[0].step, seen[-1].step] == [1, 36]
    assert all(len(p.member_losses) == 3 and p.total_steps == 36 for p in seen)
    assert seen[-1].remaining == 0
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, 37))
    assert lines[-1]["loss"] == pytest.approx(sum(lines[-1]["member_losses"]))
    assert lines[-1]["loss"] < lines[0]["loss"]
    assert lines[18]["learning_rate"] == pytest.approx(0.05 * 0.5)  # of the step itself, half of the cosine
    assert cost.steps == 36
    assert cost.trainable_parameters == 3 * CLASSES * (WIDTH + 1)
    assert cost.examples_per_second == pytest.approx(6 * ROWS / cost.seconds)


def test_tensorboard_gets_every_member(tmp_path: Path) -> None:
    trained(Linears(3), replace(BASE, tensorboard=True), tmp_path)
    events = b"".join(p.read_bytes() for p in (tmp_path / "tensorboard").iterdir())
    for tag in (b"loss/sum", b"loss/member_0", b"loss/member_2", b"learning_rate"):
        assert tag in events


def test_mixed_precision_leaves_the_ensemble_as_it_was(tmp_path: Path) -> None:
    full, ensemble = trained(Linears(3), BASE, tmp_path / "fp32"), Linears(3)
    mixed = trained(ensemble, replace(BASE, precision="bf16"), tmp_path / "bf16")
    assert "forward" not in vars(ensemble)
    assert mixed["weight"].dtype == torch.float32
    assert not torch.equal(mixed["weight"], full["weight"])
    torch.testing.assert_close(mixed["weight"], full["weight"], rtol=0.1, atol=0.1)


def test_the_callers_random_numbers_are_not_part_of_the_result(tmp_path: Path) -> None:
    torch.manual_seed(1)
    first = trained(Linears(2, dropout=0.5), BASE, tmp_path / "1")
    torch.manual_seed(2)
    second = trained(Linears(2, dropout=0.5), BASE, tmp_path / "2")
    assert torch.equal(first["weight"], second["weight"])


def test_class_weights_closed_form() -> None:
    labels = np.repeat([0, 1, -100, 3], [1, 4, 5, 16])
    assert class_weights(labels, 4, "uniform", 0.9) is None
    expected = {"ins": [1, 1 / 4, 0, 1 / 16], "isns": [1, 1 / 2, 0, 1 / 4]}
    expected["ens"] = [1.0, 0.1 / (1 - 0.9**4), 0, 0.1 / (1 - 0.9**16)]
    for kind, weights in expected.items():
        got = class_weights(labels, 4, kind, 0.9)
        assert got == pytest.approx(np.array(weights) / sum(weights), rel=1e-6)

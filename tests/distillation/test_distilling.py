"""`distill`: the student learns what the ensemble says, and is a run like any other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import Tensor

from lora_ensemble import Run
from lora_ensemble.cli import main
from lora_ensemble.distillation.averaging import greedy_soup, low_rank
from lora_ensemble.distillation.teaching import Mixed, divergence, pooled
from tolerance import close


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("run") / "digits"
    words = ["--members", "3", "--method.r", "2", "--epochs", "6", "--device", "cpu"]
    assert main(["train", "digits-lora", *words, "--output", str(output)]) == 0
    return output


@pytest.fixture(scope="module")
def student(teacher: Path) -> Path:
    assert main(["distill", str(teacher), "--steps", "60"]) == 0
    return teacher.with_name("digits-student")


def distance(teacher: Path, other: Path, member: int) -> float:
    """KL of one member's distributions on the test split, from the teacher's member 0."""
    theirs, own = (Run(folder).predict("test").logits_MBC for folder in (teacher, other))
    return float(divergence(theirs[0].log_softmax(-1), own[member].log_softmax(-1)))


def test_a_head_is_near_its_own_member(teacher: Path, student: Path) -> None:
    own = distance(teacher, student, 0)
    assert own < distance(teacher, student, 1)
    assert own < 0.5 * distance(teacher, teacher, 1)


def test_the_student_is_a_run_like_any_other(
    teacher: Path, student: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run(student)
    p, whole = run.predict("test"), Run(teacher).predict("test")
    assert p.num_members == 3
    assert run.calibrated is not None
    assert torch.corrcoef(torch.stack([p.epistemic_B, whole.epistemic_B]))[0, 1] > 0.5
    assert p.logits_MBC.shape == whole.logits_MBC.shape
    for command in (["evaluate"], ["verify"], ["calibrate"], ["export", "--output", str(tmp_path / "exported")]):
        assert main([command[0], str(student), *command[1:]]) == 0
    assert (tmp_path / "exported" / "member-000" / "adapter_config.json").is_file()
    rows = tmp_path / "rows"
    rows.mkdir()
    test = run.experiment.dataset.load("test")
    for number in range(5):
        Image.fromarray(np.asarray(test.examples[number]["image"])).save(rows / f"{number}.png")
    output = tmp_path / "answers.parquet"
    assert main(["predict", str(student), "--input", str(rows), "--output", str(output), "--raw"]) == 0
    close(pd.read_parquet(output)["epistemic"].to_numpy(), p.rows(range(5)).epistemic_B, dtype=torch.float32)
    more = ["--output", str(tmp_path / "more"), "--input", str(rows), "--steps", "2"]
    assert main(["distill", str(teacher), *more]) == 0
    assert main(["train", "digits-lora", "--output", str(student)]) == 2
    capsys.readouterr()


@pytest.mark.parametrize("kind", ["average", "soup"])
def test_averages_are_runs_of_one_network(kind: str, teacher: Path, tmp_path: Path) -> None:
    output = tmp_path / kind
    assert main(["distill", str(teacher), "--kind", kind, "--r", "6", "--output", str(output)]) == 0
    run = Run(output)
    assert run.predict("test").num_members == 1
    whole = Run(teacher).ensemble()
    mean: dict[str, Tensor] = {}
    chosen = run.adopted["members"] if run.adopted else []
    for name, layer in whole.adapters():  # type: ignore[attr-defined]
        mean[name] = torch.stack([layer.update(m) for m in chosen]).mean(0)
    for name, layer in run.ensemble().adapters():  # type: ignore[attr-defined]
        close(layer.update(0), mean[name])  # rank 6 holds the mean of three updates of rank 2


def test_the_nearest_matrix_of_a_rank() -> None:
    update = torch.randn(12, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    A, B = low_rank(update, 3, 2)
    for half, a, b in zip(update.chunk(2), A.chunk(2), B.chunk(2), strict=True):
        values = torch.linalg.svdvals(half)
        close((half - b @ a).square().sum(), values[3:].square().sum())
    A, B = low_rank(update, 10, 1)
    close(B @ A, update)


def test_a_soup_takes_what_helps() -> None:
    worth = {0: 3.0, 1: -1.0, 2: 2.0}
    assert greedy_soup([0.2, 0.5, 0.1], lambda some: -sum(worth[m] for m in some)) == [2, 0]


def test_divergence_and_pool_are_those_of_torch() -> None:
    generator = torch.Generator().manual_seed(0)
    p, q = torch.randn(2, 3, 5, 4, generator=generator).log_softmax(-1)
    for m in range(3):
        expected = torch.nn.functional.kl_div(q[m], p[m], log_target=True, reduction="batchmean")
        close(divergence(p, q)[m], expected)
    close(pooled(p).exp(), p.exp().mean(0))


def test_mixtures_lie_between_two_rows_and_tokens_stay() -> None:
    batch = {"x": torch.randn(64, 3, 2, 2), "ids": torch.arange(64), "mask": torch.ones(64, 7, dtype=torch.long)}
    mixed = Mixed(None)(batch, torch.Generator().manual_seed(0))
    same = (mixed["x"] == batch["x"]).flatten(1).all(1)
    assert 16 < int(same.sum()) < 48
    assert mixed["x"].abs().max() <= batch["x"].abs().max()
    assert torch.equal(mixed["ids"], batch["ids"])
    assert torch.equal(mixed["mask"], batch["mask"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--kind", "average", "--steps", "5"], "is not trained"),
        (["--steps", "0"], "steps = 0: must be at least 1"),
        (["--learning-rate", "-1"], "learning_rate = -1.0: must be above 0"),
        (["--kind", "soups"], "soups"),
        (["--output", "HERE"], "exists and is not empty"),
        (["--input", "nowhere"], "nowhere"),
    ],
)
def test_mistakes_are_one_line(
    words: list[str], message: str, teacher: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [str(teacher) if word == "HERE" else word for word in words]
    where = [] if "--output" in words else ["--output", str(teacher.with_name("never"))]
    assert main(["distill", str(teacher), *where, *given]) == 2
    assert message in capsys.readouterr().err.strip().splitlines()[-1]
    assert not teacher.with_name("never").exists()


def test_one_member_is_refused_with_the_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    alone = tmp_path / "alone"
    assert main(["train", "digits-single-lora", "--epochs", "1", "--device", "cpu", "--output", str(alone)]) == 0
    assert main(["distill", str(alone)]) == 2
    assert "has one member: there is no ensemble to distill" in capsys.readouterr().err

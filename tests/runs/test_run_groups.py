"""Runs side by side: seeds with names of their own, and the same seed twice."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from lora_ensemble import train
from lora_ensemble.cli import main
from lora_ensemble.registry import recipe
from lora_ensemble.runs.run import Run
from lora_ensemble.studies.groups import by_experiment, counted_once, ensembles


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two seeds, each with its own name, and a copy of the first."""
    folder = tmp_path_factory.mktemp("groups")
    base = recipe("digits-lora")
    tiny = replace(
        base,
        method=replace(base.method, members=2),
        dataset=replace(base.dataset, train_examples=64),
        training=replace(base.training, max_steps=1, device="cpu"),
    )
    for seed, name in enumerate(("Digits 1", "Digits 2")):
        train(replace(tiny, seed=seed, name=name), folder / f"run{seed}")
    shutil.copytree(folder / "run0", folder / "again")
    return [folder / "run0", folder / "run1", folder / "again"]


def test_seeds_with_names_of_their_own_are_labelled_by_what_they_are(runs: list[Path]) -> None:
    assert list(by_experiment(runs[:2])) == ["digits-lora"]
    assert list(by_experiment(runs[:1])) == ["Digits 1"]
    assert list(by_experiment([runs[0], runs[2]])) == ["Digits 1"]


def test_a_seed_counts_once(runs: list[Path]) -> None:
    groups = by_experiment(runs)
    assert [run.folder for _, (run,) in ensembles(groups, concat=False)] == runs[:2]
    (said,) = counted_once(groups)
    assert said == f"{runs[2]} is digits-lora with seed 0 again, as {runs[0]}: counted once"
    assert counted_once({"x": [Run(runs[0]), Run(runs[1])]}) == []


def test_a_seed_given_twice_has_no_deviation(runs: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(runs[0]), str(runs[2])]) == 0
    printed = capsys.readouterr()
    assert f"warning: {runs[2]} is Digits 1 with seed 0 again" in printed.err
    assert "95 % interval" in printed.out  # one run, as if it had been given once


def test_two_ood_sets_are_columns_of_evaluate(runs: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    sets = "letters,digits:train-examples=64".replace("-", "_")
    assert main(["evaluate", str(runs[0]), str(runs[1]), "--ood", sets, "--format", "latex"]) == 0
    head = next(line for line in capsys.readouterr().out.splitlines() if "accuracy" in line)
    assert r"auroc\_entropy[letters]" in head
    assert r"auroc\_entropy[digits:train\_examples=64]" in head


def test_a_report_never_replaces_the_record_of_a_run(runs: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    record = runs[0] / "run.json"
    before = record.read_bytes()
    assert main(["report", str(runs[0]), "--output", str(record)]) == 2
    assert capsys.readouterr().err.startswith(f"lora-ensemble: {record} is already there, and is no report")
    assert record.read_bytes() == before

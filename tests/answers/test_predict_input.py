"""`predict --input`: files in, a table of answers out; the same as the library's own, whatever interrupts it."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from lora_ensemble import Run
from lora_ensemble.answers import parts
from lora_ensemble.answers.stream import Answerer
from lora_ensemble.cli import main
from lora_ensemble.contracts import Split
from tolerance import close

COLUMNS = ["id", "prediction", "probability", "total", "aleatoric", "epistemic", "agreement"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("run") / "digits"
    words = ["--members", "3", "--method.r", "2", "--epochs", "3", "--device", "cpu"]
    assert main(["train", "digits-lora", *words, "--output", str(output)]) == 0
    return output


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Path:
    """Fifty test digits as files, in the order of their ids."""
    place = tmp_path_factory.mktemp("images")
    test = Run(folder).experiment.dataset.load("test")
    for number in range(50):
        Image.fromarray(np.asarray(test.examples[number]["image"])).save(place / f"{number:03d}.png")
    return place


def predict(folder: Path, *words: object) -> int:
    return main(["predict", str(folder), *map(str, words)])


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
def test_answers_are_the_predictions_of_the_run(ending: str, folder: Path, images: Path, tmp_path: Path) -> None:
    output = tmp_path / f"answers.{ending}"
    assert predict(folder, "--input", images, "--output", output, "--raw", "--probabilities") == 0
    found = {"parquet": pd.read_parquet, "csv": lambda p: pd.read_csv(p, dtype={"prediction": str})}.get(
        ending, lambda p: pd.DataFrame([json.loads(line) for line in p.read_text().splitlines()])
    )(output)
    p = Run(folder).predict("test").rows(range(50))
    assert list(found) == [*COLUMNS, *(f"p_{digit}" for digit in range(10))]
    assert found["id"].tolist() == [f"{number:03d}.png" for number in range(50)]
    assert found["prediction"].tolist() == [str(c) for c in p.mean_probs_BC.argmax(1).tolist()]
    close(found["epistemic"].to_numpy(), p.epistemic_B, dtype=torch.float32)
    close(found[[f"p_{digit}" for digit in range(10)]].to_numpy(), p.mean_probs_BC, dtype=torch.float32)
    assert not list(tmp_path.glob("*.parts"))


def test_a_calibrated_run_says_so_and_gives_calibrated_answers(
    folder: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "answers.parquet"
    assert predict(folder, "--input", images, "--output", output) == 0
    assert "calibrated (temperature)" in capsys.readouterr().out
    run = Run(folder)
    calibrated = run.calibrated(run.predict("test")).rows(range(50))
    close(pd.read_parquet(output)["total"].to_numpy(), calibrated.total_B, dtype=torch.float32)
    assert run.answer(images)[COLUMNS[1:]].equals(pd.read_parquet(output)[COLUMNS[1:]])


def test_sets_and_abstention_are_columns(folder: Path, images: Path, tmp_path: Path) -> None:
    output = tmp_path / "answers.parquet"
    asked = ["--coverage", 0.9, "--abstain-risk", 0.3, "--confidence", 0.8]
    assert predict(folder, "--input", images, "--output", output, *asked) == 0
    found = pd.read_parquet(output)
    assert list(found) == [*COLUMNS, "abstain", "set"]
    assert all(row["prediction"] in list(row["set"]) for _, row in found.iterrows())
    assert found["abstain"].dtype == bool


def test_an_interrupted_command_goes_on(
    folder: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(parts, "ROWS", 8)
    whole, output = tmp_path / "whole.csv", tmp_path / "answers.csv"
    assert predict(folder, "--input", images, "--output", whole) == 0
    answered: list[str] = []
    plain = Answerer.answers

    def killed_in_the_fourth_part(self: Answerer, split: Split) -> pd.DataFrame:
        if len(answered) == 24:
            raise KeyboardInterrupt
        answered.extend(split.ids)
        return plain(self, split)

    with monkeypatch.context() as patch:
        patch.setattr(Answerer, "answers", killed_in_the_fourth_part)
        assert predict(folder, "--input", images, "--output", output) == 130
    assert not output.exists()
    capsys.readouterr()
    assert predict(folder, "--input", images, "--output", output) == 0
    assert "going on after 3 finished parts" in capsys.readouterr().err
    assert output.read_bytes() == whole.read_bytes()
    assert predict(folder, "--input", images, "--output", output) == 0
    assert "holds these answers already" in capsys.readouterr().err


def test_lines_of_json_on_stdout(folder: Path, images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert predict(folder, "--input", images, "--output", "-") == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["id"] for row in rows] == [f"{number:03d}.png" for number in range(50)]


def mistakes(images: Path, tmp_path: Path) -> Sequence[tuple[list[object], str]]:
    other = tmp_path / "other.csv"
    other.write_text("mine\n")
    empty = tmp_path / "empty"
    empty.mkdir()
    return [
        (["--input", images], "--input needs --output"),
        (["--output", "a.csv"], "--output needs --input"),
        (["--input", images, "--output", tmp_path / "a.xlsx"], "must end in .parquet, .csv or .jsonl"),
        (["--input", images, "--output", other], "exists and holds something else"),
        (["--input", tmp_path / "nowhere", "--output", tmp_path / "a.csv"], "nowhere"),
        (["--input", empty, "--output", tmp_path / "a.csv"], "empty"),
        (["--input", images, "--output", tmp_path / "a.csv", "--coverage", 1], "coverage = 1"),
        (["--input", images, "--output", tmp_path / "a.csv", "--by", "entropi", "--abstain-risk", 0.3], "entropi"),
    ]


def test_mistakes_are_one_line(folder: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, said in mistakes(images, tmp_path):
        assert predict(folder, *words) == 2, words
        lines = capsys.readouterr().err.splitlines()
        assert said in lines[-1], words
    assert (tmp_path / "other.csv").read_text() == "mine\n"
    assert not (tmp_path / "a.csv").exists()


def test_rows_on_stdin_need_text(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO('{"wrong": 1}\n'))
    assert predict(folder, "--input", "-", "--output", "-") == 2
    assert "column" in capsys.readouterr().err

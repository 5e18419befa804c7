"""Adaptive answers: members asked in turn give what the rule gives on stored predictions, with fewer rows run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from lora_ensemble import Run
from lora_ensemble.analysis.adaptive import Adaptive, fit_adaptive
from lora_ensemble.answers.adaptively import AskedInTurn
from lora_ensemble.cli import main
from lora_ensemble.fitted import Source
from lora_ensemble.predictions import Predictions
from tiny_readers import KNOWN
from tolerance import close


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("run") / "digits"
    words = ["--members", "4", "--method.r", "2", "--epochs", "3", "--device", "cpu"]
    assert main(["train", "digits-lora", *words, "--output", str(output)]) == 0
    return output


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Path:
    place = tmp_path_factory.mktemp("images")
    test = Run(folder).experiment.dataset.load("test")
    for number in range(60):
        Image.fromarray(np.asarray(test.examples[number]["image"])).save(place / f"{number:03d}.png")
    return place


def predict(folder: Path, *words: object) -> int:
    return main(["predict", str(folder), *map(str, words)])


def test_answers_are_the_rule_on_the_predictions_of_the_run(
    folder: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "answers.parquet"
    assert predict(folder, "--input", images, "--output", output, "--raw", "--budget", 2, "--probabilities") == 0
    assert "of 4 members asked of a row on validation" in capsys.readouterr().err
    found = pd.read_parquet(output)
    run = Run(folder)
    rule = fit_adaptive(run.predict("validation"), budget=2)
    whole = run.predict("test").rows(range(60))
    expected = rule.filled(whole)
    assert list(found)[7:9] == ["members", "p_0"]
    assert found["members"].tolist() == rule.asked(whole.logits_MBC).tolist()
    assert found["members"].nunique() > 1
    close(found["total"].to_numpy(), expected.total_B, dtype=torch.float32)
    assert predict(folder, "--input", images, "--output", output, "--raw", "--budget", 2, "--probabilities") == 0
    assert predict(folder, "--input", images, "--output", output, "--raw", "--budget", 3, "--probabilities") == 2


def test_with_calibration_and_sets(folder: Path, images: Path, tmp_path: Path) -> None:
    output = tmp_path / "answers.parquet"
    assert predict(folder, "--input", images, "--output", output, "--max-loss", 0.2, "--coverage", 0.8) == 0
    assert list(pd.read_parquet(output))[-2:] == ["set", "members"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--budget", "2"], "need --input"),
        (["--input", "IMAGES", "--output", "a.csv", "--budget", "0.5"], "budget = 0.5: must be at least 1"),
        (["--input", "IMAGES", "--output", "a.csv", "--budget", "2", "--max-loss", "0.1"], "give one of them"),
        (["--input", "IMAGES", "--output", "a.csv", "--max-loss", "0.00001"], "cannot promise a loss"),
    ],
)
def test_mistakes_are_one_line(
    words: list[str], message: str, folder: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert predict(folder, *[str(images) if word == "IMAGES" else word for word in words]) == 2
    complaint = capsys.readouterr().err.strip().splitlines()[-1]
    assert message in complaint


@pytest.mark.parametrize("name", ["vit", "bert", "llama-classifier"])
def test_every_architecture_and_fewer_rows(name: str) -> None:
    ensemble, inputs, _ = KNOWN[name]()
    with torch.no_grad():
        logits = ensemble.eval()(**inputs).logits
    p = Predictions(logits, torch.zeros(logits.shape[1], dtype=torch.long))
    margins = (p.probs_MBC[0].topk(2).values @ torch.tensor([1.0, -1.0], dtype=p.probs_MBC.dtype)).sort().values
    rule = Adaptive(Source.of(p), float((margins[1] + margins[2]) / 2))  # half of the rows are clear to one member
    asked: list[int] = []

    def note(module: Any, args: Any, output: Any) -> None:
        asked.append(output.logits.shape[0] * output.logits.shape[1])

    ensemble.register_forward_hook(note)
    found = AskedInTurn(ensemble, rule)(**inputs).logits
    close(found, rule.filled(p).logits_MBC)
    assert sum(asked) == int(rule.asked(logits).sum()) < logits.shape[0] * logits.shape[1]

"""`reproduce`: the same tuning for each method, every run written down, what is missing named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lora_ensemble.cli import main
from lora_ensemble.cli.commands.reproduce import seconds
from lora_ensemble.errors import UserError
from lora_ensemble.experiment import Experiment
from lora_ensemble.methods.lora import Lora
from lora_ensemble.registry import recipe
from lora_ensemble.studies.reproducing import FACTORS, changed, shortened

WORDS = ["--methods", "single-lora,last-layer", "--seeds", "0", "--training.max-steps", "6", "--device", "cpu"]


def test_it_tunes_trains_writes_and_goes_on(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["reproduce", "digits", *WORDS, "--budget", "0s"]) == 2
    told = capsys.readouterr().err
    assert "left out: single-lora: not tuned, the budget is spent" in told
    assert "nothing was finished" in told
    assert main(["reproduce", "digits", *WORDS]) == 0
    shown = capsys.readouterr()
    begun = [line for line in shown.err.splitlines() if line.startswith(("tuning-", "digits-"))]
    assert len(begun) == len(set(begun)) == 2 * (3 + 3 + 1)
    assert "| last-layer |" in shown.out
    file = tmp_path / "reproduce" / "digits" / "digits.json"
    rows = json.loads(file.read_text())
    assert [row["method"] for row in rows] == ["single-lora", "last-layer"]
    for row in rows:
        assert row.keys() == {"method", "members", "seed", "setting", "raw", "calibrated", "cost", "command"}
        assert 0 < row["raw"]["nll"] < 5
        assert "ece_15" in row["calibrated"]
        assert row["cost"]["train_seconds"] > 0
        assert len(row["setting"]) == 2
        assert str(row["setting"]["training.learning_rate"]) in row["command"]
    before = file.read_bytes()
    assert main(["reproduce", "digits", *WORDS, "--budget", "0s"]) == 0  # all of it is there
    again = capsys.readouterr()
    assert "left out" not in again.err
    assert file.read_bytes() == before


def test_mistakes_are_one_line(capsys) -> None:
    assert main(["reproduce", "digit"]) == 2
    assert "unknown task 'digit'. Did you mean 'digits'?" in capsys.readouterr().err
    assert main(["reproduce", "digits", "--methods", "lra"]) == 2
    assert "unknown method 'lra'" in capsys.readouterr().err
    with pytest.raises(UserError, match="--budget 'soon': expected a number and s, m, h or d"):
        seconds("soon")
    assert seconds("1.5h") == 5400


def test_tuning_is_a_third_of_the_training() -> None:
    experiment: Experiment = recipe("digits-lora")
    assert shortened(experiment).training.epochs == 5
    assert shortened(changed(experiment, {"training.max_steps": 30})).training.max_steps == 10
    other = changed(experiment, {"training.learning_rate": 1.0, "method.r": 2})
    assert isinstance(other.method, Lora)
    assert (other.training.learning_rate, other.method.r) == (1.0, 2)
    assert sorted(FACTORS) == [1 / 3, 1.0, 3.0]


def test_help_of_a_task_is_that_of_reproduce(capsys) -> None:
    for words in (["reproduce", "--help"], ["reproduce", "digits", "--help"]):
        assert main(words) == 0
        assert "--budget" in capsys.readouterr().out

"""A run and its calibration: fitted at the end of training, shown beside the raw scores, refused elsewhere."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from lora_ensemble import Run, calibrate, registry, train
from lora_ensemble.analysis import Scores, evaluate_both, table
from lora_ensemble.analysis.naming import common, label
from lora_ensemble.cli.program import main
from lora_ensemble.errors import DataError, FileFormatError
from lora_ensemble.runs.calibrated import CALIBRATION
from lora_ensemble.runs.wholeness import parts_of


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("calibrated") / "run"
    experiment = registry.recipe("digits-lora")
    short = replace(experiment.training, max_steps=4, device="cpu")
    small = replace(experiment, training=short, method=replace(experiment.method, members=2))
    train(small, folder, on_progress=lambda _: None)
    return folder


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Run:
    shutil.copytree(trained, tmp_path / "run")
    return Run(tmp_path / "run")


def test_training_ends_with_a_temperature(run: Run) -> None:
    assert (run.folder / "predictions" / "digits-validation.safetensors").is_file()
    assert run.calibrated == calibrate(run.predict("validation"))
    p = run.predict("test")
    assert run.calibrated is not None
    assert p.calibrated(run.calibrated).meta["calibrated"] == ["temperature"]
    scores = evaluate_both(p, calibration=run.calibrated, intervals=False)
    assert scores.calibrated is not None
    assert scores.calibrated["nll"] < scores["nll"]


def test_a_run_without_one_works_and_gets_it_when_it_is_trained_again(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = run.calibrated
    (run.folder / CALIBRATION).unlink()
    assert run.calibrated is None
    assert main(["evaluate", str(run.folder), "--format", "json"]) == 0
    assert "calibrated" not in json.loads(capsys.readouterr().out)
    train(run.experiment, run.folder, on_progress=lambda _: None)
    assert run.calibrated == expected


def test_scores_before_and_after(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(run.folder), "--format", "json", "--ood", "letters"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["calibrated"].keys() == found.keys() - {"calibrated"}
    assert found["calibrated"]["scores"].keys() == found["scores"].keys()
    assert found["calibrated"]["about"]["calibration"] == "temperature"
    assert Scores.from_json(json.dumps(found)).calibrated is not None
    assert main(["evaluate", str(run.folder), "--raw", "--format", "json"]) == 0
    raw = json.loads(capsys.readouterr().out)
    assert "calibrated" not in raw
    assert raw["scores"]["nll"] == found["scores"]["nll"]
    assert main(["evaluate", str(run.folder), "--split", "validation"]) == 0
    assert "calibrated" not in capsys.readouterr().out  # it was fitted there


def test_calibrated_scores_are_further_columns() -> None:
    after = Scores({"nll": 0.2, "accuracy": 0.9})
    rows = {"a": [Scores({"nll": 0.3, "accuracy": 0.9}, calibrated=after).with_calibrated()], "b": [{"nll": 0.1}]}
    found = table(rows)
    assert found.columns == ("accuracy", "nll", "calibrated_nll") == common(rows["a"][0])
    assert found.directions["calibrated_nll"] == "lower"
    assert label("calibrated_nll") == f"{label('nll')}, calibrated"


def test_the_command(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calibrate", str(run.folder), "--with", "isotonic"]) == 0
    shown = capsys.readouterr().out
    assert "isotonic, fitted on" in shown
    assert str(run.folder / CALIBRATION) in shown
    assert run.calibrated is not None
    assert run.calibrated.name == "isotonic"
    file = run.folder / "predictions" / "digits-validation.safetensors"
    assert main(["calibrate", str(file), "--with", "vector", "--output", str(tmp_path / "own.json")]) == 0
    assert json.loads((tmp_path / "own.json").read_text())["name"] == "vector"
    before = (run.folder / CALIBRATION).read_text()
    run.predict("test")
    for words, complaint in (
        ([str(run.folder), "--with", "isotonik"], "Did you mean 'isotonic'?"),
        ([str(run.folder / "predictions" / "digits-test.safetensors")], "predictions of the test split"),
        ([str(run.folder), "--output", "x.json"], "--output is for one file"),
        ([], "give at least one run folder"),
        ([str(tmp_path / "none")], "there is no file"),
        ([str(tmp_path)], "holds no run"),
    ):
        assert main(["calibrate", *words]) == 2
        assert complaint in capsys.readouterr().err
    assert (run.folder / CALIBRATION).read_text() == before


def test_a_calibration_that_is_damaged_or_another_runs_is_refused(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    path = run.folder / CALIBRATION
    whole = path.read_text()
    path.write_text(whole.replace('"members": 2', '"members": 3'))
    with pytest.raises(FileFormatError, match="was changed after it was written"):
        run.calibrated  # noqa: B018
    assert main(["evaluate", str(run.folder)]) == 2
    assert "was changed after it was written" in capsys.readouterr().err
    assert [part.name for part in parts_of(run.folder) if not part.good] == [CALIBRATION]
    path.write_text(whole)
    assert CALIBRATION in [part.name for part in parts_of(run.folder) if part.state == "whole"]
    fitted = run.calibrated
    assert fitted is not None
    other = replace(fitted, source=replace(fitted.source, run={**(fitted.source.run or {}), "seed": 7}))
    other.save(path)
    with pytest.raises(DataError, match="a run with seed 7, these predictions are of one with 0"):
        run.predict("test").calibrated(other)
    assert main(["evaluate", str(run.folder)]) == 2
    assert "seed 7" in capsys.readouterr().err

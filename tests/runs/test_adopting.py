"""A run out of an ensemble that is ready."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from test_runs import silent, trained, vit  # noqa: F401  fixtures

from lora_ensemble.cli.program import main
from lora_ensemble.errors import ConfigurationError, RunFolderError
from lora_ensemble.runs.adopting import adopt
from lora_ensemble.runs.run import Run, train
from lora_ensemble.runs.wholeness import parts_of


@pytest.fixture
def adopted(trained: Run, tmp_path: Path) -> Run:  # noqa: F811
    experiment = replace(trained.experiment, name="of somebody else")
    return adopt(
        trained.ensemble(), experiment, tmp_path / "adopted", classes=trained.classes, origin={"from": "elsewhere"}
    )


def test_it_answers_as_the_run_that_was_trained(adopted: Run, trained: Run) -> None:  # noqa: F811
    assert adopted.finished
    assert adopted.adopted == {"from": "elsewhere"}
    assert trained.adopted is None
    assert torch.equal(adopted.predict("test").logits_MBC, trained.predict("test").logits_MBC)
    assert adopted.predict("test").meta["run"] == "adopted"
    assert all(part.state == "whole" for part in parts_of(adopted.folder))


def test_every_command_takes_it(adopted: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(adopted.folder)
    for words in (
        ["predict", folder],
        ["evaluate", folder, "--ood", "letters"],
        ["calibrate", folder],
        ["report", folder, "--ood", "letters", "--output", str(tmp_path / "report.html")],
        ["export", folder, "--output", str(tmp_path / "ensemble")],
        ["verify", folder],
    ):
        assert main(words) == 0, capsys.readouterr().err
    assert (tmp_path / "report.html").read_text().count("of somebody else")
    assert "auroc_msp" in capsys.readouterr().out


def test_it_was_not_trained_here(adopted: Run) -> None:
    with pytest.raises(RunFolderError, match="adopted, not trained"):
        train(adopted.experiment, adopted.folder, on_progress=silent)
    assert adopted.epochs() == {}
    with pytest.raises(RunFolderError, match="was adopted"):
        adopted.predict_epochs()


def test_nothing_is_overwritten_and_misfits_are_named(trained: Run, tmp_path: Path) -> None:  # noqa: F811
    ensemble, experiment, classes = trained.ensemble(), trained.experiment, trained.classes
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("mine")
    with pytest.raises(RunFolderError, match="not empty"):
        adopt(ensemble, experiment, tmp_path / "notes", classes=classes, origin={})
    assert (tmp_path / "notes" / "mine.txt").read_text() == "mine"
    three = replace(experiment, method=replace(experiment.method, members=3))  # type: ignore[call-arg]
    with pytest.raises(ConfigurationError, match=r"method\.members = 3: the ensemble has 2"):
        adopt(ensemble, three, tmp_path / "three", classes=classes, origin={})
    with pytest.raises(ConfigurationError, match="at least two"):
        adopt(ensemble, experiment, tmp_path / "one", classes=["one"], origin={})
    assert not (tmp_path / "three").exists()

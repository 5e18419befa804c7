"""Nothing wrong in silence: data that changed, records that were edited, files that are damaged."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from test_runs import TRAINING, silent, vit  # noqa: F401  a fixture

import plugged
from lora_ensemble import registry
from lora_ensemble.backbones.vit import ViT
from lora_ensemble.cli.program import main
from lora_ensemble.datasets.letters import Letters
from lora_ensemble.disk.digests import digest_of_json
from lora_ensemble.disk.fingerprints import changed
from lora_ensemble.disk.records import write_record
from lora_ensemble.errors import FileFormatError, RunFolderError, UserError
from lora_ensemble.experiment import Experiment
from lora_ensemble.fields import to_plain
from lora_ensemble.methods.deep import Deep
from lora_ensemble.predictions import Predictions
from lora_ensemble.report import Results, summarise
from lora_ensemble.runs.data import check_same_data
from lora_ensemble.runs.documents import documents_in
from lora_ensemble.runs.kept import prediction_key
from lora_ensemble.runs.predicting import Wanted
from lora_ensemble.runs.records import write_run
from lora_ensemble.runs.run import Run, train
from lora_ensemble.runs.wholeness import parts_of


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    write_rows(folder / "train.txt", range(60))
    write_rows(folder / "test.txt", range(100, 110))
    return folder


@pytest.fixture
def experiment(vit: ViT, data: Path) -> Iterator[Experiment]:  # noqa: F811
    with plugged.plugged():
        digits = registry.config_class("datasets", "listed-digits")(str(data))
        yield Experiment(vit, Deep(members=2), digits, replace(TRAINING, epochs=1))


@pytest.fixture
def run(experiment: Experiment, tmp_path: Path) -> Run:
    return train(experiment, tmp_path / "run", on_progress=silent)


def write_rows(path: Path, rows: range) -> None:
    path.write_text(" ".join(map(str, rows)))


# Data that changed ----------------------------------------------------------------------------------------------


def test_predictions_of_other_data_are_made_anew(run: Run, data: Path) -> None:
    assert len(run.predict("test")) == 10
    write_rows(data / "test.txt", range(200, 225))
    assert len(run.predict("test")) == 25
    assert len(Run(run.folder).predict("test")) == 25
    assert train(run.experiment, run.folder, on_progress=silent).finished  # the training data are as they were


def test_a_run_of_other_training_data_is_refused(run: Run, data: Path) -> None:
    write_rows(data / "train.txt", range(80))
    with pytest.raises(
        RunFolderError, match=r"have changed since it was begun: train\.txt; .*--output.*--anew"
    ) as caught:
        train(run.experiment, run.folder, on_progress=silent)
    assert "\n" not in str(caught.value)
    before = run.predict("test")
    again = train(run.experiment, run.folder, on_progress=silent, anew=True)
    assert not torch.equal(again.predict("test").logits_MBC, before.logits_MBC)
    assert train(run.experiment, run.folder, on_progress=silent).finished


def test_an_interrupted_run_of_other_training_data_is_refused(
    experiment: Experiment, data: Path, tmp_path: Path
) -> None:
    class StoppedError(Exception):
        pass

    def stop(_: object) -> None:
        raise StoppedError

    eager = replace(experiment, training=replace(experiment.training, checkpoint_seconds=0))
    with pytest.raises(StoppedError):
        train(eager, tmp_path / "run", on_progress=stop)
    write_rows(data / "train.txt", range(70))
    with pytest.raises(RunFolderError, match=r"train\.txt"):
        train(eager, tmp_path / "run", on_progress=silent)


def test_anew_is_for_every_run(run: Run, experiment: Experiment) -> None:
    other = replace(experiment, seed=5)
    with pytest.raises(RunFolderError, match="seed is 0 there and 5 here"):
        train(other, run.folder, on_progress=silent)
    assert train(other, run.folder, on_progress=silent, anew=True).experiment == other


def test_anew_is_not_for_other_files(experiment: Experiment, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(RunFolderError, match="is not empty and holds no run"):
        train(experiment, tmp_path, on_progress=silent, anew=True)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_a_copied_run_keeps_its_predictions(run: Run, tmp_path: Path) -> None:
    run.predict("test")
    shutil.copytree(run.folder, tmp_path / "copy", copy_function=shutil.copyfile)
    copied = Run(tmp_path / "copy")
    shutil.rmtree(copied.folder / "ensemble" / "member-000")  # whoever needs weights now will not find them
    assert torch.equal(copied.predict("test").logits_MBC, run.predict("test").logits_MBC)


def test_a_run_without_a_fingerprint_says_so_once(run: Run) -> None:
    run.predict("test")
    for name in ("run.json", "finished.json"):
        edit(run.folder / name, lambda record: {k: record[k] for k in record if k in ("experiment", "classes", "cost")})
    with pytest.warns(UserWarning, match="of an older version, which did not record its data"):
        train(run.experiment, run.folder, on_progress=silent)
    assert train(run.experiment, run.folder, on_progress=silent).finished


# Records that were edited ---------------------------------------------------------------------------------------


def edit(path: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    path.write_text(json.dumps(change(json.loads(path.read_text()))))


def put(*path: str, value: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def change(record: dict[str, Any]) -> dict[str, Any]:
        inner = record
        for name in path[:-1]:
            inner = inner[name]
        inner[path[-1]] = value
        return record

    return change


def sealed_again(path: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    write_record(path, change(json.loads(path.read_text())))


@pytest.mark.parametrize(
    "change",
    [
        put("experiment", "seed", value=3),
        put("experiment", "method", "members", value=3),
        put("experiment", "training", "epochs", value=9),
        lambda record: {k: v for k, v in record.items() if k != "digest"},
    ],
)
def test_an_edited_record_is_refused(run: Run, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    edit(run.folder / "run.json", change)
    with pytest.raises(FileFormatError, match=r"run\.json was changed after"):
        Run(run.folder)


def test_an_edit_that_covers_its_tracks_is_refused(run: Run) -> None:
    sealed_again(run.folder / "run.json", put("experiment", "seed", value=3))
    with pytest.raises(FileFormatError, match="changed after the run was finished"):
        Run(run.folder)


def test_a_newer_version_is_mentioned(run: Run) -> None:
    sealed_again(run.folder / "run.json", put("version", value=99))
    with pytest.raises(FileFormatError, match=r"newer version .* \(its version is 99, this one reads up to 2\)"):
        Run(run.folder)


@pytest.mark.parametrize("value", [None, 3, "text", [1], True, {"a": 1}, {}])
@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("run.json", ("experiment",)),
        ("run.json", ("experiment", "backbone")),
        ("run.json", ("experiment", "training")),
        ("run.json", ("experiment", "seed")),
        ("run.json", ("version",)),
        ("run.json", ("data",)),
        ("finished.json", ("classes",)),
        ("finished.json", ("cost",)),
        ("finished.json", ("cost", "steps")),
        ("finished.json", ("backbone",)),
        ("finished.json", ("data",)),
        ("ensemble/ensemble.json", ("member_folders",)),
        ("ensemble/ensemble.json", ("members",)),
        ("ensemble/ensemble.json", ("files",)),
        ("ensemble/ensemble.json", ("config",)),
    ],
)
def test_wrong_types_are_one_line(
    finished: Path, tmp_path: Path, name: str, path: tuple[str, ...], value: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """As an older version wrote it, which no digest protects."""
    folder = tmp_path / "copy"
    shutil.copytree(finished, folder)
    new = ("digest", "run", "ensemble")
    for record in ("run.json", "finished.json", "ensemble/ensemble.json"):
        edit(folder / record, lambda r: {k: v for k, v in r.items() if k not in new} | {"version": 1})
    edit(folder / name, put(*path, value=value))
    code = main(["evaluate", str(folder)])
    printed = capsys.readouterr().err.splitlines()
    assert code in (0, 2)
    assert code == 0 or printed[-1].startswith("lora-ensemble: ")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished") / "run"
    words = ["--members", "2", "--training.max-steps", "2", "--device", "cpu"]
    assert main(["train", "digits-lora", *words, "--output", str(folder)]) == 0
    Run(folder).predict("test")
    Run(folder).predict("test", Letters())
    return folder


# Files that are damaged -----------------------------------------------------------------------------------------


def test_train_says_that_an_ensemble_is_damaged(run: Run) -> None:
    weights = run.folder / "ensemble" / "member-001" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\0")
    with pytest.raises(FileFormatError, match=r"model\.safetensors is damaged: .*; train it again with --anew"):
        train(run.experiment, run.folder, on_progress=silent)
    assert train(run.experiment, run.folder, on_progress=silent, anew=True).finished


def test_verify_says_what_is_whole(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(finished)]) == 0
    printed = capsys.readouterr().out
    rows = [line.split()[:2] for line in printed.splitlines()]
    assert rows == [
        ["run.json", "whole"],
        ["finished.json", "whole"],
        ["calibration.json", "whole"],
        ["ensemble", "whole"],
        ["predictions/digits-test.safetensors", "whole"],
        ["predictions/digits-validation.safetensors", "whole"],
        ["predictions/letters-test.safetensors", "whole"],
    ]
    folder = tmp_path / "copy"
    shutil.copytree(finished, folder)
    kept = folder / "predictions" / "letters-test.safetensors"
    kept.write_bytes(kept.read_bytes()[:-400] + bytes(400))
    (folder / "ensemble" / "member-001" / "adapter_model.safetensors").write_bytes(b"")
    assert main(["verify", str(folder)]) == 2
    captured = capsys.readouterr()
    assert [part.name for part in parts_of(folder) if not part.good] == ["ensemble", f"predictions/{kept.name}"]
    assert "2 of 7 parts are damaged" in captured.err
    assert captured.err.count("\n") == 1
    assert main(["verify", str(finished.parent)]) == 0
    assert main(["verify", str(tmp_path / "nothing")]) == 2


def test_export_copies_nothing_that_is_damaged(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(finished, folder)
    weights = folder / "ensemble" / "member-001" / "adapter_model.safetensors"
    weights.write_bytes(b"")
    assert main(["export", str(folder), "--output", str(tmp_path / "out")]) == 2
    assert "member-001/adapter_model.safetensors is damaged" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    edit(folder / "ensemble/ensemble.json", lambda r: {k: v for k, v in r.items() if k not in ("digest", "files")})
    edit(folder / "finished.json", lambda r: {k: v for k, v in r.items() if k not in ("digest", "version", "ensemble")})
    assert main(["export", str(folder), "--output", str(tmp_path / "out")]) == 2
    assert "is not a complete safetensors file" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name", ["run.json", "finished.json", "ensemble/ensemble.json", "predictions/digits-test.safetensors"]
)
@pytest.mark.parametrize("command", ["evaluate", "export", "verify", "report"])
def test_a_folder_in_the_place_of_a_file_is_one_line(
    finished: Path, tmp_path: Path, name: str, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(finished, folder)
    (folder / name).unlink()
    (folder / name).mkdir()
    output = ["--output", str(tmp_path / "out")] if command in ("report", "export") else []
    code = main([command, str(folder), *output])
    assert code in (0, 2)
    assert code == 0 or capsys.readouterr().err.splitlines()[-1].startswith("lora-ensemble: ")


def test_a_full_disk_while_predictions_are_kept(finished: Path, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    folder = tmp_path / "copy"
    shutil.copytree(finished, folder)
    shutil.rmtree(folder / "predictions")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(UserError, match=r"cannot write .*digits-test\.safetensors: .*File too large"):
            Run(folder).predict("test")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert len(Run(folder).predict("test")) == 800


# Stored predictions of a run that is trained again -----------------------------------------------------------------


@pytest.mark.parametrize("damage", ["another's", "truncated"])
def test_train_makes_foreign_predictions_anew_and_says_so(run: Run, tmp_path: Path, damage: str) -> None:
    before = run.predict("test")
    (path,) = (run.folder / "predictions").glob("*.safetensors")
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:100])
    else:
        other = train(replace(run.experiment, seed=9), tmp_path / "other", on_progress=silent)
        assert not torch.equal(other.predict("test").logits_MBC, before.logits_MBC)
        shutil.copyfile(other.folder / "predictions" / path.name, path)
    with pytest.warns(UserWarning, match="made anew"):
        train(run.experiment, run.folder, on_progress=silent)
    assert torch.equal(Predictions.load(path).logits_MBC, before.logits_MBC)
    train(run.experiment, run.folder, on_progress=silent)  # and nothing is said of what is as it was


def test_the_code_of_a_data_set_that_is_a_plugin_counts(experiment: Experiment) -> None:
    data = experiment.dataset
    path = Path(sys.modules[type(data).__module__].__file__ or "")
    sha = hashlib.sha256(path.read_bytes()).hexdigest()
    about = {"kind": "listed-digits", "from": sha, **to_plain(data)}
    assert prediction_key(experiment, Wanted("test", data), None) == digest_of_json(
        [experiment.determining(), about, "test", None]
    )
    own = Letters()
    about = {"kind": "letters", **to_plain(own)}  # as ever: what is kept stays valid
    assert prediction_key(experiment, Wanted("test", own), None) == digest_of_json(
        [experiment.determining(), about, "test", None]
    )


def test_validation_data_count_where_training_stopped_early() -> None:
    before = {"train.csv": "a", "validation.csv": "b", "test.csv": "c"}
    now = {"train.csv": "a", "validation.csv": "x", "test.csv": "y"}
    assert changed(before, now, training=True) == []
    assert changed(before, now, training=True, validation=True) == ["validation.csv"]


def test_a_run_that_stopped_early_refuses_other_validation_data(experiment: Experiment, tmp_path: Path) -> None:
    early = replace(experiment, training=replace(experiment.training, early_stopping=1))
    folder = tmp_path / "begun"
    folder.mkdir()
    data = {"train.txt": "a", "validation.txt": "b"}
    write_run(folder / "run.json", early, data)
    now = data | {"validation.txt": "c"}
    check_same_data(folder, now)
    with pytest.raises(RunFolderError, match=r"validation\.txt"):
        check_same_data(folder, now, validation=True)


# What is written about runs ----------------------------------------------------------------------------------------


def test_verify_reads_results_and_reports(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    folder = run.folder
    page = folder / "report.html"
    assert main(["report", str(folder), "--output", str(page)]) == 0
    Results("one", (summarise(run.predict("test"), "deep"),)).save(folder / "results.json")
    assert {p.name: p.state for p in documents_in(folder)} == {"results.json": "whole", "report.html": "whole"}
    text = page.read_text()
    for path, edited in (
        (page, text.replace("<h1", "<h1 ", 1)),
        (folder / "results.json", (folder / "results.json").read_text().replace('"accuracy": 0.', '"accuracy": 1.', 1)),
    ):
        whole = path.read_text()
        assert edited != whole
        path.write_text(edited)
        capsys.readouterr()
        assert main(["verify", str(folder)]) == 2
        assert "1 of" in capsys.readouterr().err.splitlines()[-1]
        path.write_text(whole)
    assert main(["verify", str(folder)]) == 0
    page.write_text(text.rpartition("<!--")[0])  # as older versions wrote them
    assert [p.state for p in documents_in(folder)] == ["whole", "no digest"]

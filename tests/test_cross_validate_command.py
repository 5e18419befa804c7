"""`lora-ensemble cross-validate`, and its folder in `evaluate` and `report`."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from lora_ensemble import evaluate
from lora_ensemble.cli import main
from lora_ensemble.report import Results
from lora_ensemble.studies.folds.read import CrossValidation
from plugged import plugged

TRAINED = ["fold-digits-lora", "--epochs", "2", "--training.save", "epoch"]


@pytest.fixture(scope="module", autouse=True)
def _plugins():
    with plugged():
        yield


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> list[Path]:
    """Two seeds."""
    home = tmp_path_factory.mktemp("home")
    for seed in (0, 1):
        assert main(["cross-validate", *TRAINED, "--seed", str(seed), "--output", str(home / str(seed))]) == 0
    return [home / "0", home / "1"]


def test_it_prints_what_the_library_computes(folders, capsys):
    assert main(["cross-validate", *TRAINED, "--output", str(folders[0])]) == 0
    printed = capsys.readouterr()
    whole = CrossValidation(folders[0])
    assert printed.out == whole.scores().to_markdown()
    assert "mean ± std of 3 folds" in printed.out
    assert "95 % interval" in printed.out
    assert f"look at {folders[0] / 'report.html'}" in printed.err
    assert "step" not in printed.err  # nothing was trained again


def test_results_json_holds_folds_and_pool(folders):
    results = Results.load(folders[0] / "results.json")
    whole = CrossValidation(folders[0])
    assert [run.method for run in results.runs] == ["pooled", "each fold", "each fold", "each fold"]
    folds = [evaluate(p, intervals=False)["nll"] for p in whole.predict().values()]
    assert [run.scores["nll"] for run in results.runs[1:]] == pytest.approx(folds)
    assert results.runs[0].scores["nll"] == pytest.approx(evaluate(whole.pooled())["nll"])
    assert results.runs[0].cost["train_seconds"] == pytest.approx(whole.cost["seconds"])
    assert results.about["folds"] == "1, 2, 3"
    assert results.about["epoch"] == "last"
    assert results.summary == ""
    assert "each fold" in (folders[0] / "report.html").read_text(encoding="utf-8")


def test_the_published_rule_comes_with_its_warning(folders, capsys):
    assert (
        main(["cross-validate", *TRAINED, "--seed", "1", "--epoch", "best-mean-accuracy", "--output", str(folders[1])])
        == 0
    )
    printed = capsys.readouterr().out
    whole = CrossValidation(folders[1])
    warning = f"Epoch {whole.best_epoch} was chosen on the test folds themselves"
    assert warning in printed
    assert printed == whole.scores("best-mean-accuracy").to_markdown()
    results = Results.load(folders[1] / "results.json")
    assert results.summary.startswith(warning)
    assert results.about["epoch"] == f"{whole.best_epoch}, best-mean-accuracy"
    assert warning in (folders[1] / "report.html").read_text(encoding="utf-8")


def test_evaluate_takes_seeds_together(folders, capsys):
    assert main(["evaluate", *map(str, folders), "--format", "json", "--scores", "nll"]) == 0
    printed = json.loads(capsys.readouterr().out)
    values = [evaluate(CrossValidation(folder).pooled(), intervals=False)["nll"] for folder in folders]
    expected = {"mean": pytest.approx(statistics.fmean(values)), "std": pytest.approx(statistics.stdev(values))}
    assert printed == {"fold-digits-lora": {"runs": 2, "nll": expected}}


def test_evaluate_takes_folds_as_runs(folders, capsys):
    assert main(["evaluate", str(folders[0]), "--per-fold", "--format", "json", "--scores", "nll"]) == 0
    printed = json.loads(capsys.readouterr().out)
    scores = CrossValidation(folders[0]).scores()
    expected = {"mean": pytest.approx(scores.mean("nll")), "std": pytest.approx(scores.std("nll"))}
    assert printed == {"fold-digits-lora": {"runs": 3, "nll": expected}}
    assert main(["evaluate", str(folders[0]), "--per-fold", "--concat"]) == 2
    assert "--per-fold does not go with --concat" in capsys.readouterr().err


def test_evaluate_scores_one(folders, capsys):
    assert main(["evaluate", str(folders[0]), "--format", "json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["about"]["samples"] == 62
    assert printed["scores"]["nll"] == pytest.approx(evaluate(CrossValidation(folders[0]).pooled())["nll"])


def test_report_takes_seeds_together(folders, tmp_path, capsys):
    assert main(["report", *map(str, folders), "--output", str(tmp_path / "r.html")]) == 0
    values = [evaluate(CrossValidation(folder).pooled(), intervals=False)["nll"] for folder in folders]
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert f"{statistics.fmean(values):.3f} ± {statistics.stdev(values):.3f}" in page


def test_folds_in_turn(tmp_path, capsys):
    words = ["cross-validate", "fold-digits-lora", "--training.max-steps", "1", "--output", str(tmp_path / "cv")]
    assert main([*words, "--folds", "3"]) == 0
    assert "| one fold |" in capsys.readouterr().out
    assert main([*words, "--folds", "1", "3"]) == 0
    assert "mean ± std of 2 folds" in capsys.readouterr().out
    (tmp_path / "cv" / "fold-3" / "finished.json").unlink()  # as if another process were at it
    assert main([*words, "--folds", "1"]) == 0
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "fold-3 of" in printed.err
    assert "is not finished" in printed.err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["digits-lora"], "data set 'digits' has no folds to cross-validate over; those that have: "),
        (["fold-digits-lora", "--folds", "7"], "data set 'fold-digits' has no fold 7; there are: 1, 2, 3"),
        (["fold-digits-lora", "--jobs", "0"], "jobs = 0: must be at least 1"),
        (["fold-digits-lora", "--dataset.fold", "2"], "--dataset.fold is of one run; --folds says which"),
        (["fold-digits-lora", "--epoch", "best"], "invalid choice 'best' for argument "),
        (
            ["fold-digits-lora", "--epoch", "best-mean-accuracy", "--training.keep-checkpoints", "1"],
            "training.save = 'end': must be 'epoch' for --epoch best-mean-accuracy; training.keep_checkpoints = 1: ",
        ),
        (["fold-digits-loar"], "unknown recipe 'fold-digits-loar'. Did you mean 'fold-digits-lora'?"),
        (["fold-digits-lora", "--job", "2"], "unknown option '--job'. Did you mean '--jobs'?"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(words, expected, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["cross-validate", *words]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"lora-ensemble: {expected}")
    assert printed.err.count("\n") == 1
    assert not any(tmp_path.iterdir())


def test_other_rows_are_refused(folders, capsys):
    assert main(["evaluate", str(folders[0]), "--ood", "letters"]) == 2
    assert (
        f"{folders[0]} is a cross-validation, one set of predictions on its test folds only" in capsys.readouterr().err
    )


def test_help_is_light():
    calls = [["cross-validate"], ["cross-validate", "digits-lora", "--help"], ["--help"]]
    script = (
        "import sys; from lora_ensemble.cli import main\n"
        f"assert [main(words) for words in {calls!r}] == [0] * {len(calls)}\n"
        "assert not {'torch', 'transformers', 'peft'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "\n  cross-validate  Train a recipe on every fold" in done.stdout
    assert "--epoch {last,best-mean-accuracy}" in done.stdout
    assert "Data sets with folds: " in done.stdout

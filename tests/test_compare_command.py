"""`lora-ensemble compare`: recipes over seeds and over the values of a field, in one table."""

from __future__ import annotations

import json
import shlex
import statistics

import pytest

from lora_ensemble import Run, evaluate
from lora_ensemble.cli import main
from lora_ensemble.report import Results

TINY = ["--training.max-steps", "2", "--device", "cpu", "--dataset.train-examples", "64"]


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home") / "compare"
    words = ["digits-lora", "digits-single", *TINY, "--members", "2", "--seeds", "0,1", "--ood", "letters"]
    assert main(["compare", *words, "--jobs", "2", "--output", str(folder)]) == 0
    return folder, words


def test_every_recipe_and_seed_is_a_run_with_its_members(done):
    folder, _ = done
    runs = {path.name: Run(path) for path in (folder / "runs").iterdir()}
    assert sorted(runs) == [f"digits-{method}-seed{seed}" for method in ("lora", "single") for seed in (0, 1)]
    assert {name: run.experiment.method.members for name, run in runs.items() if "seed0" in name} == {
        "digits-lora-seed0": 2,
        "digits-single-seed0": 1,
    }
    assert all(run.experiment.training.max_steps == 2 for run in runs.values())


def test_the_table_holds_the_mean_over_seeds(done, capsys):
    folder, words = done
    assert main(["compare", *words, "--output", str(folder)]) == 0  # finished: only shown again
    printed = capsys.readouterr().out
    accuracies = [
        evaluate(Run(folder / "runs" / f"digits-lora-seed{s}").predict(), intervals=False)["accuracy"] for s in (0, 1)
    ]
    (row,) = [line for line in printed.splitlines() if "digits-lora" in line]
    assert f"{statistics.fmean(accuracies):.3f} ± {statistics.stdev(accuracies):.3f}" in row.replace("**", "")
    assert "auroc_entropy" in printed
    assert "train_seconds" in printed
    assert [run.seed for run in Results.load(folder / "results.json").runs] == [0, 0, 1, 1]
    assert (folder / "report.html").is_file()


def test_vary_makes_a_row_for_each_combination(tmp_path, capsys):
    vary = ["--vary", "method.r=1,2 method.init_a=kaiming,gaussian"]
    words = ["digits-lora", *vary, *TINY, "--seeds", "3", "--members", "1", "--output", str(tmp_path / "out")]
    assert main(["compare", *words]) == 0
    found = {
        (e.method.r, e.method.init_a, e.seed)
        for e in (Run(path).experiment for path in (tmp_path / "out" / "runs").iterdir())
    }
    assert found == {(r, init, 3) for r in (1, 2) for init in ("kaiming", "gaussian")}
    printed = capsys.readouterr()
    assert "digits-lora method.r=2 method.init_a=gaussian" in printed.out
    assert "calibrated_nll" in printed.out
    command = printed.err.splitlines()[-1].removeprefix("which differences are more than chance: lora-ensemble ")
    assert main([*shlex.split(command), "--scores", "nll"]) == 0  # as it is printed
    assert capsys.readouterr().out.startswith("| score | a | b |")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--seeds", "1"], "give at least one recipe first"),
        (["digits-lorra"], "unknown recipe 'digits-lorra'. Did you mean 'digits-lora'?"),
        (["digits-lora", "digits-lora"], "recipe 'digits-lora' is given twice"),
        (["digits-lora", "--seeds", "1,1"], "--seeds '1,1': expected different whole numbers with commas"),
        (["digits-lora", "--seeds", "one"], "--seeds 'one': expected different whole numbers with commas"),
        (["digits-lora", "--vary", "method.r"], "--vary 'method.r': expected FIELD=VALUE,VALUE"),
        (["digits-lora", "--vary", "method.rr=1"], "unknown option '--method.rr'. Did you mean '--method.r'?"),
        (["digits-lora", "--jobs", "0"], "workers = 0: must be at least 1"),
        (["digits-lora", "--members"], "--members needs a value"),
        (["digits-lora", "--ood", "leters"], "unknown data set 'leters'. Did you mean 'letters'?"),
        (["digits-lora", "--epochs", "0"], "training.epochs = 0: must be at least 1"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(words, expected, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["compare", *words]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith(f"lora-ensemble: {expected}"), printed.err
    assert printed.err.count("\n") == 1
    assert not any(tmp_path.iterdir())


def test_a_folder_with_other_files_is_refused(tmp_path, capsys):
    (tmp_path / "thesis.tex").write_text("mine")
    assert main(["compare", "digits-lora", *TINY, "--output", str(tmp_path)]) == 2
    assert "holds other files (there is 'thesis.tex')" in capsys.readouterr().err


def test_the_same_folder_refuses_other_settings(done, capsys):
    folder, words = done
    before = json.loads((folder / "results.json").read_text())
    assert main(["compare", *words, "--method.lora-dropout", "0.5", "--output", str(folder)]) == 2
    assert "digits-single" in capsys.readouterr().err  # which has no such field
    assert main(["compare", "digits-lora", *words[2:], "--method.r", "2", "--output", str(folder)]) == 2
    assert "holds a different run: method.r" in capsys.readouterr().err
    assert json.loads((folder / "results.json").read_text()) == before


def test_formats_show_the_same_results(done, capsys):
    folder, words = done
    shown = {}
    for form in ("json", "latex", "markdown"):
        assert main(["compare", *words, "--output", str(folder), "--format", form]) == 0
        shown[form] = capsys.readouterr().out
    rows = json.loads(shown["json"])
    runs = Results.load(folder / "results.json").methods["digits-lora"]
    assert rows["digits-lora"]["nll"]["mean"] == pytest.approx(statistics.fmean(run.scores["nll"] for run in runs))
    assert shown["latex"].startswith(r"\begin{tabular}")
    value = f"{rows['digits-lora']['nll']['mean']:.3f}"
    assert value in shown["latex"]
    assert value in shown["markdown"]


def test_files_of_others_stay(tmp_path, capsys):
    (tmp_path / "report.html").write_text("mine")
    assert main(["compare", "digits-lora", *TINY, "--output", str(tmp_path)]) == 2
    assert "is already there, and is no report" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]

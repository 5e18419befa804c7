"""The command line, in this process: what is printed where, and the exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lora_ensemble import registry
from lora_ensemble.cli import main

COMMANDS = ("quickstart", "list", "train", "predict", "evaluate", "report", "export")


def test_help_names_every_command_and_imports_no_torch():
    calls = [[], ["--help"], *([name, "--help"] for name in COMMANDS), ["train", "digits-lora", "--help"], ["list"]]
    script = (
        "import sys; from lora_ensemble.cli import main\n"
        f"codes = [main(words) for words in {calls!r}]\n"
        "assert codes == [0] * len(codes), codes\n"
        "heavy = {'torch', 'transformers', 'peft', 'sklearn', 'matplotlib', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name in COMMANDS:
        assert f"\n  {name}" in done.stdout
    assert "--method.r INT" in done.stdout
    assert "Rank of the updates." in done.stdout


def test_the_console_script_exits_with_2_and_one_line(tmp_path):
    script = Path(sys.executable).with_name("lora-ensemble")
    done = subprocess.run([script, "train", "digits-lorra"], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "Did you mean 'digits-lora'?" in done.stderr
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["trian"], "unknown command 'trian'. Did you mean 'train'? Available: "),
        (["list", "metric"], "unknown kind 'metric'. Did you mean 'metrics'? Available: "),
        (
            ["train", "digits-lora", "--method.rr", "4"],
            "unknown option '--method.rr'. Did you mean '--method.r'? (see ",
        ),
        (["train", "digits-lora", "--memebrs", "4"], "unknown option '--memebrs'. Did you mean '--members'? (see "),
        (["train", "digits-lora", "--members", "x"], "error parsing --method.members: "),
        (["train", "digits-lora", "--members", "0"], "method.members = 0: must be at least 1"),
        (
            ["train", "digits-lora", "--method.r", "0", "--epochs", "0"],
            "training.epochs = 0: must be at least 1; method.r = 0: must be at least 1",
        ),
        (["train", "digits-lora", "--training.schedule", "cosin"], "invalid choice 'cosin' for argument "),
        (["train", "digits-lora", "--data", "x"], "data set 'digits' comes with the package and takes no --data"),
        (["train", "digits-single", "--members", "2"], "method.members = 2: single has one; use deep"),
        (["predict"], "give at least one run folder"),
        (["evaluate", "nowhere"], "nowhere holds no run: "),
        (["evaluate", "nowhere", "--ood", "leters"], "unknown data set 'leters'. Did you mean 'letters'? "),
        (["predict", "nowhere", "--dataset", "digit"], "unknown data set 'digit'. Did you mean 'digits'? "),
        (["report", "nowhere", "--ood", "leters"], "unknown data set 'leters'. Did you mean 'letters'? "),
        (["export", "nowhere"], "nowhere holds no run: "),
        (["export"], "give at least one run folder"),
        (["export", "a", "--outptu", "b"], "unknown option '--outptu'. Did you mean '--output'? (see "),
        (["train", "digits-lora", "--members", "6:3"], "--members 6:3: there is no member in it; 3:6 is members 3, 4 "),
        (["train", "digits-lora", "--members=3:"], "--members 3:: expected FIRST:END, as in 3:6, which is members "),
        (["train", "digits-snapshot", "--members", "0:2"], "--members 0:2: snapshot trains all its members in one run"),
        (["predict", "nowhere", "--epochs", "1-3"], "--epochs 1-3: expected all, or numbers with commas, as in 0,1,5"),
        (["quickstart", "--seeds", "0"], "seeds = 0: must be at least 1"),
        (["quickstart", "--workers", "0"], "workers = 0: must be at least 1"),
    ],
)
def test_a_mistake_is_one_line_on_stderr_and_exit_code_2(words, expected, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"lora-ensemble: {expected}")
    assert printed.err.count("\n") == 1
    assert not any(tmp_path.iterdir())


def test_version(capsys):
    import lora_ensemble

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"lora-ensemble {lora_ensemble.__version__}\n"


@pytest.mark.parametrize("kind", ["backbones", "methods", "datasets", "metrics", "recipes"])
def test_list_prints_names_and_descriptions_aligned(kind, capsys):
    assert main(["list", kind]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(registry.names(kind))
    column = max(map(len, registry.names(kind))) + 2
    for line, name in zip(lines, registry.names(kind), strict=True):
        assert line[:column].strip() == name
        assert line[column:] == registry.description(kind, name) != ""


def test_list_without_a_kind_prints_all(capsys):
    assert main(["list"]) == 0
    printed = capsys.readouterr().out
    for kind in ("recipes", "methods", "backbones", "datasets", "metrics"):
        assert f"{kind}:\n" in printed
        assert all(f"\n  {name} " in printed for name in registry.names(kind))


def test_interruption_says_how_to_go_on(monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("lora_ensemble.runs.run.train", interrupted)
    assert main(["train", "digits-lora"]) == 130
    assert "the same command again continues where it stopped" in capsys.readouterr().err


def test_the_unexpected_keeps_its_traceback(monkeypatch):
    def broken(*_, **__):
        raise ZeroDivisionError("ours")

    monkeypatch.setattr("lora_ensemble.runs.run.train", broken)
    with pytest.raises(ZeroDivisionError, match="ours"):
        main(["train", "digits-lora"])


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> list[Path]:
    """Two seeds of a tiny LoRA ensemble and a single network, trained by the command line."""
    folder = tmp_path_factory.mktemp("runs")
    budget = ["--training.max-steps", "3", "--device", "cpu"]
    made = {
        folder / "lora-0": ["digits-lora", "--members", "2", "--method.r=2", *budget],
        folder / "lora-1": ["digits-lora", "--members", "2", "--method.r=2", "--seed", "1", *budget],
        folder / "single": ["digits-single", *budget],
    }
    for output, words in made.items():
        assert main(["train", *words, "--output", str(output)]) == 0
    return list(made)


def test_train_writes_what_was_asked_for(runs, capsys):
    from lora_ensemble import Run

    experiment = Run(runs[1]).experiment
    assert (experiment.method.members, experiment.method.r, experiment.seed) == (2, 2, 1)
    assert (experiment.training.max_steps, experiment.name) == (3, "digits-lora")


def test_train_names_the_default_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "digits-single-lora", "--seed", "3", "--training.max-steps", "1", "--device", "cpu"]) == 0
    printed = capsys.readouterr()
    assert "run folder: runs/digits-single-lora-seed3\n" in printed.err
    assert printed.out == "runs/digits-single-lora-seed3\n"
    assert (tmp_path / "runs/digits-single-lora-seed3/run.json").is_file()


def test_train_refuses_the_folder_of_another_run(runs, capsys):
    assert main(["train", "digits-lora", "--output", str(runs[0])]) == 2
    assert f"{runs[0]} holds a different run: " in capsys.readouterr().err


def test_predict_says_what_there_is(runs, capsys):
    assert main(["predict", str(runs[0]), "--split", "validation"]) == 0
    assert main(["predict", str(runs[0]), "--dataset", "letters"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == f"{runs[0]}: 2 members, 197 rows, 10 classes, with labels"
    assert second.startswith(f"{runs[0]}: 2 members, ")
    assert second.endswith(" rows, 10 classes, without labels")


def test_evaluate_of_one_run_is_what_the_library_computes(runs, capsys):
    from lora_ensemble import Run, evaluate

    assert main(["evaluate", str(runs[0]), "--format", "json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    expected = evaluate(Run(runs[0]).predict("test"))
    assert printed["scores"]["nll"] == pytest.approx(expected["nll"])
    assert printed["intervals"]["nll"] == pytest.approx(expected.interval("nll"))


def test_evaluate_takes_seeds_together(runs, capsys):
    import statistics

    from lora_ensemble import Run, evaluate

    assert main(["evaluate", *map(str, runs), "--format", "json", "--scores", "nll"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert list(printed) == ["digits-lora", "digits-single"]
    values = [evaluate(Run(run).predict("test"), intervals=False)["nll"] for run in runs[:2]]
    assert printed["digits-lora"] == {
        "runs": 2,
        "nll": {"mean": pytest.approx(statistics.fmean(values)), "std": pytest.approx(statistics.stdev(values))},
    }
    assert printed["digits-single"]["nll"]["std"] is None


def test_evaluate_shows_the_main_scores_and_all_where_asked(runs, capsys):
    assert main(["evaluate", str(runs[0])]) == 0
    shown = capsys.readouterr()
    rows = [line.split("|")[1].split()[0] for line in shown.out.splitlines()[2:]]
    assert {"accuracy", "nll", "brier", "ece_15", "aurc", "total", "epistemic"} <= set(rows)
    assert len(rows) < 12
    assert "--scores all shows the others" in shown.err
    assert main(["evaluate", str(runs[0]), "--scores", "all"]) == 0
    from lora_ensemble import Run, evaluate

    assert len(capsys.readouterr().out.splitlines()) == 2 + len(evaluate(Run(runs[0]).predict("test"), intervals=False))


def test_evaluate_pairs(runs, capsys):
    assert main(["evaluate", *map(str, runs), "--paired"]) == 2
    assert "give one run of each method, there are several seeds of" in capsys.readouterr().err
    assert main(["evaluate", str(runs[0]), str(runs[-1]), "--paired", "--scores", "nll"]) == 0
    assert capsys.readouterr().out.startswith("| score | a | b | a - b | 95 % interval | p, corrected | better |")


def test_evaluate_concatenates(runs, capsys):
    from lora_ensemble import Predictions, Run, evaluate

    assert main(["evaluate", *map(str, runs[:2]), "--concat", "--format", "json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    together = evaluate(Predictions.concat([Run(run).predict("test") for run in runs[:2]]), intervals=False)
    assert printed["about"]["members"] == 4
    assert printed["scores"]["nll"] == pytest.approx(together["nll"])


def test_evaluate_prints_tables(runs, capsys):
    assert main(["evaluate", *map(str, runs), "--ood", "letters"]) == 0
    markdown = capsys.readouterr().out
    assert markdown.startswith("| method |")
    assert "auroc_entropy" in markdown
    assert "±" in markdown
    assert main(["evaluate", *map(str, runs), "--format", "latex"]) == 0
    assert r"\begin{tabular}" in capsys.readouterr().out


def test_parts_of_one_ensemble_are_one_row_of_a_report(tmp_path):
    parts = [str(tmp_path / part) for part in ("first", "second")]
    for members, part in zip(("0:1", "1:3"), parts, strict=True):
        assert main(["train", "digits-lora", "--members", members, "--training.max-steps", "2", "--output", part]) == 0
    output = tmp_path / "r.html"
    assert main(["report", *parts, "--concat", "--output", str(output)]) == 0
    assert "<h1>digits-lora</h1>" in output.read_text(encoding="utf-8")


def test_report_is_written(runs, tmp_path, capsys):
    output = tmp_path / "r.html"
    assert main(["report", *map(str, runs), "--ood", "letters", "--output", str(output)]) == 0
    assert capsys.readouterr().out == f"{output}\n"
    page = output.read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>")
    assert "digits-lora" in page
    assert "letters" in page


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # peft asks, transformers 5 warns
def test_export_can_be_loaded_as_it_says(runs, tmp_path, capsys):
    import torch
    from peft import PeftModel

    from lora_ensemble import Run
    from lora_ensemble.runs.building import load_backbone

    output = tmp_path / "exported"
    assert main(["export", str(runs[0]), "--output", str(output)]) == 0
    printed = capsys.readouterr()
    assert printed.out == f"{output}\n"

    run = Run(runs[0])
    inputs = {"pixel_values": torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))}
    expected = run.ensemble()(**inputs).logits
    said: dict = {"model": load_backbone(run.experiment, 10).model}
    exec(printed.err, said)
    torch.testing.assert_close(said["ensemble"](**inputs).logits, expected)
    assert isinstance(said["member"], PeftModel)
    torch.testing.assert_close(said["member"].eval()(**inputs).logits, expected[0])

    assert main(["export", str(runs[0]), "--output", str(output)]) == 2
    assert f"{output} exists" in capsys.readouterr().err

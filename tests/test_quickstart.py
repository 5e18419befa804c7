"""The quickstart on a tiny budget: what it writes, that it goes on where it stopped, what it says."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lora_ensemble import Run, UserError, evaluate
from lora_ensemble.cli import main
from lora_ensemble.datasets.letters import Letters
from lora_ensemble.report import Results
from lora_ensemble.studies.quickstart import METHODS, tasks
from lora_ensemble.studies.quickstart_summary import quickstart_table, sentences

TINY = ["--seeds", "1", "--members", "2", "--epochs", "1"]


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> Path:
    """A folder in which the quickstart was killed as it trained, and started again."""
    folder = tmp_path_factory.mktemp("home") / "quickstart"
    command = [sys.executable, "-m", "lora_ensemble", "quickstart", *TINY, "--workers=1", "--output", str(folder)]
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
    while process.poll() is None and not list(folder.glob("runs/*/run.json")):
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (folder / "results.json").exists()
    assert main(["quickstart", *TINY, "--output", str(folder)]) == 0
    return folder


def test_it_writes_what_it_says(done):
    assert sorted(p.name for p in done.iterdir()) == ["report.html", "results.json", "runs"]
    results = Results.load(done / "results.json")
    assert list(results.methods) == list(METHODS)
    page = (done / "report.html").read_text(encoding="utf-8")
    assert all(method in page for method in METHODS)
    assert results.summary == " ".join(sentences(results.runs))


def test_its_scores_are_those_of_its_runs(done):
    for result in Results.load(done / "results.json").runs:
        run = Run(done / "runs" / f"digits-{result.method}-seed0")
        scores = evaluate(run.predict("test"), ood=run.predict("test", Letters()))
        assert dict(result.scores) == pytest.approx(dict(scores), nan_ok=True)
        assert result.cost["parameters_trained"] == run.cost["trainable_parameters"]


def test_started_again_it_keeps_what_is_finished(done, capsys):
    records = sorted(done.glob("runs/*/finished.json"))
    before = [(path.stat().st_mtime_ns, path.read_bytes()) for path in records]
    (done / "runs" / "digits-single-seed0" / "finished.json").unlink()  # as if killed at the end of that run
    table = quickstart_table(Results.load(done / "results.json").runs)
    assert main(["quickstart", *TINY, "--workers", "1", "--output", str(done)]) == 0
    printed = capsys.readouterr()
    assert len(before) == 6
    for path, (changed, content) in zip(records, before, strict=True):
        if "digits-single-seed0" not in str(path):
            assert (path.stat().st_mtime_ns, path.read_bytes()) == (changed, content)
    again = quickstart_table(Results.load(done / "results.json").runs)
    assert again.mean["single"]["nll"] == table.mean["single"]["nll"]
    assert again.to_markdown() in printed.out
    assert all(sentence in printed.out for sentence in sentences(Results.load(done / "results.json").runs))
    assert printed.err.count("accuracy") == 6


def test_it_refuses_a_folder_with_anything_else_in_it(tmp_path, capsys):
    (tmp_path / "thesis.tex").write_text("precious")
    assert main(["quickstart", *TINY, "--output", str(tmp_path)]) == 2
    assert "holds other files (there is 'thesis.tex')" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_it_refuses_the_runs_of_another_budget(done, capsys):
    assert main(["quickstart", "--seeds", "1", "--members", "3", "--epochs", "1", "--output", str(done)]) == 2
    assert "holds a different run: method.members is 2 there and 3 here" in capsys.readouterr().err


def test_every_method_has_the_same_budget():
    planned = tasks(Path("q"), seeds=2)
    assert len(planned) == len({task.folder for task in planned}) == 2 * len(METHODS)
    budgets = {(t.experiment.training.epochs, t.experiment.training.batch_size, t.experiment.dataset) for t in planned}
    assert len(budgets) == 1
    members = {task.experiment.method.members for task in planned if "single" not in task.label}
    assert len(members) == 1


@pytest.mark.parametrize("number", ["seeds", "members", "epochs"])
def test_numbers_below_one(number):
    with pytest.raises(UserError, match=f"{number} = 0: must be at least 1"):
        tasks(Path("q"), **{"seeds": 1, number: 0})


def test_the_summary_follows_from_the_numbers(done):
    """Turn the two methods' scores round: the sentence turns round with them."""
    data = json.loads((done / "results.json").read_text(encoding="utf-8"))
    del data["digest"]  # as in a file of before digests: what is changed here is not damaged
    runs = {run["method"]: run for run in data["runs"]}
    for accuracy, wins in ((0.9, 1), (0.1, 0)):
        runs["lora"]["scores"]["accuracy"], runs["single"]["scores"]["accuracy"] = accuracy, 0.5
        changed = Path(done.parent / "changed.json")
        changed.write_text(json.dumps(data))
        said = sentences(Results.load(changed).runs)[0]
        assert (
            f"LoRA ensemble against single network: accuracy {accuracy:.3f} to 0.500 (better in {wins} of 1 seeds)"
            in said
        )


def test_the_table_is_the_mean_over_seeds(done):
    runs = Results.load(done / "results.json").runs
    twice = quickstart_table([*runs, *runs])
    assert twice.runs["lora"] == 2
    nll = [run.scores["nll"] for run in runs if run.method == "lora"]
    assert twice.mean["lora"]["nll"] == pytest.approx(statistics.fmean(nll))
    assert twice.std["lora"]["nll"] == 0

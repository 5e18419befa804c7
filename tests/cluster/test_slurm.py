"""Jobs of submitit: processes on this machine, really stopped; the script against its own. `make test-cluster`."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

import psutil
import pytest
from squares import mistaken, squared

from lora_ensemble import Run, UserError, registry
from lora_ensemble.cli import main
from lora_ensemble.launching.sbatch import script
from lora_ensemble.launching.work import Work
from lora_ensemble.report import Results

pytestmark = [pytest.mark.cluster, pytest.mark.filterwarnings("default")]

submitit = pytest.importorskip("submitit", reason="submitit is not installed: pip install 'lora-ensemble[slurm]'")

TINY = ["--device", "cpu", "--dataset.train-examples", "64", "--training.max-steps", "60", "--members", "2"]


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    paths = [str(Path(__file__).parents[2] / "src"), str(Path(__file__).parent)]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))


def launcher(**given):
    return registry.config_class("launchers", "slurm")(**{"executor": "local", **given})


def test_values_words_and_mistakes_of_tasks(tmp_path):
    news = list(launcher().launch(Work(squared, [3, 4], list("ab"), tmp_path)))
    assert {number: value for number, done, value in news if done} == {0: 9, 1: 16}
    with pytest.raises(UserError, match=r"^7 is mine$"):
        list(launcher().launch(Work(mistaken, [7], ["one"], tmp_path)))


def jobs() -> list[int]:
    """Processes of jobs."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it has just ended
            if "submitit.core._submit" in process.cmdline():
                found.append(process.pid)
    return found


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2, signal.SIGKILL])
def test_a_job_that_is_stopped_goes_on_in_another(number, tmp_path, monkeypatch):
    from lora_ensemble.cli.display import Display

    words = ["compare", "digits-lora", *TINY, "--seeds", "0", "--output"]
    assert main([*words, str(tmp_path / "here")]) == 0
    stopped = []
    show = Display.show

    def disturbed(self, news):
        if not stopped and news.result is None and 0 < news.step < 50:
            stopped.extend(jobs())
            os.kill(stopped[0], number)
        show(self, news)

    monkeypatch.setattr(Display, "show", disturbed)
    with pytest.warns(UserWarning, match="it goes on in another job"):
        assert main([*words, str(tmp_path / "there"), "--on", "slurm", "--executor", "local"]) == 0
    assert len(stopped) == 1
    ours, theirs = (Results.load(tmp_path / name / "results.json").runs for name in ("there", "here"))
    assert [dict(run.scores) for run in ours] == [dict(run.scores) for run in theirs]
    assert Run(tmp_path / "there" / "runs" / "digits-lora-seed0").finished


@pytest.mark.parametrize(
    "given", [{}, {"partition": "gpu long", "gpus": 2, "memory_gb": 1.5, "account": "a", "qos": "q"}]
)
def test_the_script_is_what_submitit_would_submit(given, tmp_path):
    from submitit.slurm.slurm import _make_sbatch_string

    parameters = launcher(**given).parameters(3)
    command = script(tmp_path, parameters, 5).splitlines()[-1].split("_log.err ", 1)[1]
    assert "submitit.core._submit" in command
    theirs = _make_sbatch_string(command, tmp_path, map_count=5, **parameters)
    assert script(tmp_path, parameters, 5) == theirs


def test_a_dry_run_prints_the_script_and_begins_nothing(tmp_path, capsys):
    words = ["compare", "digits-lora", *TINY, "--output", str(tmp_path / "out"), "--on", "slurm", "--dry-run"]
    assert main([*words, "--partition", "long", "--jobs", "2"]) == 0
    printed = capsys.readouterr().out
    assert "#SBATCH --array=0-2%2\n" in printed
    assert "#SBATCH --partition=long\n" in printed
    assert not (tmp_path / "out").exists()


def test_where_there_is_no_slurm(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["compare", "digits-lora", *TINY, "--output", str(tmp_path / "out"), "--on", "slurm"]) == 2
    assert 'Could not detect "srun"' in capsys.readouterr().err

"""Runs on a real Ray cluster, a head and two nodes: same results as here, whatever dies. `make test-cluster`."""

from __future__ import annotations

import json
import os
from pathlib import Path

import psutil
import pytest
from squares import mistaken, squared

from lora_ensemble import Run, UserError, registry
from lora_ensemble.cli import main
from lora_ensemble.launching.work import Work
from lora_ensemble.report import Results

pytestmark = [pytest.mark.cluster, pytest.mark.filterwarnings("default")]
ray = pytest.importorskip("ray", reason="ray is not installed: pip install 'lora-ensemble[ray]'")

ROOT = Path(__file__).parents[2]
TINY = ["--device", "cpu", "--dataset.train-examples", "64"]


@pytest.fixture(scope="module")
def cluster():
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "src"), str(Path(__file__).parent)]))
        there = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        there.add_node(num_cpus=1)
        there.add_node(num_cpus=1)
        yield there
        there.shutdown()


@pytest.fixture
def launcher(cluster):
    return registry.config_class("launchers", "ray")(address=cluster.address)


def scores(folder: Path):
    """As text, in which what is not defined equals itself."""
    return [(run.method, run.seed, json.dumps(dict(run.scores))) for run in Results.load(folder / "results.json").runs]


def test_values_words_and_mistakes_of_tasks(launcher, tmp_path):
    news = list(launcher.launch(Work(squared, [3, 4, 5], list("abc"), tmp_path)))
    assert {number: value for number, done, value in news if done} == {0: 9, 1: 16, 2: 25}
    with pytest.raises(UserError, match=r"^7 is mine$"):
        list(launcher.launch(Work(mistaken, [7], ["one"], tmp_path)))
    assert not ray.is_initialized()


def test_members_of_a_range_and_epochs_are_tasks_of_their_own(cluster, tmp_path, capsys):
    where = ["--on", "ray", "--address", cluster.address]
    words = ["train", "digits-lora", *TINY, "--epochs", "1", "--members", "0:2", "--training.save", "epoch"]
    assert main([*words, "--output", str(tmp_path / "ensemble"), *where]) == 0
    parts = [tmp_path / "ensemble" / f"members-{m}to{m}" for m in (0, 1)]
    assert [Run(part).experiment.method.first_member for part in parts] == [0, 1]
    assert f"evaluate --concat {parts[0]} {parts[1]}" in capsys.readouterr().err
    assert main(["predict", str(parts[0]), "--epochs", "all", *where]) == 0
    printed = capsys.readouterr()
    assert "epoch 1: done" in printed.err
    assert "epoch 0: 1 members" in printed.out


def worker() -> psutil.Process:
    """The process of a task on a node of the cluster, which are this process's children."""
    there = psutil.Process().children(recursive=True)
    return next(p for p in there if p.name().startswith("ray::done") and p.status() != psutil.STATUS_ZOMBIE)


def kill_worker() -> None:
    """Of a task; comes back when it is gone."""
    doomed = worker()
    doomed.kill()
    doomed.wait(60)


def kill_node(cluster) -> None:
    """The node of a task."""
    raylet = worker().ppid()
    (node,) = [n for n in cluster.worker_nodes if n.all_processes["raylet"][0].process.pid == raylet]
    cluster.remove_node(node, allow_graceful=False)


def test_a_worker_and_a_node_that_die_change_no_number(cluster, tmp_path, monkeypatch):
    """The worker of a run is killed, then the node of one is taken away."""
    from lora_ensemble.cli.display import Display

    words = ["compare", "digits-lora", "digits-single", *TINY, "--training.max-steps", "40", "--members", "2"]
    words += ["--seeds", "0", "--training.checkpoint-seconds", "0"]
    with monkeypatch.context() as patch:
        patch.setattr(os, "cpu_count", lambda: 1)  # one thread for each run, as on the nodes: the same rounding
        assert main([*words, "--output", str(tmp_path / "here")]) == 0
    deaths = [kill_worker, lambda: kill_node(cluster)]
    show = Display.show

    def disturbed(self, news):
        if deaths and news.result is None and news.step < news.steps:
            deaths.pop(0)()
        show(self, news)

    monkeypatch.setattr(Display, "show", disturbed)
    where = ["--on", "ray", "--address", cluster.address]
    with pytest.warns(UserWarning, match="it goes on from its last checkpoint") as said:
        assert main([*words, "--output", str(tmp_path / "there"), *where]) == 0
    assert not deaths
    assert len([w for w in said if "it goes on from its last checkpoint" in str(w.message)]) >= 2
    assert scores(tmp_path / "there") == scores(tmp_path / "here")
    assert (tmp_path / "there" / "report.html").is_file()
    cluster.add_node(num_cpus=1)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--address", "127.0.0.1:1"], "--address 127.0.0.1:1: no Ray cluster answers there"),
        (["--address", "ray://x:1"], "--address ray://x:1: expected HOST:PORT of a cluster's head node, or auto"),
        (["--cpus", "0"], "--cpus = 0.0: must be at least 0.01"),
        (["--partition", "x"], "unknown option '--partition'"),
    ],
)
def test_a_mistake_is_one_line_and_no_run_is_begun(words, expected, tmp_path, capsys):
    given = ["compare", "digits-lora", *TINY, "--output", str(tmp_path / "out"), "--on", "ray", *words]
    assert main(given) == 2
    printed = capsys.readouterr().err.splitlines()
    assert printed[-1].startswith(f"lora-ensemble: {expected}")
    assert not (tmp_path / "out" / "runs").exists()


def test_a_node_that_is_too_small(cluster, tmp_path, capsys):
    words = ["compare", "digits-lora", *TINY, "--output", str(tmp_path / "out"), "--on", "ray", "--gpus", "1"]
    assert main([*words, "--address", cluster.address]) == 2
    assert "a run asks for 1 CPU, 1 GPU, and no node has that: there are" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("raise ImportError('none')", "cannot be imported"),
        ("__version__ = '0.0.1'", "lora-ensemble 0.0.1 is installed"),
    ],
)
def test_a_node_without_the_package_or_with_another_version(cluster, launcher, tmp_path, code, expected):
    (tmp_path / "lora_ensemble").mkdir()
    (tmp_path / "lora_ensemble" / "__init__.py").write_text(code)
    odd = cluster.add_node(num_cpus=1, env_vars={"PYTHONPATH": str(tmp_path)})
    try:
        with pytest.raises(UserError, match=f"node .*: .*{expected}"):
            list(launcher.launch(Work(squared, [1], ["one"], tmp_path / "out")))
    finally:
        cluster.remove_node(odd)

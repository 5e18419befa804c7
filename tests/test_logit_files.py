"""Commands on files of logits: those of docs/how-to-logits.md, and the mistakes one makes."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from lora_ensemble.analysis import evaluate
from lora_ensemble.cli import main
from lora_ensemble.predictions import Predictions

PAGE = Path(__file__).parents[1] / "docs" / "how-to-logits.md"
M, B, C = 4, 120, 3
RANDOM = np.random.default_rng(0)
Y = RANDOM.integers(C, size=B)
L = (RANDOM.normal(size=(M, B, C)) + 2 * np.eye(C)[Y]).astype("float32")
FAR = RANDOM.normal(size=(M, 50, C)).astype("float32")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    np.savez("test.npz", logits=L, labels=Y)
    np.savez("validation.npz", logits=L[:, ::-1], labels=Y[::-1])
    np.save("test.npy", L)
    np.save("labels.npy", Y)
    np.save("stacked.npy", L.reshape(-1, C))
    np.save("far.npy", FAR.reshape(-1, C))
    np.save("one.npy", L[:2])
    np.save("two.npy", L[2:])
    names = ["cat", "dog", "bird"]
    pd.DataFrame(L[0], columns=names).assign(truth=[names[y] for y in Y]).to_csv("test.csv", index=False)
    return tmp_path


def commands() -> list[list[str]]:
    return [shlex.split(line)[1:] for line in re.findall(r"^lora-ensemble .*$", PAGE.read_text(), re.M)]


def test_the_commands_of_the_page_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(commands()) >= 8
    for words in commands():
        assert main(words) == 0, capsys.readouterr().err
        printed = capsys.readouterr().out
        assert "accuracy" in printed or words[0] == "report"
    assert "<svg" in (folder / "report.html").read_text(encoding="utf-8")


def scores(words: str, capsys: pytest.CaptureFixture[str]) -> dict[str, float]:
    assert main(["evaluate", *words.split(), "--format", "json"]) == 0, capsys.readouterr().err
    found: dict[str, float] = json.loads(capsys.readouterr().out)["scores"]
    return found


@pytest.mark.usefixtures("folder")
def test_every_way_gives_the_same_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    expected = evaluate(Predictions(L, Y), Predictions(FAR))
    ways = ("test.npz --ood far=far3.npy", "stacked.npy --members 4 --labels labels.npy --ood far=far.npy")
    np.save("far3.npy", FAR)
    for words in (*ways, "one.npy two.npy --concat --labels labels.npy --ood far=far1.npy,far=far2.npy"):
        np.save("far1.npy", FAR[:2])
        np.save("far2.npy", FAR[2:])
        found = scores(words, capsys)
        assert found.keys() == dict(expected).keys()
        for name, value in expected.items():
            assert found[name] == pytest.approx(value, abs=1e-6, nan_ok=True), (words, name)


@pytest.mark.usefixtures("folder")
def test_several_files_are_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "one.npy", "two.npy", "--labels", "labels.npy", "--ood", "far=far1.npy"]) == 2
    capsys.readouterr()
    np.save("far1.npy", FAR[:2])
    assert main(["evaluate", "one.npy", "two.npy", "--labels", "labels.npy", "--ood", "far=far1.npy"]) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith(("| one", "| two"))]
    assert len(rows) == 2


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("evaluate missing.npy", "there is no file missing.npy"),
        ("evaluate test.npy", "test.npy has no labels; say where they are with --labels FILE|COLUMN"),
        ("evaluate test.npy --labels nowhere.npy", "there is no file nowhere.npy"),
        ("evaluate test.npz --epochs", "--epochs is for runs, test.npz is a file of logits"),
        ("evaluate test.npz --dataset digits", "--dataset is for runs, test.npz is a file of logits"),
        ("evaluate test.npz --ood svhn", "of a file of logits, out-of-distribution data are files, too"),
        ("evaluate some-run --labels labels.npy", "--labels is for files of logits, some-run is a run"),
        ("evaluate test.npz some-run", "some-run is a run and test.npz a file"),
        ("evaluate one.npy two.npy --labels labels.npy --validation validation.npz", "1 files for 2"),
        ("evaluate", "give at least one run folder, or one file of logits"),
        ("calibrate test.npy", "fitted to labels, and these predictions have none"),
        ("evaluate test.npz --calibration test.npz", "test.npz is truncated or not JSON"),
        ("report stacked.npy --members 7 --labels labels.npy", "480 rows, which 7 members do not divide"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_mistakes_are_one_line(words: str, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words.split()) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("lora-ensemble: ")
    assert expected in said


def sample(number: int, likelihoods: list[float], right: int, target: str | None = None) -> dict[str, object]:
    """As lm-evaluation-harness 0.4.13 logs it, where numbers are texts."""
    answers = [[str(value), "False"] for value in likelihoods]
    arguments = {
        f"gen_args_{c}": {"arg_0": f"Question {number}", "arg_1": f" choice {c}"} for c in range(len(likelihoods))
    }
    return {
        "doc_id": number, "doc": {}, "target": str(right) if target is None else target, "arguments": arguments,
        "resps": [[answer] for answer in answers], "filtered_resps": answers, "filter": "none", "metrics": ["acc"],
        "acc": float(np.argmax(likelihoods) == right),
    }  # fmt: skip


def logged(samples: list[dict[str, object]]) -> Path:
    path = Path("samples_task.jsonl")
    path.write_text("".join(json.dumps(one) + "\n" for one in samples))
    return path


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("texts", [False, True])
def test_samples_of_the_harness(texts: bool, capsys: pytest.CaptureFixture[str]) -> None:
    rows = L[0].astype(float).tolist()
    target = (lambda y: f"choice {y}") if texts else str
    samples = [sample(b, rows[b], int(Y[b]), target(int(Y[b]))) for b in range(B)]
    samples[0] = sample(0, rows[0][:2], 0)
    if texts:
        samples[0]["target"] = "choice 0"
    p = Predictions.from_file(logged(samples))
    assert p.labels_B is not None
    assert p.labels_B.tolist() == [0, *Y[1:].tolist()]
    assert torch.equal(p.logits_MBC[0, 1:], torch.tensor(rows)[1:])
    assert float(p.mean_probs_BC[0, 2]) == 0.0
    right = np.mean([one["acc"] for one in samples])
    assert scores("samples_task.jsonl", capsys)["accuracy"] == pytest.approx(float(right))


@pytest.mark.usefixtures("folder")
def test_what_the_harness_leaves_in_doubt_is_asked() -> None:
    samples = [sample(b, [-2.0, -1.0], 1, "2") for b in range(3)]
    with pytest.raises(ValueError, match=r"row 0: target '2' is none of the 2 choices"):
        Predictions.from_file(logged(samples))
    assert Predictions.from_file(logged(samples), False).labels_B is None
    assert Predictions.from_file(logged(samples), [1, 1, 0]).labels_B.tolist() == [1, 1, 0]  # type: ignore[union-attr]
    samples = [sample(b, [-2.0, -1.0], 0, "1") for b in range(3)]
    with pytest.raises(ValueError, match="targets do not agree with acc"):
        Predictions.from_file(logged(samples))
    written = {**sample(0, [-2.0, -1.0], 0), "resps": [["a text"]], "filtered_resps": ["a text"]}
    with pytest.raises(ValueError, match="only tasks of output type multiple_choice count"):
        Predictions.from_file(logged([written]))

"""What version 0.1.0 wrote is read, and gives the same scores: a run with its checkpoint, its predictions, its ensemble
and a comparison's results, as that version left them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from lora_ensemble import LoraEnsemble, Predictions, Run, evaluate, train
from lora_ensemble.cli import main
from lora_ensemble.report import Results
from tolerance import close

pytestmark = pytest.mark.filterwarnings("ignore:.* did not record its data:UserWarning")

OLD = Path(__file__).parent / "written_by_0_1_0"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy: reading may write beside what it reads."""
    return Path(shutil.copytree(OLD / "digits-lora", tmp_path / "digits-lora"))


def stored(split: str = "digits-test") -> Predictions:
    return Predictions.load(OLD / "digits-lora" / "predictions" / f"{split}.safetensors")


def test_predictions_give_the_same_scores() -> None:
    before = json.loads((OLD / "scores.json").read_text())
    scores = evaluate(stored(), ood=stored("letters-test"))
    for name, value in before["scores"].items():
        if value is not None:
            close(scores[name], value, depth=8, dtype=torch.float32)
    for name, ends in before["intervals"].items():
        if None not in ends:
            close(scores.interval(name), ends, depth=8, dtype=torch.float32)


def test_a_run_predicts_the_same(folder: Path) -> None:
    run = Run(folder)
    assert run.finished
    assert run.classes == [str(digit) for digit in range(10)]
    close(run.predict("test").logits_MBC, stored().logits_MBC)
    assert list(run.epochs()) == [0, 2]
    close(run.predict("test", epoch=2).logits_MBC, stored().logits_MBC)


def test_training_it_again_finds_it_finished(folder: Path) -> None:
    run = Run(folder)
    weights = (folder / "ensemble" / "member-000" / "adapter_model.safetensors").read_bytes()
    assert train(run.experiment, folder).cost == run.cost
    assert (folder / "ensemble" / "member-000" / "adapter_model.safetensors").read_bytes() == weights


def test_an_ensemble_loads_by_itself(folder: Path) -> None:
    ensemble = LoraEnsemble.from_pretrained(folder / "ensemble")
    assert (ensemble.members, ensemble.method) == (2, "lora")


def test_the_command_line_reads_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(folder)]) == 0
    assert "0.81" in capsys.readouterr().out


def test_a_comparison_is_read() -> None:
    results = Results.load(OLD / "results.json")
    assert [run.method for run in results.runs] == ["digits-lora"]
    assert "accuracy" in results.table().to_markdown()

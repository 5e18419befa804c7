"""Predictions after each epoch of a run."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lora_ensemble import evaluate
from lora_ensemble.backbones.digits_vit import DigitsViT
from lora_ensemble.cli import main
from lora_ensemble.datasets.digits import Digits
from lora_ensemble.datasets.letters import Letters
from lora_ensemble.errors import ConfigurationError, RunFolderError
from lora_ensemble.experiment import Experiment
from lora_ensemble.methods.lora import Lora
from lora_ensemble.methods.zero_shot import ZeroShot
from lora_ensemble.runs import run as run_module
from lora_ensemble.runs.building import build
from lora_ensemble.runs.run import Run, train
from lora_ensemble.training.options import Training
from lora_ensemble.training.progress import Progress
from tolerance import close

TRAINING = Training(epochs=3, batch_size=20, learning_rate=1e-2, device="cpu", save="epoch")
EXPERIMENT = Experiment(DigitsViT(), Lora(members=2, r=2), Digits(train_examples=60), TRAINING, name="followed")


def silent(progress: Progress) -> None:
    """Shows nothing."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(EXPERIMENT, tmp_path_factory.mktemp("runs") / "run", on_progress=silent)


@pytest.fixture(scope="module")
def kept_none(tmp_path_factory: pytest.TempPathFactory) -> Run:
    experiment = replace(EXPERIMENT, training=replace(TRAINING, save="end", epochs=1))
    return train(experiment, tmp_path_factory.mktemp("runs") / "end", on_progress=silent)


def test_epochs_and_their_steps(run: Run, kept_none: Run) -> None:
    assert run.epochs() == {0: 0, 1: 3, 2: 6, 3: 9}
    assert kept_none.epochs() == {0: 0}


def test_epochs_count_where_the_last_batches_are_accumulated_and_the_first_are_gone(tmp_path: Path) -> None:
    training = replace(TRAINING, gradient_accumulation=2, keep_checkpoints=2)
    made = train(replace(EXPERIMENT, training=training), tmp_path, on_progress=silent)
    assert made.epochs() == {0: 0, 2: 4, 3: 6}


def test_predictions_of_each_epoch_are_those_of_its_weights(run: Run) -> None:
    by_epoch = run.predict_epochs("validation")
    assert list(by_epoch) == [0, 1, 2, 3]
    with torch.no_grad():
        backbone, untrained = build(EXPERIMENT, 10)
        inputs = backbone.prepare(backbone.collate(EXPERIMENT.dataset.load("validation").examples))
        expected = [untrained.eval()(**inputs).logits, *(run.ensemble(step)(**inputs).logits for step in (3, 6, 9))]
    for p, logits_MBC in zip(by_epoch.values(), expected, strict=True):
        close(p.logits_MBC, logits_MBC)
    close(by_epoch[3].logits_MBC, run.predict("validation").logits_MBC, depth=8)
    assert [p.meta["step"] for p in by_epoch.values()] == [0, 3, 6, 9]
    assert torch.equal(run.predict("validation", epoch=2).logits_MBC, by_epoch[2].logits_MBC)
    assert torch.equal(run.predict("validation", step=0).logits_MBC, by_epoch[0].logits_MBC)


def test_they_are_computed_once_with_one_loading_of_the_backbone(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = Run(shutil.copytree(run.folder, tmp_path / "copy"))
    shutil.rmtree(copied.folder / "predictions", ignore_errors=True)
    loaded = []
    monkeypatch.setattr(run_module, "build", lambda *args: loaded.append(1) or build(*args))
    first = copied.predict_epochs("validation", epochs=[3, 0, 1])
    assert (list(first), len(loaded)) == ([0, 1, 3], 1)
    copied.predict_epochs("validation", epochs=[1, 3])
    assert len(loaded) == 1
    (copied.folder / "checkpoints/checkpoint-9/model.safetensors").touch()
    again = copied.predict_epochs("validation")
    assert len(loaded) == 2
    assert torch.equal(again[3].logits_MBC, first[3].logits_MBC)


def test_what_is_refused(run: Run, kept_none: Run) -> None:
    with pytest.raises(RunFolderError, match=r"has no weights of epoch 4; there are: 0, 1, 2, 3$"):
        run.predict(epoch=4)
    with pytest.raises(RunFolderError, match=r"epoch 1; there are: 0; --training.save epoch keeps them"):
        kept_none.predict(epoch=1)
    with pytest.raises(RunFolderError, match=r"kept no weights of its epochs; train with --training\.save epoch"):
        kept_none.predict_epochs()
    with pytest.raises(ConfigurationError, match="epoch = 1: give it without step"):
        run.predict(step=3, epoch=1)


def test_predict_command(run: Run, kept_none: Run, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["predict", str(run.folder), "--split", "validation", "--ood", "letters", "--epochs"]
    assert main([*words, "0,2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[0] for line in lines] == [f"{run.folder}, epoch {epoch}" for epoch in (0, 2, 0, 2)]
    assert lines[0].endswith("2 members, 197 rows, 10 classes, with labels")
    assert lines[2].endswith("without labels")
    assert main(["predict", str(run.folder), "--split", "validation", "--epochs", "all"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 4
    assert main(["predict", str(kept_none.folder), "--epochs", "all"]) == 2
    assert "kept no weights of its epochs" in capsys.readouterr().err


def test_evaluate_and_report_by_epoch(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import json

    from lora_ensemble.analysis import evaluate

    words = [str(run.folder), "--epochs", "--ood", "letters"]
    assert main(["evaluate", *words]) == 0
    table = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[0] for line in table] == ["| epoch", "| ---", "| 0", "| 1", "| 2", "| 3"]
    assert "auroc_entropy[letters] ↑" in table[0]

    assert main(["evaluate", *words, "--format", "json"]) == 0
    (curve,) = json.loads(capsys.readouterr().out)["followed"]
    known = evaluate(run.predict("test", epoch=1), run.predict("test", Letters(), epoch=1), intervals=False)
    assert curve["ensemble"]["nll"][1] == pytest.approx(known["nll"])
    assert curve["ensemble"]["auroc_msp[letters]"][1] == pytest.approx(known["auroc_msp"])

    assert main(["report", str(run.folder), "--epochs", "--output", str(tmp_path / "r.html")]) == 0
    assert "<h2>Over epochs</h2>" in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_zero_shot_is_trained_at_once_and_predicts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the head of a classifier that was trained on the same classes."""
    from lora_ensemble.contracts import LoadedBackbone

    experiment = replace(EXPERIMENT, method=ZeroShot(), training=replace(TRAINING, save="end"))
    with pytest.raises(ConfigurationError, match="the head 'classifier' of this backbone would be random"):
        train(experiment, tmp_path / "random", on_progress=silent)

    def with_own_head(self: DigitsViT, num_classes: int) -> LoadedBackbone:
        return replace(load(self, num_classes), own_head=True)

    load = DigitsViT.load
    monkeypatch.setattr(DigitsViT, "load", with_own_head)
    run = train(experiment, tmp_path / "run", on_progress=silent)
    assert (run.cost["steps"], run.cost["trainable_parameters"]) == (0, 0)
    assert not list((run.folder / "ensemble").rglob("*.safetensors"))
    p = run.predict("validation")
    assert p.num_members == 1
    assert torch.equal(run.predict_epochs("validation")[0].logits_MBC, p.logits_MBC)
    assert main(["evaluate", str(run.folder), "--split", "validation"]) == 0
    assert main(["report", str(run.folder), "--split", "validation", "--output", str(tmp_path / "r.html")]) == 0
    capsys.readouterr()


def test_another_labelled_data_set_is_scored_after_each_epoch(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same scans in another split: as the published evaluation of another data set, per epoch."""
    words = ["evaluate", str(run.folder), "--dataset", "digits:split_seed=1"]
    assert main([*words, "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    p = run.predict("test", replace(run.experiment.dataset, split_seed=1))
    assert found["scores"]["nll"] == pytest.approx(evaluate(p)["nll"])
    assert main([*words, "--epochs"]) == 0
    assert len([line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]) >= 4
    assert main(["evaluate", str(run.folder), "--dataset", "letters"]) == 2
    assert "--dataset letters: has no labels that are classes of" in capsys.readouterr().err
    assert main(["evaluate", str(run.folder), "--dataset", "digits,letters"]) == 2

"""Run folders: real methods on a tiny ViT and real digits."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import pytest
import torch

from lora_ensemble import registry
from lora_ensemble.backbones.vit import ViT
from lora_ensemble.contracts import Dataset, Split
from lora_ensemble.datasets.digits import Digits
from lora_ensemble.disk import files
from lora_ensemble.errors import ConfigurationError, FileFormatError, RunFolderError, UserError
from lora_ensemble.experiment import Experiment
from lora_ensemble.methods.deep import Deep
from lora_ensemble.methods.lora import Lora
from lora_ensemble.methods.single import Single
from lora_ensemble.methods.snapshot import Snapshot
from lora_ensemble.predictions import Predictions
from lora_ensemble.runs.run import Run, train
from lora_ensemble.training.options import Training
from lora_ensemble.training.progress import Progress
from tolerance import close

TRAINING = Training(epochs=2, batch_size=20, learning_rate=1e-2, device="cpu")


@pytest.fixture(scope="session")
def vit(tmp_path_factory: pytest.TempPathFactory) -> ViT:
    """A ViT of one layer of width 8, random, in a folder as transformers saves it."""
    from transformers import ViTConfig, ViTForImageClassification

    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=8, patch_size=4,
        num_channels=1, num_labels=10,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("vit")
    ViTForImageClassification(config).save_pretrained(folder)
    processor = {"size": {"height": 8, "width": 8}, "image_mean": [0.5], "image_std": [0.5], "resample": 2}
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return ViT(name=str(folder))


@pytest.fixture
def experiment(vit: ViT) -> Experiment:
    return Experiment(vit, Single(), Digits(train_examples=60), TRAINING)


def silent(progress: Progress) -> None:
    """Shows nothing."""


@pytest.fixture(scope="session")
def trained(vit: ViT, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run with a checkpoint of each epoch; tests must leave it as it is."""
    experiment = Experiment(
        vit, Deep(members=2), Digits(train_examples=60), replace(TRAINING, save="epoch"), name="two"
    )
    return train(experiment, tmp_path_factory.mktemp("runs") / "deep", on_progress=silent)


def test_a_run_keeps_what_was_run(trained: Run) -> None:
    assert trained.finished
    assert Run(trained.folder).experiment == trained.experiment
    assert trained.classes == [str(i) for i in range(10)]
    assert trained.cost["steps"] == 6
    record = json.loads((trained.folder / "run.json").read_text())
    assert record["fingerprint"] == trained.experiment.fingerprint()
    assert record["packages"]["torch"] == metadata.version("torch")
    assert [(c.step, c.kept) for c in trained.checkpoints()] == [(3, True), (6, True)]
    assert not [p for p in trained.folder.rglob("*") if "partial" in p.name or p.name.endswith(".tmp")]


def test_predictions_carry_labels_ids_and_where_they_are_from(trained: Run) -> None:
    predictions = trained.predict("validation")
    split = trained.experiment.dataset.load("validation")
    assert predictions.logits_MBC.shape == (2, len(split), 10)
    assert predictions.ids == tuple(split.ids)
    assert predictions.labels_B is not None
    assert predictions.labels_B.tolist() == split.labels.tolist()  # type: ignore[union-attr]
    about = {k: predictions.meta[k] for k in ("run", "method", "dataset", "split", "classes")}
    assert about == {
        "run": "deep",
        "method": "deep",
        "dataset": "digits",
        "split": "validation",
        "classes": list("0123456789"),
    }
    assert predictions.meta["seconds"] > 0


def test_predictions_are_those_of_the_ensemble_in_one_batch(trained: Run) -> None:
    ensemble, split = trained.ensemble(), trained.experiment.dataset.load("validation")
    backbone = trained.experiment.backbone.load(10)
    with torch.no_grad():
        logits = ensemble(**backbone.prepare(backbone.collate(split.examples))).logits
    close(trained.predict("validation").logits_MBC, logits, depth=8)


def test_predictions_are_computed_once(trained: Run) -> None:
    first = trained.predict("test")
    path = trained.folder / "predictions" / "digits-test.safetensors"
    written = path.stat().st_mtime_ns
    again = Run(trained.folder).predict("test")
    assert torch.equal(again.logits_MBC, first.logits_MBC)
    assert path.stat().st_mtime_ns == written


@pytest.mark.parametrize("spoil", ["weights", "truncated", "foreign"])
def test_predictions_are_computed_anew_when_they_are_out_of_date(
    experiment: Experiment, tmp_path: Path, spoil: str
) -> None:
    run = train(experiment, tmp_path / "run", on_progress=silent)
    path = run.folder / "predictions" / "digits-test.safetensors"
    before = run.predict("test")
    if spoil == "weights":
        other = run.ensemble()
        with torch.no_grad():
            for parameter in other.parameters():
                parameter.add_(0.1)
        other.save_pretrained(run.folder / "ensemble")
        assert not torch.equal(run.predict("test").logits_MBC, before.logits_MBC)
    else:
        path.write_bytes(path.read_bytes()[:100] if spoil == "truncated" else b"nothing of ours")
        assert torch.equal(run.predict("test").logits_MBC, before.logits_MBC)
        assert torch.equal(Predictions.load(path).logits_MBC, before.logits_MBC)


def test_variants_of_a_data_set_have_predictions_of_their_own(trained: Run) -> None:
    other = Digits(split_seed=5)
    ours, theirs = trained.predict("test"), trained.predict("test", other)
    assert ours.ids != theirs.ids
    assert torch.equal(trained.predict("test").logits_MBC, ours.logits_MBC)
    names = sorted(p.name for p in (trained.folder / "predictions").glob("*test.safetensors"))
    assert len(names) == 2
    assert "digits-test.safetensors" in names


def test_predictions_of_a_checkpoint(trained: Run) -> None:
    last, first = trained.predict("validation", step=6), trained.predict("validation", step=3)
    final = trained.predict("validation")
    close(last.logits_MBC, final.logits_MBC, depth=8)
    assert not torch.allclose(first.logits_MBC, final.logits_MBC)
    assert first.meta["step"] == 3
    with pytest.raises(RunFolderError, match="no checkpoint of step 4; there are: 3, 6"):
        trained.predict("validation", step=4)


def test_dropout_at_prediction_is_the_same_every_time(vit: ViT, tmp_path: Path) -> None:
    from lora_ensemble.methods.mc_dropout import McDropout

    run = train(
        Experiment(vit, McDropout(members=3), Digits(train_examples=20), TRAINING), tmp_path, on_progress=silent
    )
    state = torch.get_rng_state()
    first = run.predict("validation")
    assert torch.equal(torch.get_rng_state(), state)
    (tmp_path / "predictions" / "digits-validation.safetensors").unlink()
    torch.manual_seed(12)
    assert torch.equal(run.predict("validation").logits_MBC, first.logits_MBC)
    assert not torch.equal(first.logits_MBC[0], first.logits_MBC[1])


def test_the_same_call_again_returns_the_finished_run(trained: Run) -> None:
    def never(progress: Progress) -> None:
        raise AssertionError("a finished run was trained again")

    assert train(trained.experiment, trained.folder, on_progress=never).finished
    renamed = replace(trained.experiment, name="renamed", training=replace(trained.experiment.training, workers=1))
    assert train(renamed, trained.folder, on_progress=never).finished


def test_passes_and_checkpointing_change_no_number(vit: ViT, tmp_path: Path) -> None:
    experiment = Experiment(vit, Lora(members=3, r=2), Digits(train_examples=60), TRAINING)
    frugal = replace(experiment, training=replace(TRAINING, members_per_pass=2, gradient_checkpointing=True))
    assert frugal.fingerprint() == experiment.fingerprint()
    plain = train(experiment, tmp_path / "plain", on_progress=silent).predict("validation")
    other = train(frugal, tmp_path / "frugal", on_progress=silent).predict("validation")
    close(other.logits_MBC, plain.logits_MBC)


def test_mixed_precision(vit: ViT, tmp_path: Path) -> None:
    experiment = Experiment(vit, Single(), Digits(train_examples=60), replace(TRAINING, precision="bf16"))
    predictions = train(experiment, tmp_path, on_progress=silent).predict("validation")
    assert predictions.logits_MBC.dtype == torch.float32
    rounded = predictions.logits_MBC.bfloat16().float()
    assert torch.equal(rounded, predictions.logits_MBC)  # computed in bf16, as the training was


class InterruptedByTestError(Exception):
    """Something outside stops the training."""


def test_an_interrupted_run_goes_on_where_it_was(vit: ViT, tmp_path: Path) -> None:
    experiment = Experiment(
        vit, Lora(members=2, r=2), Digits(train_examples=60), replace(TRAINING, checkpoint_seconds=0)
    )
    whole = train(experiment, tmp_path / "whole", on_progress=silent)
    seen: list[int] = []

    def stop(progress: Progress) -> None:
        seen.append(progress.step)
        if progress.step == 4:
            raise InterruptedByTestError

    with pytest.raises(InterruptedByTestError):
        train(experiment, tmp_path / "run", on_progress=stop)
    run = Run(tmp_path / "run")
    assert not run.finished
    with pytest.raises(RunFolderError, match="not finished"):
        run.predict("test")
    train(experiment, tmp_path / "run", on_progress=lambda progress: seen.append(progress.step))
    assert seen == [1, 2, 3, 4, 4, 5, 6]
    assert run.checkpoints() == []
    same = zip(_weights(whole), _weights(run), strict=True)
    assert all(a.read_bytes() == b.read_bytes() for a, b in same)


def test_interrupted_snapshots_go_on_too(vit: ViT, tmp_path: Path) -> None:
    cyclic = replace(TRAINING, schedule="cyclic-cosine", checkpoint_seconds=0)
    experiment = Experiment(vit, Snapshot(members=3), Digits(train_examples=60), cyclic)
    whole = train(experiment, tmp_path / "whole", on_progress=silent)

    def stop(progress: Progress) -> None:
        if progress.step == 5:
            raise InterruptedByTestError

    with pytest.raises(InterruptedByTestError):
        train(experiment, tmp_path / "run", on_progress=stop)
    resumed = train(experiment, tmp_path / "run", on_progress=silent)
    logits_MBC = resumed.predict("validation").logits_MBC
    assert logits_MBC.shape[0] == 3
    assert not torch.equal(logits_MBC[0], logits_MBC[1])
    assert torch.equal(logits_MBC, whole.predict("validation").logits_MBC)


def _weights(run: Run) -> list[Path]:
    found = sorted((run.folder / "ensemble").rglob("*.safetensors"))
    assert found
    return found


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda e: replace(e, seed=3), r"seed is 0 there and 3 here"),
        (lambda e: replace(e, method=Deep(members=2)), r"method\.kind is 'single' there and 'deep' here"),
        (
            lambda e: replace(e, training=replace(e.training, learning_rate=0.5)),
            r"training\.learning_rate is 0\.01 there and 0\.5 here",
        ),
    ],
)
def test_a_different_experiment_is_refused(
    experiment: Experiment, tmp_path: Path, change: Callable[[Experiment], Experiment], message: str
) -> None:
    with pytest.raises(InterruptedByTestError):
        train(experiment, tmp_path, on_progress=_raise)
    before = (tmp_path / "run.json").read_bytes()
    with pytest.raises(RunFolderError, match=message):
        train(change(experiment), tmp_path, on_progress=silent)
    assert (tmp_path / "run.json").read_bytes() == before


def _raise(progress: Progress) -> None:
    raise InterruptedByTestError


def test_a_run_that_came_to_nothing_gives_way(experiment: Experiment, tmp_path: Path) -> None:
    mistaken = replace(experiment, backbone=ViT(name=str(tmp_path / "nowhere")))
    with pytest.raises(UserError, match="nowhere"):
        train(mistaken, tmp_path / "run", on_progress=silent)
    assert Run(tmp_path / "run").experiment == mistaken
    run = train(experiment, tmp_path / "run", on_progress=silent)
    assert run.finished
    assert run.experiment == experiment
    with pytest.raises(RunFolderError, match=r"holds a different run: backbone\.name is"):
        train(mistaken, tmp_path / "run", on_progress=silent)


def test_a_folder_with_other_files_is_refused(experiment: Experiment, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    (tmp_path / ".thesis.tmp").write_text("and what an editor keeps")
    with pytest.raises(RunFolderError, match=r"is not empty and holds no run \(there is '\.thesis\.tmp'\)"):
        train(experiment, tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [".thesis.tmp", "thesis.tex"]


def test_a_file_is_no_folder(experiment: Experiment, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write into"):
        train(experiment, tmp_path / "file")


@pytest.mark.parametrize("content", ["{", "[]", "{}", "\xff"])
def test_a_damaged_run(tmp_path: Path, content: str) -> None:
    (tmp_path / "run.json").write_text(content, encoding="latin-1")
    with pytest.raises(FileFormatError, match=r"run\.json"):
        Run(tmp_path)


def test_no_run(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=r"holds no run: there is no run\.json"):
        Run(tmp_path / "nothing")


def test_two_processes_cannot_train_in_one_folder(experiment: Experiment, tmp_path: Path) -> None:
    from lora_ensemble.runs.folder import locked

    with locked(tmp_path), pytest.raises(RunFolderError, match="another process is training"):
        train(experiment, tmp_path, on_progress=silent)
    assert train(experiment, tmp_path, on_progress=silent).finished


def test_a_full_disk_at_the_end_loses_nothing(
    experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = replace(experiment, training=replace(TRAINING, checkpoint_seconds=0))
    with monkeypatch.context() as patch:
        patch.setattr("lora_ensemble.disk.folders.publish", no_space_when("ensemble"))
        with pytest.raises(UserError, match=r"^cannot write .*ensemble: No space left on device$"):
            train(experiment, tmp_path, on_progress=silent)
    steps: list[int] = []
    run = train(experiment, tmp_path, on_progress=lambda progress: steps.append(progress.step))
    assert steps == [6]  # only what came after the last checkpoint
    assert run.finished
    assert not list(tmp_path.glob(".partial-*"))


def no_space_when(name: str) -> Callable[[Path, Path], None]:
    from lora_ensemble.disk.folders import publish

    def refuse(partial: Path, path: Path) -> None:
        if path.name == name:
            raise OSError(28, "No space left on device")
        publish(partial, path)

    return refuse


def test_a_full_disk_at_the_start(experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(path: Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(files, "_flush", no_space)
        with pytest.raises(UserError, match=r"^cannot write .*run\.json: No space left on device$"):
            train(experiment, tmp_path, on_progress=silent)
    assert train(experiment, tmp_path, on_progress=silent).finished


def test_examples_that_the_backbone_does_not_understand(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def as_text(self: Dataset, split: str) -> Split:
        return Split([{"text": "a"}], None, ["a"], ["0", "1"], "text")

    monkeypatch.setattr(Digits, "load", as_text)
    with pytest.raises(ConfigurationError, match="holds text, backbone 'vit' understands image"):
        train(experiment, tmp_path, on_progress=silent)


def test_impossible_data_is_one_line(experiment: Experiment, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="train_examples = 3"):
        train(replace(experiment, dataset=Digits(train_examples=3)), tmp_path, on_progress=silent)


def test_every_recipe_is_without_problems() -> None:
    for name in registry.names("recipes"):
        registry.recipe(name).check()

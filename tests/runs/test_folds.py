"""Cross-validation in run folders: a LoRA ensemble on real digits in three folds."""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from lora_ensemble import registry
from lora_ensemble.analysis import evaluate
from lora_ensemble.backbones.vit import ViT
from lora_ensemble.datasets.digits import Digits
from lora_ensemble.datasets.letters import Letters
from lora_ensemble.errors import ConfigurationError, DataError, RunFolderError, UnknownNameError, UserError
from lora_ensemble.experiment import Experiment
from lora_ensemble.predictions import Predictions
from lora_ensemble.runs.run import train
from lora_ensemble.studies.folds.pooled import PooledFolds, opened
from lora_ensemble.studies.folds.read import BEST, CrossValidation, first_best
from lora_ensemble.studies.folds.train import cross_validate, fold_experiments
from lora_ensemble.studies.groups import by_experiment, joined, result
from lora_ensemble.training.progress import Progress
from plugged import plugged
from tolerance import close


@pytest.fixture(scope="module", autouse=True)
def _plugins() -> Iterator[None]:
    with plugged():
        yield


@pytest.fixture(scope="module")
def experiment() -> Experiment:
    """Three epochs, whose weights are kept."""
    made = registry.recipe("fold-digits-lora")
    return replace(made, training=replace(made.training, save="epoch"))


def silent(fold: int, progress: Progress) -> None:
    """Shows nothing."""


run_folds = partial(cross_validate, on_progress=silent)


@pytest.fixture(scope="module")
def done(experiment: Experiment, tmp_path_factory: pytest.TempPathFactory) -> CrossValidation:
    """All three folds; tests must leave them as they are."""
    return run_folds(experiment, tmp_path_factory.mktemp("runs") / "digits")


def test_a_fold_is_the_run_of_its_experiment(experiment: Experiment, done: CrossValidation, tmp_path: Path) -> None:
    assert done.finished
    assert list(done.runs) == [1, 2, 3]
    assert done.runs[2].folder == done.folder / "fold-2"
    alone = replace(experiment, dataset=replace(experiment.dataset, fold=2))  # type: ignore[call-arg]
    assert done.runs[2].experiment.determining() == alone.determining()
    run = train(alone, tmp_path, on_progress=lambda _: None)
    assert torch.equal(run.predict("test").logits_MBC, done.runs[2].predict("test").logits_MBC)


def test_every_row_is_predicted_once_by_an_ensemble_that_did_not_see_it(done: CrossValidation) -> None:
    pooled = done.pooled()
    scans = Digits().load("test")
    assert sorted(pooled.ids or ()) == sorted(scans.ids[:62])
    assert pooled.labels_B is not None
    label = dict(zip(scans.ids, scans.labels, strict=True))  # type: ignore[arg-type]
    assert pooled.labels_B.tolist() == [label[name] for name in pooled.ids or ()]
    for fold, part in done.predict().items():
        seen = set(done.runs[fold].experiment.dataset.load("train").ids)
        assert seen.isdisjoint(part.ids or ())
        rows = [(pooled.ids or ()).index(name) for name in part.ids or ()]
        assert torch.equal(pooled.rows(rows).logits_MBC, part.logits_MBC)


def test_pooled_scores_are_those_of_the_rows_together(done: CrossValidation) -> None:
    scores = done.scores()
    parts = [run.predict("test") for run in done.runs.values()]
    together = Predictions(
        torch.cat([p.logits_MBC for p in parts], 1), torch.cat([p.labels_B for p in parts if p.labels_B is not None])
    )
    expected = evaluate(together)
    assert dict(scores.pooled) == pytest.approx(dict(expected))
    assert scores.pooled.interval("nll") == pytest.approx(expected.interval("nll"))
    nll = [evaluate(p, intervals=False)["nll"] for p in parts]
    assert scores.mean("nll") == pytest.approx(statistics.fmean(nll))
    assert scores.std("nll") == pytest.approx(statistics.stdev(nll))


def test_the_published_rule_against_plain_counting(done: CrossValidation) -> None:
    means = []
    for epoch in (1, 2, 3):
        shares = []
        for run in done.runs.values():
            p = run.predict("test", step=3 * epoch)  # 41 or 42 rows in batches of 14
            right = 0
            for b, label in enumerate(p.labels_B.tolist() if p.labels_B is not None else ()):
                probs = sum(torch.softmax(p.logits_MBC[m, b].double(), 0) for m in range(p.num_members))
                right += int(torch.as_tensor(probs).argmax()) == label
            shares.append(right / len(p))
        means.append(statistics.fmean(shares))
    assert list(done.mean_accuracies().values()) == pytest.approx(means)
    assert done.best_epoch == 1 + means.index(max(means))
    chosen = [run.predict("test", step=3 * done.best_epoch).logits_MBC for run in done.runs.values()]
    pooled = done.pooled(BEST)
    assert torch.equal(pooled.logits_MBC, torch.cat(chosen, 1))
    assert pooled.meta["epoch"] == done.best_epoch
    for text in (pooled.meta["note"], done.scores(BEST).to_markdown(), done.scores(BEST).to_latex()):
        assert f"Epoch {done.best_epoch} was chosen on the test folds themselves" in text
    assert "note" not in done.pooled().meta


def test_the_first_of_equal_epochs_is_chosen() -> None:
    assert first_best({1: 0.5, 2: 0.1 + 0.2, 3: 0.3}) == 1
    assert first_best({1: 0.2, 2: 0.3, 3: 0.1 + 0.2}) == 2  # the sum is larger by a rounding error


def test_a_single_epoch_and_rules_that_do_not_exist(done: CrossValidation) -> None:
    first, last = done.pooled(1), done.pooled(3)
    assert not torch.equal(first.logits_MBC, last.logits_MBC)
    close(last.logits_MBC, done.pooled().logits_MBC, depth=8)
    with pytest.raises(UnknownNameError, match=r"unknown epoch 'best'\..* Available: best-mean-accuracy, last"):
        done.pooled("best")  # type: ignore[arg-type]
    with pytest.raises(RunFolderError, match="has no weights of epoch 7"):
        done.pooled(7)


def test_the_rule_needs_every_epoch(experiment: Experiment, tmp_path: Path) -> None:
    for keep, save in ((1, "epoch"), (None, "end")):
        training = replace(experiment.training, epochs=2, save=save, keep_checkpoints=keep)
        whole = run_folds(replace(experiment, training=training), tmp_path / save, folds=[1, 2])
        with pytest.raises(RunFolderError, match="has not the weights of every epoch of every fold; train with"):
            whole.pooled(BEST)


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (
            lambda e: replace(e, dataset=Digits()),
            {},
            "data set 'digits' has no folds .*; those that have: .*fold-digits",
        ),
        (lambda e: e, {"folds": [1, 4]}, "data set 'fold-digits' has no fold 4; there are: 1, 2, 3"),
        (lambda e: e, {"jobs": 0}, "jobs = 0: must be at least 1"),
        (lambda e: replace(e, training=replace(e.training, workers=2)), {"jobs": 2}, "training.workers = 2: must be 0"),
        (lambda e: replace(e, training=replace(e.training, epochs=0)), {}, "training.epochs = 0"),
    ],
)
def test_what_cannot_be_cross_validated(
    experiment: Experiment,
    tmp_path: Path,
    change: Callable[[Experiment], Experiment],
    options: dict[str, Any],
    message: str,
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        run_folds(change(experiment), tmp_path / "new", **options)
    assert not (tmp_path / "new").exists()


def test_folds_can_be_added(experiment: Experiment, done: CrossValidation, tmp_path: Path) -> None:
    first = run_folds(experiment, tmp_path, folds=[3])
    assert list(first.runs) == [3]
    assert first.finished
    assert len(first.pooled()) == 20
    assert list(run_folds(experiment, tmp_path, folds=[1]).runs) == [1, 3]
    both = CrossValidation(tmp_path)
    assert torch.equal(both.pooled().logits_MBC[:, :21], done.runs[1].predict("test").logits_MBC)


def test_a_killed_cross_validation_goes_on(experiment: Experiment, done: CrossValidation, tmp_path: Path) -> None:
    experiment = replace(experiment, training=replace(experiment.training, checkpoint_seconds=0.0))
    whole, killed = tmp_path / "whole", tmp_path / "killed"

    def copy(fold: int, progress: Progress) -> None:
        if (fold, progress.step) == (2, 4):
            shutil.copytree(whole, killed)  # what kill -9 would leave: nothing is closed or tidied up

    cross_validate(experiment, whole, on_progress=copy)
    begun = CrossValidation(killed)
    assert [run.finished for run in begun.runs.values()] == [True, False, False]
    assert not begun.finished
    with pytest.raises(RunFolderError, match=r"fold-2 is not finished"):
        begun.pooled()
    written = {path: path.stat().st_mtime_ns for path in (killed / "fold-1").rglob("*.*") if path.is_file()}
    told: list[tuple[int, int]] = []
    again = cross_validate(experiment, killed, on_progress=lambda fold, p: told.append((fold, p.step)))
    assert told == [(2, step) for step in range(4, 10)] + [(3, step) for step in range(1, 10)]
    assert len(written) > 5
    assert all(path.stat().st_mtime_ns == when for path, when in written.items())
    assert torch.equal(again.pooled().logits_MBC, done.pooled().logits_MBC)


def test_two_at_a_time_equal_one_after_another(
    experiment: Experiment, done: CrossValidation, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both = cross_validate(experiment, tmp_path / "both", folds=[1, 2], jobs=2)
    lines = capsys.readouterr().err
    for fold, run in both.runs.items():
        ours, theirs = (r.predict("test").logits_MBC for r in (run, done.runs[fold]))
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)  # rounding depends on the number of threads
        assert f"fold-digits-lora, fold {fold}: step 9/9" in lines


def test_the_folder_of_something_else_is_refused(experiment: Experiment, done: CrossValidation, tmp_path: Path) -> None:
    other = replace(experiment, seed=1)
    with pytest.raises(RunFolderError, match="holds a different cross-validation: seed is 0 there and 1 here"):
        run_folds(other, done.folder)
    with pytest.raises(RunFolderError, match=r"holds no cross-validation \(there is 'checkpoints'\)"):
        run_folds(experiment, done.runs[1].folder)
    with pytest.raises(RunFolderError, match=r"is not empty and holds no run \(there is 'cross-validation.json'\)"):
        train(experiment, done.folder, on_progress=lambda _: None)
    renamed = replace(experiment, name="renamed", dataset=replace(experiment.dataset, fold=3))  # type: ignore[call-arg]
    assert run_folds(renamed, done.folder).finished
    with pytest.raises(RunFolderError, match=r"holds no cross-validation: there is no cross-validation\.json"):
        CrossValidation(done.folder / "fold-1")


def test_one_that_came_to_nothing_gives_way(experiment: Experiment, tmp_path: Path) -> None:
    mistaken = replace(experiment, backbone=ViT(name=str(tmp_path / "nowhere")))
    with pytest.raises(UserError, match="nowhere"):
        run_folds(mistaken, tmp_path / "whole")
    right = replace(experiment, training=replace(experiment.training, max_steps=1))
    cross_validate(right, tmp_path / "whole", folds=[2], on_progress=silent)
    whole = CrossValidation(tmp_path / "whole")
    assert list(whole.runs) == [2]
    assert whole.finished
    assert whole.experiment.backbone == experiment.backbone


def test_a_fold_of_another_run_is_refused_before_any_is_trained(experiment: Experiment, tmp_path: Path) -> None:
    foreign = list(fold_experiments(replace(experiment, seed=5)).values())[2]
    train(replace(foreign, training=replace(foreign.training, max_steps=1)), tmp_path / "a", on_progress=lambda _: None)
    folder = tmp_path / "b"
    folder.mkdir()
    (tmp_path / "a").rename(folder / "fold-3")
    (folder / "cross-validation.json").write_bytes(_record(experiment, tmp_path / "c"))
    with pytest.raises(RunFolderError, match="fold-3 holds a different run: "):
        run_folds(experiment, folder)
    assert not CrossValidation(folder).runs[1].finished


def _record(experiment: Experiment, folder: Path) -> bytes:
    with pytest.raises(InterruptedByTestError):
        cross_validate(experiment, folder, on_progress=_raise)
    return (folder / "cross-validation.json").read_bytes()


class InterruptedByTestError(Exception):
    """Something outside stops the training."""


def _raise(fold: int, progress: Progress) -> None:
    raise InterruptedByTestError


# In the place of a run ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def second(experiment: Experiment, tmp_path_factory: pytest.TempPathFactory) -> CrossValidation:
    """The same with another seed."""
    return run_folds(replace(experiment, seed=1), tmp_path_factory.mktemp("runs") / "digits-1")


def test_cross_validations_of_several_seeds_are_one_group(done: CrossValidation, second: CrossValidation) -> None:
    groups = by_experiment([done.folder, second.folder])
    assert list(groups) == ["fold-digits-lora"]
    for run, whole in zip(groups["fold-digits-lora"], (done, second), strict=True):
        assert torch.equal(joined([run]).logits_MBC, whole.pooled().logits_MBC)
    made = result(groups["fold-digits-lora"][1:], "lora", examples=1)
    assert made.scores["nll"] == pytest.approx(evaluate(second.pooled(), intervals=False)["nll"])
    assert made.seed == 1
    assert made.cost["train_seconds"] == pytest.approx(sum(run.cost["seconds"] for run in second.runs.values()))
    assert made.cost["parameters_trained"] == second.runs[1].cost["trainable_parameters"]
    both = joined(groups["fold-digits-lora"])
    assert (both.num_members, len(both)) == (4, 62)


def test_a_cross_validation_is_no_seed_of_a_run_on_one_fold(done: CrossValidation, tmp_path: Path) -> None:
    part = run_folds(done.experiment, tmp_path, folds=[1])
    groups = by_experiment([done.folder, part.folder, done.runs[1].folder])
    assert list(groups) == [
        "fold-digits-lora folds=1, 2, 3",
        "fold-digits-lora folds=1",
        "fold-digits-lora, fold 1",
    ]


def test_other_rows_are_predicted_by_the_runs(done: CrossValidation) -> None:
    assert type(opened(done.runs[1].folder)).__name__ == "Run"
    pooled = opened(done.folder)
    assert isinstance(pooled, PooledFolds)
    for ask in (
        lambda: pooled.predict("train"),
        lambda: pooled.predict("test", Letters()),
        lambda: pooled.predict(step=3),
    ):
        with pytest.raises(UserError, match=r"is a cross-validation, .* such as .*fold-1"):
            ask()
    outside = done.predict("test", Letters())
    assert [p.num_members for p in outside.values()] == [2, 2, 2]


def test_epochs_of_all_folds(done: CrossValidation) -> None:
    pooled = opened(done.folder)
    assert pooled.epochs() == {0: 0, 1: 3, 2: 6, 3: 9}
    found = pooled.predict_epochs()
    assert list(found) == [0, 1, 2, 3]
    assert torch.equal(found[2].logits_MBC, done.pooled(2).logits_MBC)


def test_overlapping_folds_are_noticed(
    experiment: Experiment, done: CrossValidation, monkeypatch: pytest.MonkeyPatch
) -> None:
    same = done.runs[1]
    monkeypatch.setitem(done.runs, 2, same)
    with pytest.raises(DataError, match="occurs more than once"):
        done.pooled()


def test_each_row_is_calibrated_by_its_own_fold(done: CrossValidation, experiment: Experiment) -> None:
    from lora_ensemble.analysis import calibrate
    from lora_ensemble.studies.folds.calibrated import FoldCalibration

    generator = torch.Generator().manual_seed(0)
    parts, fitted = {}, {}
    for fold, p in done.predict().items():
        labels_B = torch.arange(50) % p.num_classes
        known = torch.randn(p.num_members, 50, p.num_classes, generator=generator) * (fold + 1)
        names = {"classes": p.meta["classes"]} if "classes" in p.meta else {}
        parts[fold] = p
        fitted[fold] = calibrate(Predictions(known, labels_B, meta={"split": "validation", **names}), "temperature")
    folds = FoldCalibration.of(fitted, {fold: p.ids or () for fold, p in parts.items()})
    pooled = done.pooled()
    ours = folds(pooled)
    assert folds.name == "temperature"
    for fold, p in parts.items():
        rows = torch.tensor([(pooled.ids or ()).index(name) for name in p.ids or ()])
        close(ours.logits_MBC[:, rows], fitted[fold](p).logits_MBC)
    shuffled = torch.randperm(len(pooled), generator=generator)
    assert torch.equal(folds(pooled.rows(shuffled)).logits_MBC, ours.logits_MBC[:, shuffled])
    with pytest.raises(DataError, match="was in no fold"):
        folds(replace(pooled, ids=[f"x{i}" for i in range(len(pooled))]))


def test_a_cross_validation_has_a_calibration_where_each_fold_has(done: CrossValidation) -> None:
    pooled = PooledFolds(done.folder)
    each = [run.calibrated for run in done.runs.values()]
    assert (pooled.calibrated is None) == any(calibration is None for calibration in each)
    found = result([pooled], "folds")
    assert (found.calibrated is None) == (pooled.calibrated is None)

"""Predictions of a run after a shift, and with hidden features: kept, found again, the same in any batch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lora_ensemble import Experiment, Run, Training, evaluate, train
from lora_ensemble.backbones.digits_vit import DigitsViT
from lora_ensemble.contracts import Method
from lora_ensemble.datasets.digits import Digits
from lora_ensemble.datasets.letters import Letters
from lora_ensemble.errors import ConfigurationError, UserError
from lora_ensemble.methods.deep import Deep
from lora_ensemble.methods.lora import Lora
from lora_ensemble.methods.mc_dropout import McDropout
from lora_ensemble.methods.snapshot import Snapshot
from lora_ensemble.runs.shifts import shifts_named
from lora_ensemble.shifts.fog import Fog
from lora_ensemble.shifts.gaussian_noise import GaussianNoise
from lora_ensemble.shifts.typos import Typos
from tolerance import close

BUDGET = Training(max_steps=4, batch_size=16, device="cpu")


def trained(folder: Path, method: Method, training: Training = BUDGET) -> Run:
    return train(Experiment(DigitsViT(), method, Digits(), training), folder, on_progress=lambda _: None)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return trained(tmp_path_factory.mktemp("shifted") / "run", Lora(members=2, r=2))


def test_kept_under_a_name_and_a_key_of_their_own(run: Run) -> None:
    clean, noisy = run.predict(), run.predict(shift=GaussianNoise(severity=4))
    assert not torch.equal(clean.logits_MBC, noisy.logits_MBC)
    assert noisy.ids == clean.ids
    assert noisy.meta["shift"] == {"kind": "gaussian-noise", "severity": 4, "seed": 0}
    path = run.folder / "predictions" / "digits-test-gaussian-noise-4.safetensors"
    written = path.stat().st_mtime_ns
    assert torch.equal(Run(run.folder).predict(shift=GaussianNoise(severity=4)).logits_MBC, noisy.logits_MBC)
    assert path.stat().st_mtime_ns == written
    other = run.predict(shift=GaussianNoise(severity=4, seed=1))
    assert not torch.equal(other.logits_MBC, noisy.logits_MBC)
    assert path.stat().st_mtime_ns == written  # another seed has a file of its own
    assert run.predict().meta["key"] != noisy.meta["key"]


def test_neither_batch_nor_order_changes_a_row(run: Run, tmp_path: Path) -> None:
    other = trained(tmp_path / "other", Lora(members=2, r=2), replace(BUDGET, batch_size=16))
    vars(other)["_record"]["experiment"]["training"]["batch_size"] = 37
    close(other.predict(shift=Fog(severity=2)).logits_MBC, run.predict(shift=Fog(severity=2)).logits_MBC)


def test_many_load_the_model_once_and_go_on_where_they_were(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    shifts = shifts_named("contrast:severity=1,2,brightness:severity=1", "image")
    first = next(run.predict_shifts(shifts))
    assert first[0] == shifts[0]
    loads = []
    load = Run._load
    monkeypatch.setattr(Run, "_load", lambda self, step: loads.append(step) or load(self, step))
    found = dict(run.predict_shifts(shifts))
    assert list(found) == list(shifts)
    assert len(loads) == 1
    assert dict(run.predict_shifts(shifts)).keys() == found.keys()
    assert len(loads) == 1


def test_what_does_not_fit_is_refused(run: Run) -> None:
    with pytest.raises(UserError, match="'typos' is of text or choices rows; these are image"):
        run.predict(shift=Typos())
    with pytest.raises(ConfigurationError, match="epoch = 0: give it without"):
        run.predict(epoch=0, shift=Fog())


METHODS = [
    Lora(members=2, r=2),
    Deep(members=2),
    McDropout(members=3),
    McDropout(members=2, heads="member"),
    Snapshot(members=2),
]


@pytest.mark.parametrize("method", METHODS, ids=lambda m: type(m).__name__)
def test_features_are_what_the_head_is_given(method: Method, tmp_path: Path) -> None:
    """So that each member's head makes its logits of them; with the rows in their order, also in passes."""
    training = replace(BUDGET, members_per_pass=1, schedule="cyclic-cosine", cycles=2)
    made = trained(tmp_path / "run", method, training if isinstance(method, Snapshot) else BUDGET)
    p = made.predict(features=True)
    assert p.features_MBD is not None
    assert p.features_MBD.shape[:2] == p.logits_MBC.shape[:2]
    if not isinstance(method, McDropout):
        plain = made.predict()
        assert plain.features_MBD is not None  # what was kept with them is found again
    ensemble = made.ensemble()
    for m in range(p.num_members):
        head = _head(ensemble, m)
        close(head(p.features_MBD[m]), p.logits_MBC[m])


def _head(ensemble: torch.nn.Module, m: int) -> torch.nn.Module:
    if hasattr(ensemble, "member"):
        return ensemble.member(m).get_submodule("classifier")
    head = (ensemble.network if hasattr(ensemble, "network") else ensemble.networks[m]).get_submodule("classifier")
    return head.member_layer(m) if hasattr(head, "member_layer") else head


def test_features_tell_letters_from_digits(run: Run) -> None:
    known, outside, reference = (
        run.predict(split, dataset, features=True)
        for split, dataset in (("test", None), ("test", Letters()), ("train", None))
    )
    scores = evaluate(known, outside, reference=reference, intervals=False)
    for name in ("mahalanobis", "relative_mahalanobis", "knn", "vim"):
        assert 0.5 < scores[f"auroc_{name}"] <= 1


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    from lora_ensemble.cli import main

    code = main(list(words))
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def test_the_commands(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import json

    folder = str(run.folder)
    code, out, _ = said(capsys, "predict", folder, "--shift", "contrast:severity=1,5")
    assert code == 0
    assert "contrast 5: 2 members, 800 rows" in out
    code, out, _ = said(capsys, "evaluate", folder, "--shift", "contrast:severity=1,5")
    assert code == 0
    assert "| 5 |" in out
    assert "calibrated_nll" in out
    assert "mean corruption error" in out
    code, out, _ = said(capsys, "evaluate", folder, "--shift", "contrast:severity=1,5", "--format", "json")
    (curve,) = json.loads(out).values()
    accuracy = curve["scores"]["contrast"]["accuracy"]
    assert curve["mean_corruption_error"] == pytest.approx(1 - (accuracy[1] + accuracy[2]) / 2)
    page = tmp_path / "page.html"
    code, _, _ = said(capsys, "report", folder, "--shift", "contrast:severity=1,5", "--output", str(page))
    assert code == 0
    assert "Under shift" in page.read_text(encoding="utf-8")


def test_features_by_command(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(run.folder)
    code, _, err = said(capsys, "predict", folder, "--features", "--ood", "letters")
    assert code == 0
    assert "train split" in err
    code, out, _ = said(capsys, "evaluate", folder, "--ood", "letters", "--format", "json")
    assert code == 0
    assert "auroc_relative_mahalanobis" in out
    assert "auroc_knn" in out


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("evaluate", "--shift", "contrasts"), "Did you mean 'contrast'?"),
        (("evaluate", "--shift", "fog:severity=0"), "severity = 0: expected numbers of 1 to 5"),
        (("evaluate", "--shift", "fog", "--ood", "letters"), "--shift does not go with --ood"),
        (("predict", "--shift", "fog", "--features"), "--features does not go with --shift"),
        (("predict", "--shift", "case"), "shift 'case' is of text or choices rows; these are image"),
    ],
)
def test_mistakes_are_one_line(run: Run, words: tuple[str, ...], part: str, capsys: pytest.CaptureFixture[str]) -> None:
    command, *others = words
    code, out, err = said(capsys, command, str(run.folder), *others)
    assert code == 2
    assert out == ""
    assert part in err
    assert "Traceback" not in err


def test_results_with_a_curve_are_read_again(run: Run) -> None:
    from lora_ensemble.analysis import shift_curve
    from lora_ensemble.report import RunResult, summarise

    after = run.predict(shift=Fog(severity=2))
    curve = shift_curve(run.predict(), [("fog", 2, after), ("snow", 1, after)])
    made = replace(summarise(run.predict(), "lora", intervals=False), shift=curve)
    read = RunResult.from_dict(made.to_dict())
    assert read.shift is not None
    assert read.shift.corruption_errors == curve.corruption_errors
    assert read.to_dict() == made.to_dict()

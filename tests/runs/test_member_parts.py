"""Members that were trained apart are the ensemble that is trained together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lora_ensemble import Ensemble
from lora_ensemble.backbones.digits_vit import DigitsViT
from lora_ensemble.cli import main
from lora_ensemble.datasets.digits import Digits
from lora_ensemble.errors import ConfigurationError
from lora_ensemble.experiment import Experiment
from lora_ensemble.methods.lora import Lora
from lora_ensemble.runs.building import load_backbone
from lora_ensemble.runs.member_parts import in_order
from lora_ensemble.runs.run import Run, train
from lora_ensemble.studies.groups import by_experiment, ensembles, joined
from lora_ensemble.training.options import Training
from lora_ensemble.training.progress import Progress

WHOLE = Experiment(
    DigitsViT(),
    Lora(members=4, r=2),
    Digits(train_examples=60),
    Training(epochs=2, batch_size=20, learning_rate=1e-2, device="cpu", data_order="independent"),
    name="apart",
)


def silent(progress: Progress) -> None:
    """Shows nothing."""


def members(first: int, number: int, **changes: object) -> Experiment:
    return replace(WHOLE, method=replace(WHOLE.method, members=number, first_member=first, **changes))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    folder = tmp_path_factory.mktemp("parts")
    made = {"all": WHOLE, "0:2": members(0, 2), "2:4": members(2, 2), "1:2": members(1, 1), "r": members(2, 2, r=1)}
    return {name: train(e, folder / name.replace(":", "-"), on_progress=silent) for name, e in made.items()}


def test_parts_predict_as_the_whole_whatever_their_order(runs: dict[str, Run]) -> None:
    groups = by_experiment([runs["2:4"].folder, runs["0:2"].folder])
    ((label, parts),) = ensembles(groups, concat=True)
    assert label == "apart"
    together = joined(parts, "validation")
    torch.testing.assert_close(together.logits_MBC, runs["all"].predict("validation").logits_MBC, rtol=1e-3, atol=1e-4)


def test_the_same_member_twice_is_refused(runs: dict[str, Run]) -> None:
    groups = by_experiment([runs["0:2"].folder, runs["1:2"].folder])
    with pytest.raises(ConfigurationError, match=r"0-2 and .*1-2 both hold member 1$"):
        ensembles(groups, concat=True)
    assert len(ensembles(groups, concat=False)) == 2


def test_runs_of_other_settings_are_other_members(runs: dict[str, Run]) -> None:
    assert in_order([runs["r"], runs["2:4"], runs["0:2"]]) == [runs["r"], runs["0:2"], runs["2:4"]]


def test_export_makes_one_folder_of_the_parts(
    runs: dict[str, Run], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = [str(runs[name].folder) for name in ("2:4", "0:2")]
    assert main(["export", *parts, "--output", str(tmp_path / "one")]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'one'}\n"
    merged = Ensemble.from_pretrained(tmp_path / "one", load_backbone(WHOLE, 10).model)
    assert (merged.members, merged.first_member) == (4, 0)
    inputs = {"pixel_values": torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))}
    with torch.no_grad():
        expected = runs["all"].ensemble()(**inputs).logits
        torch.testing.assert_close(merged(**inputs).logits, expected, rtol=1e-3, atol=1e-4)


def test_export_of_other_settings_is_one_line(
    runs: dict[str, Run], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "one"
    assert main(["export", str(runs["0:2"].folder), str(runs["r"].folder), "--output", str(output)]) == 2
    printed = capsys.readouterr().err
    assert "is no part of the ensemble of" in printed
    assert "method.r is 1 there and 2 here" in printed
    assert printed.count("\n") == 1
    assert not output.exists()

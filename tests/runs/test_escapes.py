"""Names from elsewhere: escapes never reach a terminal, and `../` in them leads nowhere."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import ViTConfig, ViTForImageClassification

import plugged
from lora_ensemble.answers.files import about_file
from lora_ensemble.backbones.vit import ViT
from lora_ensemble.cli.program import main
from lora_ensemble.datasets.image_folder import ImageFolder
from lora_ensemble.experiment import Experiment, Training
from lora_ensemble.interop.prs_eth.table import published
from lora_ensemble.methods.lora import Lora
from lora_ensemble.predictions import Predictions
from lora_ensemble.runs.run import Run, train

RED = "\x1b[31mred"
UP = "../../up"


def draw(path: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything is in it, two folders deep, so that `../../` would be seen."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def data(home: Path) -> Path:
    """Images with names, ids and classes of that kind, in a folder of that name."""
    folder = home / "a" / RED
    rows = [(f"{RED}-{i}.png", (RED, UP, "plain")[i % 3], f"{UP}{RED}{i}") for i in range(90)]
    for i, (name, _, _) in enumerate(rows):
        draw(folder / name, i)
    with (folder / "metadata.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("file_name", "label", "id"), *rows])
    return folder


@pytest.fixture(scope="module")
def run(home: Path, data: Path) -> Run:
    config = ViTConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=8, patch_size=4
    )
    torch.manual_seed(0)
    ViTForImageClassification(config).save_pretrained(home / "vit")
    processor = {"size": {"height": 8, "width": 8}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3, "resample": 2}
    (home / "vit" / "preprocessor_config.json").write_text(json.dumps(processor))
    training = Training(epochs=1, batch_size=20, learning_rate=1e-2, device="cpu")
    folder = ImageFolder(data=str(data), id_column="id")
    named = Experiment(ViT(name=str(home / "vit")), Lora(members=2, r=2), folder, training, name=f"{RED} {UP}")
    return train(named, home / "b" / f"run {RED}")


def harmless(capsys: pytest.CaptureFixture[str]) -> str:
    """What was written on both streams since the last time, which acts on no terminal."""
    text = "".join(capsys.readouterr())
    assert [sign for sign in text if (ord(sign) < 32 and sign not in "\n\t") or 0x7F <= ord(sign) < 0xA0] == []
    return text


def files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


def test_training_shows_its_name(run: Run, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(home / "c", ignore_errors=True)
    train(run.experiment, home / "c" / "again")
    assert r"\x1b[31mred ../../up: step" in harmless(capsys)
    assert run.classes == sorted([RED, UP, "plain"])


@pytest.mark.parametrize(
    "words",
    [
        "evaluate RUN",
        "evaluate RUN --scores all",
        "evaluate RUN --format json",
        "evaluate RUN RUN --format latex",
        "evaluate RUN --ood image-folder=DATA",
        "predict RUN",
        "predict RUN --dataset image-folder=DATA",
        "predict RUN --input DATA --output -",
        "predict RUN --input DATA --output OUT/answers.csv --probabilities",
        "verify RUN",
        "calibrate RUN",
        "members RUN",
        "report RUN --output OUT/report.html",
        "export RUN --output OUT/exported",
    ],
)
def test_no_command_lets_them_through(
    words: str, run: Run, home: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / RED
    out.mkdir()
    places = {"RUN": str(run.folder), "DATA": str(data), "OUT": str(out)}
    asked = []
    for word in words.split():
        for name, place in places.items():
            word = word.replace(name, place)
        asked.append(word)
    before = files(home) | files(home.parent)
    assert main(asked) in (0, 2)
    said = harmless(capsys)
    assert "Traceback" not in said
    new = (files(home) | files(home.parent)) - before - files(out)
    assert [path for path in new if not path.is_relative_to(run.folder)] == []


def test_a_report_and_answers_have_them_as_text(run: Run, data: Path, tmp_path: Path) -> None:
    page, answers = tmp_path / "report.html", tmp_path / "answers.jsonl"
    assert main(["report", str(run.folder), "--output", str(page)]) == 0
    assert main(["predict", str(run.folder), "--input", str(data), "--output", str(answers)]) == 0
    assert "\x1b" not in page.read_text()
    rows = [json.loads(line) for line in answers.read_text().splitlines()]
    assert len(rows) == 90
    assert {row["prediction"] for row in rows} <= {RED, UP, "plain"}  # a file has the names themselves
    assert "\x1b" not in answers.read_text()
    assert files(tmp_path) == {page, answers, about_file(answers)}


@pytest.mark.parametrize(
    "words",
    [
        ["evaluate", f"no {RED}"],
        ["evaluate", "RUN", "--ood", RED],
        ["evaluate", "RUN", "--scores", RED],
        ["evaluate", "RUN", "--ood", f"image-folder={RED}"],
        ["predict", "RUN", "--input", RED, "--output", "-"],
        ["predict", "RUN", "--input", "DATA", "--output", f"{RED}.tex"],
        ["predict", "RUN", "--split", RED],
        ["verify", RED],
        ["compare", RED],
        ["compare", "digits-lora", "--vary", f"{RED}=1"],
        ["train", "digits-lora", "--method.r", RED],
        ["train", RED],
        ["settings", RED, "LoRA_Former", "2"],
        ["settings", "CIFAR10_settings_LoRA1", RED, "2"],
        ["report", "RUN", "--output", "RUN/run.json"],
        [RED],
        [f"--{RED}"],
    ],
)
def test_errors_are_one_harmless_line(
    words: list[str], run: Run, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"RUN": str(run.folder), "DATA": str(data), "RUN/run.json": str(run.folder / "run.json")}
    assert main([places.get(word, word) for word in words]) == 2
    said = harmless(capsys).splitlines()
    assert said[-1].startswith("lora-ensemble: ")


def test_a_damaged_image_and_a_damaged_run_are_named(
    run: Run, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / f"{RED}.png").write_bytes(b"\x89PNG" + bytes(40))
    words = ["predict", str(run.folder), "--input", str(tmp_path), "--output", "-"]
    assert main(words) == 2
    assert r"\x1b[31mred.png" in harmless(capsys)
    damaged = tmp_path / f"damaged {RED}"
    shutil.copytree(run.folder, damaged)
    weights = next((damaged / "ensemble").rglob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-8] + bytes(8))
    shutil.rmtree(damaged / "predictions")
    for command in ("evaluate", "verify"):
        assert main([command, str(damaged)]) == 2
        assert r"\x1b[31mred" in harmless(capsys)


def test_settings_in_a_file_of_that_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content: dict[str, dict[str, object]] = {}
    for key, value in published()["CIFAR10/final/CIFAR10_settings_LoRA1"].items():
        section, name = key.split(".")
        content.setdefault(section, {})[name] = value
    path = tmp_path / f"{RED}.json"
    path.write_text(json.dumps(content))
    assert main(["settings", str(path), "LoRA_Former", "2", "--show"]) == 0
    assert r"\u001b[31mred LoRA_Former 2" in harmless(capsys)
    content["training"][RED] = 1
    path.write_text(json.dumps(content))
    assert main(["settings", str(path), "LoRA_Former", "2", "--show"]) == 2
    assert r"\x1b[31mred" in harmless(capsys)


def test_files_of_logits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    generator = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(2, 30, 3, generator=generator), torch.randint(3, (30,), generator=generator)
    meta = {"classes": [RED, UP, "plain"]}
    paths = [tmp_path / f"{RED} {i}.safetensors" for i in range(2)]
    for path in paths:
        Predictions(logits, labels, [f"{UP}{RED}{i}" for i in range(30)], meta).save(path)
    given = list(map(str, paths))
    for words in (["evaluate", *given], ["evaluate", given[0], "--scores", "all"], ["evaluate", *given, "--paired"]):
        assert main(words) == 0
        assert "31mred" in harmless(capsys)
    assert main(["report", *given, "--output", str(tmp_path / f"{RED}.html")]) == 0
    assert "31mred" in harmless(capsys)
    assert {path.parent for path in files(tmp_path)} == {tmp_path}


def test_a_comparison_in_a_folder_of_that_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with plugged.plugged():
        words = [
            "compare",
            "fold-digits-lora",
            "--seeds",
            "0",
            "--vary",
            "method.r=1,2",
            "--output",
            str(tmp_path / RED),
        ]
        assert main(words) == 0
    assert "fold-digits-lora" in harmless(capsys)
    assert {path.name for path in tmp_path.iterdir()} == {RED}

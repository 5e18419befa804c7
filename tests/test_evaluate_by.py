"""`evaluate --by`: where the groups of rows come from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from lora_ensemble import Predictions, Run
from lora_ensemble.cli.program import main
from lora_ensemble.datasets.image_table import ImageTable
from lora_ensemble.datasets.text_table import TextTable
from lora_ensemble.errors import DataError
from lora_ensemble.studies.columns import groups_of


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "single"
    words = ["train", "digits-single", "--training.max-steps", "2", "--device", "cpu", "--output", str(folder)]
    assert main(words) == 0
    return folder


def test_classes_of_a_run(run, capsys):
    assert main(["evaluate", str(run), "--by", "label", "--format", "json"]) == 0
    (found,) = json.loads(capsys.readouterr().out).values()
    assert found["by"] == "label"
    p = Run(run).predict("test")
    rows = torch.bincount(p.labels_B).tolist()
    assert [found["groups"][str(c)]["about"]["samples"] for c in range(10)] == rows
    assert "calibrated" in found["groups"]["0"]
    assert found["worst"]["nll"] == max(found["groups"], key=lambda c: found["groups"][c]["scores"]["nll"])


def test_a_table_beside_it(run, tmp_path, capsys):
    p = Run(run).predict("test")
    table = tmp_path / "sites.csv"
    lines = [f"{name},{'near' if row < 3 else ''}" for row, name in enumerate(p.ids or ())]
    table.write_text("\n".join(["id,site", *reversed(lines)]) + "\n")  # in any order
    assert main(["evaluate", str(run), "--by", f"site={table}", "--raw", "--scores", "accuracy,nll"]) == 0
    printed = capsys.readouterr().out
    assert "| near | 3 |" in printed
    assert f"| (none) | {len(p) - 3} |" in printed
    table.write_text("\n".join(["id,site", *lines[1:]]) + "\n")
    assert main(["evaluate", str(run), "--by", f"site={table}"]) == 2
    assert "says nothing of 1 of " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--by", "sites"], "data set digits has no column 'sites', only label. Any other is given by a table"),
        (["--by", "label", "--ood", "letters"], "--by does not go with --ood: it divides one split"),
        (["--by", "label", "--paired"], "--paired does not go with --by"),
        (["--by", "label", "--scores", "nlll"], "unknown score 'nlll'. Did you mean 'nll'?"),
    ],
)
def test_mistakes(run, words, expected, capsys):
    assert main(["evaluate", str(run), *words]) == 2
    assert expected in capsys.readouterr().err


def test_columns_of_a_users_table_go_with_its_rows(tmp_path):
    table = tmp_path / "t.csv"
    rows = [f"text {i} is {'good' if i % 2 else 'bad'},{i % 2},p{i % 7},{i}" for i in range(60)]
    table.write_text("\n".join(["text,label,patient,age", *rows]) + "\n")
    split = TextTable(data=str(table), label_column="label", group_column="patient", text_column="text").load("test")
    assert set(split.columns) == {"label", "patient", "age"}
    for text, patient, age in zip(
        (e["text"] for e in split.examples), split.columns["patient"], split.columns["age"], strict=True
    ):
        assert text.startswith(f"text {age} ")
        assert patient == f"p{int(age) % 7}"


def test_columns_of_a_table_of_images(tmp_path):
    import numpy as np
    from PIL import Image

    generator = np.random.default_rng(0)
    for i in range(40):
        Image.fromarray(generator.integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(tmp_path / f"{i}.png")
    lines = [f"{i}.png,{'ab'[i % 2]},site{i % 3}" for i in range(40)]
    (tmp_path / "t.csv").write_text("\n".join(["file_name,label,site", *lines]) + "\n")
    split = ImageTable(data=str(tmp_path / "t.csv")).load("test")
    assert [f"site{int(Path(name).stem) % 3}" for name in split.ids] == list(split.columns["site"])


def test_rows_without_ids_are_taken_in_their_order(tmp_path):
    p = Predictions(torch.randn(1, 4, 2), torch.tensor([0, 1, 0, 1]), meta={"classes": ["no", "yes"]})
    assert groups_of("label", p) == ["no", "yes", "no", "yes"]
    (tmp_path / "t.csv").write_text('age\n30\n40\n""\n30\n')
    assert groups_of(f"age={tmp_path / 't.csv'}", p) == ["30", "40", "(none)", "30"]
    (tmp_path / "t.csv").write_text("age\n30\n40\n")
    with pytest.raises(DataError, match="has 2 rows and no ids that say which; expected 4"):
        groups_of(f"age={tmp_path / 't.csv'}", p)
    with pytest.raises(DataError, match="a file of logits has no other columns"):
        groups_of("age", p)

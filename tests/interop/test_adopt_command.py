"""Anybody's adapters become a run: answers are PEFT's, every command takes it, what does not fit is one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from peft import AutoPeftModelForSequenceClassification, LoraConfig, PeftModel, get_peft_model
from torch import nn
from transformers import AutoModelForImageClassification, AutoModelForSequenceClassification, AutoTokenizer

from lora_ensemble.cli import main
from lora_ensemble.runs.run import Run
from tiny_encoders import save_encoder
from tiny_models import around_peft

pytestmark = around_peft

TEXTS = ["good film", "the plot was bad", "a very good actor", "not good", "is the film bad"]


def adapters(make: Any, folder: Path, seeds: tuple[int, ...], **config: Any) -> list[str]:
    paths = []
    for seed in seeds:
        model = get_peft_model(make(), LoraConfig(r=2 + seed, lora_alpha=4, **config))
        generator = torch.Generator().manual_seed(seed)
        for parameter in model.parameters():
            if parameter.requires_grad:
                nn.init.normal_(parameter, std=0.3, generator=generator)
        model.save_pretrained(str(folder / f"adapter-{seed}"))
        paths.append(str(folder / f"adapter-{seed}"))
    return paths


@pytest.fixture
def text(tmp_path: Path) -> tuple[Path, list[str]]:
    base = save_encoder(tmp_path / "base", "bert", headless=True)

    def model() -> Any:
        return AutoModelForSequenceClassification.from_pretrained(base, num_labels=3)

    names = {"id2label": {"0": "fine", "1": "poor", "2": "neither"}}
    made = adapters(model, tmp_path, (0, 1), task_type="SEQ_CLS", target_modules=["query", "value"])
    (Path(made[0]) / "config.json").write_text(json.dumps(names))
    return base, made


def test_answers_are_those_of_peft(text: tuple[Path, list[str]], tmp_path: Path, capsys: Any) -> None:
    base, paths = text
    run = str(tmp_path / "run")
    assert main(["adopt", str(base), *paths, "--output", run]) == 0, capsys.readouterr().err
    assert "2 members, 3 classes (fine, poor, neither)" in capsys.readouterr().out
    pd.DataFrame({"text": TEXTS}).to_csv(tmp_path / "new.csv", index=False)
    words = ["--input", str(tmp_path / "new.csv"), "--output", str(tmp_path / "out.csv"), "--probabilities"]
    assert main(["predict", run, *words]) == 0, capsys.readouterr().err
    answers = pd.read_csv(tmp_path / "out.csv")
    inputs = AutoTokenizer.from_pretrained(base)(TEXTS, padding=True, return_tensors="pt")
    probs = []
    for path in paths:
        plain = AutoModelForSequenceClassification.from_pretrained(base, num_labels=3)
        with torch.no_grad():
            probs.append(PeftModel.from_pretrained(plain, path).eval()(**inputs).logits.softmax(-1).numpy())
    columns = answers[["p_fine", "p_poor", "p_neither"]].to_numpy()
    np.testing.assert_allclose(columns, np.mean(probs, 0), atol=1e-5)


@pytest.mark.filterwarnings("ignore:.*has too few rows of some classes:UserWarning")  # a few rows are enough here
def test_every_command_takes_it(text: tuple[Path, list[str]], tmp_path: Path, capsys: Any) -> None:
    base, paths = text
    rows = [{"text": f"{t} {u}", "label": k} for t in TEXTS for u in TEXTS for k in ("fine", "poor", "neither")[:2]]
    rows += [{"text": f"{t} and {t}", "label": "neither"} for t in TEXTS * 4]
    frame = pd.DataFrame(rows).drop_duplicates("text")
    frame.loc[frame.index[::3], "label"] = "neither"
    frame.loc[frame.index[1::3], "label"] = "poor"
    frame.to_csv(tmp_path / "own.csv", index=False)
    run = str(tmp_path / "run")
    data = ["--data", str(tmp_path / "own.csv")]
    assert "a class 'fine' that the ensemble does not know; it has a, b, c" in said(
        ["adopt", str(base), *paths, "--output", run, *data, "--classes", "a,b,c"], capsys
    )
    given = ["--classes", "poor,fine,neither", *data]  # in another order than those of the data
    assert main(["adopt", str(base), *paths, "--output", run, *given]) == 0, capsys.readouterr().err
    for words in (["evaluate", run], ["calibrate", run], ["verify", run], ["export", run, "--output", f"{run}-out"]):
        assert main(words) == 0, capsys.readouterr().err
    assert "accuracy" in capsys.readouterr().out
    labels = frame.set_index("text")["label"]
    split, p = Run(run).experiment.dataset.load("test"), Run(run).predict("test")
    for example, label in zip(split.examples, p.labels_B.tolist(), strict=True):
        assert ["poor", "fine", "neither"][label] == labels[example["text"]]
    member = AutoPeftModelForSequenceClassification.from_pretrained(f"{run}-out/member-000", num_labels=3)
    assert type(member.get_base_model()).__name__ == "BertForSequenceClassification"
    assert Run(run).adopted == {"base": str(base), "adapters": paths}


def test_images(tmp_path: Path, capsys: Any) -> None:
    from PIL import Image
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

    size = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    torch.manual_seed(0)
    names = {0: "cat", 1: "dog"}
    model = ViTForImageClassification(ViTConfig(image_size=16, patch_size=8, id2label=names, **size))
    model.save_pretrained(tmp_path / "vit")
    ViTImageProcessor(size={"height": 16, "width": 16}).save_pretrained(tmp_path / "vit")

    def load() -> Any:
        return AutoModelForImageClassification.from_pretrained(tmp_path / "vit")

    made = adapters(load, tmp_path, (0, 1, 2), target_modules=["q_proj", "v_proj"], modules_to_save=["classifier"])
    (tmp_path / "new").mkdir()
    for k in range(3):
        Image.fromarray(np.full((16, 16, 3), 80 * k, "uint8")).save(tmp_path / "new" / f"{k}.png")
    run, out = str(tmp_path / "run"), tmp_path / "out.csv"
    assert main(["adopt", str(tmp_path / "vit"), *made, "--output", run]) == 0, capsys.readouterr().err
    assert main(["predict", run, "--input", str(tmp_path / "new"), "--output", str(out)]) == 0
    assert set(pd.read_csv(out)["prediction"]) <= {"cat", "dog"}


def said(words: list[str], capsys: Any) -> str:
    capsys.readouterr()
    assert main(words) == 2
    error: str = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("lora-ensemble: ")
    return error


def test_mistakes_are_one_line(text: tuple[Path, list[str]], tmp_path: Path, capsys: Any) -> None:
    base, paths = text
    run = str(tmp_path / "run")
    assert "give the base model first" in said(["adopt", str(base), "--output", run], capsys)
    assert "--output" in said(["adopt", str(base), *paths], capsys)
    assert "no model" in said(["adopt", str(tmp_path / "no"), *paths, "--output", run], capsys)
    assert "neither a folder nor" in said(["adopt", str(base), str(tmp_path / "no"), "--output", run], capsys)
    named = ["--classes", "a,b"]
    assert "2 classes were named, but the head of" in said(
        ["adopt", str(base), *paths, "--output", run, *named], capsys
    )

    def model() -> Any:
        return AutoModelForSequenceClassification.from_pretrained(base, num_labels=3)

    bare = adapters(model, tmp_path / "bare", (0,), target_modules=["query"])
    assert "nor the adapters have a head" in said(
        ["adopt", str(base), *bare, "--output", run, "--classes", "a,b,c"], capsys
    )
    dora = adapters(model, tmp_path / "dora", (0,), task_type="SEQ_CLS", target_modules=["query"], use_dora=True)
    assert "not supported yet" in said(["adopt", str(base), *dora, "--output", run], capsys)
    assert not Path(run).exists()
    Path(run).mkdir()
    (Path(run) / "mine").write_text("mine")
    assert "not empty" in said(["adopt", str(base), *paths, "--output", run], capsys)


def test_an_adapter_of_another_base_is_warned_of(text: tuple[Path, list[str]], tmp_path: Path) -> None:
    base, paths = text
    other = save_encoder(tmp_path / "other", "bert", headless=True)
    with pytest.warns(UserWarning, match=f"was trained over {base}; the model is {other}"):
        assert main(["adopt", str(other), *paths, "--output", str(tmp_path / "run")]) == 0
    assert Run(tmp_path / "run").finished

"""`lora-ensemble settings` of ESC-50: all folds, as the published command does, or one; from a DeiT of one block."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from timm.models.deit import VisionTransformerDistilled

from lora_ensemble import Run
from lora_ensemble.audio.esc_rows import CLASSES
from lora_ensemble.cli import main
from lora_ensemble.interop.prs_eth.table import published
from lora_ensemble.studies.folds.read import CrossValidation


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Settings of two steps, a clip of each class in five folds, and the weights."""
    home = tmp_path_factory.mktemp("esc50")
    generator = np.random.default_rng(0)
    rows = []
    for fold in range(1, 6):
        for target, name in enumerate(CLASSES):
            for take in "A":
                source = 100 * fold + target
                rows.append({"filename": f"{fold}-{source}-{take}-{target}.wav", "fold": fold, "target": target})
                rows[-1] |= {"category": name, "esc10": target < 10, "src_file": source, "take": take}
                (home / "audio").mkdir(exist_ok=True)
                sound = generator.integers(-9000, 9000, 4800, dtype=np.int16)
                soundfile.write(home / "audio" / str(rows[-1]["filename"]), sound, 16000)
    (home / "meta").mkdir()
    with (home / "meta" / "esc50.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    content: dict[str, dict[str, object]] = {}
    for key, value in published()["ESC50/final/ESC50_settings_LoRA1"].items():
        section, name = key.split(".")
        content.setdefault(f"{section}_settings", {})[name] = value
    content["training_settings"] |= {"max_steps": 2, "max_epochs": 1, "training_batch_size": 400}
    content["data_settings"]["audio_length"] = 32
    (home / "short.json").write_text(json.dumps(content))
    torch.manual_seed(0)
    model = VisionTransformerDistilled(img_size=32, patch_size=16, embed_dim=64, depth=1, num_heads=1)
    torch.save(model.state_dict(), home / "deit.pth")
    return [str(home / "short.json"), "AST_Former", "2", "--data", str(home), "--backbone", str(home / "deit.pth")]


@pytest.mark.parametrize("published_way", [False, True])
def test_all_folds(words: list[str], published_way: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    also = ["--as-published"] if published_way else []
    assert main(["settings", *words, "--output", str(tmp_path / "all"), "--device", "cpu", *also]) == 0
    done = CrossValidation(tmp_path / "all")
    assert (list(done.runs), done.finished) == ([1, 2, 3, 4, 5], True)
    assert len(done.pooled()) == 250
    printed = capsys.readouterr().out
    assert ("chosen on the test folds" in printed) == published_way


def test_one_fold(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["settings", *words, "--output", str(tmp_path), "--device", "cpu", "--fold", "3"]) == 0
    assert Run(tmp_path / "fold-3").experiment.to_dict()["dataset"]["fold"] == 3
    assert main(["settings", *words, "--output", str(tmp_path), "--fold", "6"]) == 2
    assert "--fold 6: there are 1, 2, 3, 4, 5" in capsys.readouterr().err


def test_an_ast_of_audioset_from_a_local_folder(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from transformers import ASTConfig, ASTForAudioClassification

    torch.manual_seed(0)
    config = ASTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, max_length=64, num_labels=9
    )
    ASTForAudioClassification(config).save_pretrained(tmp_path / "ast")
    content = json.loads(Path(words[0]).read_text())
    content["model_settings"]["audioset_pretraining"] = True
    settings = tmp_path / "audioset.json"
    settings.write_text(json.dumps(content))
    asked = [str(settings), *words[1:5], "--backbone", str(tmp_path / "ast"), "--fold", "1", "--device", "cpu"]
    assert main(["settings", *asked, "--output", str(tmp_path / "all")]) == 0
    run = Run(tmp_path / "all" / "fold-1")
    assert run.experiment.backbone.name == str(tmp_path / "ast")  # type: ignore[attr-defined]
    assert run.experiment.backbone.weights is None  # type: ignore[attr-defined]
    assert run.predict("test").logits_MBC.shape == (2, 50, 50)
    main(["settings", *asked[:-5], str(tmp_path / "none"), "--fold", "1", "--output", str(tmp_path / "other")])
    assert "none" in capsys.readouterr().err.splitlines()[-1]

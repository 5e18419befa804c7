"""A backbone that takes something from the training split: computed once, kept with the run, used for predictions."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile
import torch
from transformers import ASTConfig, ASTForAudioClassification

from lora_ensemble import Ensemble, Experiment, Training, train
from lora_ensemble.backbones.ast import Ast
from lora_ensemble.datasets.audio_folder import AudioFolder
from lora_ensemble.methods.single_lora import SingleLora
from lora_ensemble.runs.folder import FINISHED


@pytest.fixture
def data(monkeypatch, tmp_path):
    """Loud recordings to train on, quieter ones to test on."""
    monkeypatch.setenv("LORA_ENSEMBLE_CACHE", "off")
    generator = np.random.default_rng(0)
    for split, loudness in (("train", 0.1), ("validation", 0.1), ("test", 0.01)):
        for label in "ab":
            folder = tmp_path / "clips" / split / label
            folder.mkdir(parents=True)
            for i in range(4):
                soundfile.write(folder / f"{i}.wav", loudness * generator.normal(size=6000), 16_000)
    return AudioFolder(data=str(tmp_path / "clips"))


@pytest.fixture
def backbone(tmp_path):
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    torch.manual_seed(0)
    model = ASTForAudioClassification(ASTConfig(**sizes, max_length=32, num_mel_bins=16, num_labels=2))
    model.save_pretrained(tmp_path / "ast")
    return Ast(str(tmp_path / "ast"), frames=32, bins=16, normalisation="training", head_norm="shared")


def test_a_run_keeps_what_its_backbone_took_from_the_training_split(backbone, data, tmp_path):
    training = Training(max_steps=2, batch_size=4, device="cpu", save="epoch")
    run = train(Experiment(backbone, SingleLora(r=2), data, training), tmp_path / "run")
    fitted = backbone.fitted(data.load("train"))
    assert fitted.mean != pytest.approx(backbone.fitted(data.load("test")).mean, abs=1)
    assert run.experiment.backbone == backbone
    kept = json.loads((tmp_path / "run" / FINISHED).read_text())["backbone"]
    assert (kept["mean"], kept["std"], kept["normalisation"]) == (fitted.mean, fitted.std, "given")

    loaded = fitted.load(2)
    ensemble = Ensemble.from_pretrained(tmp_path / "run" / "ensemble")
    assert ensemble.source["mean"] == fitted.mean
    inputs = loaded.prepare(loaded.collate(data.load("test").examples))
    own = ensemble.predict(**inputs).logits_MBC
    torch.testing.assert_close(run.predict("test").logits_MBC, own)
    torch.testing.assert_close(run.predict("test", epoch=1).logits_MBC, own)
    torch.testing.assert_close(run.ensemble().predict(**inputs).logits_MBC, own)

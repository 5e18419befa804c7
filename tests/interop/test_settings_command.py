"""`lora-ensemble settings`, on a CIFAR-10 of a few images in the original form and a backbone of two tokens."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from test_torchvision_vit import fill
from torchvision.models import VisionTransformer

from lora_ensemble import Ensemble, Run
from lora_ensemble.cli import main
from lora_ensemble.cli.commands.settings import default_folder
from lora_ensemble.conversions.torchvision import ARCHITECTURES
from lora_ensemble.interop.prs_eth import load_weights, predict, published_scores
from lora_ensemble.interop.prs_eth.command_line import DATASETS, Request
from lora_ensemble.interop.prs_eth.table import Settings, published

_, LAYERS, HEADS, WIDTH = ARCHITECTURES["vit_b_32"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder with cifar-10-batches-py: 10 training images, 20 test images."""
    folder = tmp_path_factory.mktemp("cifar10")
    generator = np.random.default_rng(0)
    for name, size in {**{f"data_batch_{i}": 2 for i in range(1, 6)}, "test_batch": 20}.items():
        pixels = generator.integers(0, 256, (size, 3072), dtype=np.uint8)
        labels = [i % 10 for i in range(size)]
        (folder / "cifar-10-batches-py").mkdir(exist_ok=True)
        (folder / "cifar-10-batches-py" / name).write_bytes(pickle.dumps({b"data": pixels, b"labels": labels}))
    return folder


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    """torchvision's vit_b_32 with narrow hidden layers, for images of one patch."""
    path = tmp_path_factory.mktemp("backbone") / "vit_b_32.pth"
    torch.save(fill(VisionTransformer(32, 32, LAYERS, HEADS, WIDTH, 4)).state_dict(), path)
    return path


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file of LoRA_Former with 2 members of rank 8 for CIFAR-10."""
    generator = torch.Generator().manual_seed(0)
    tensors = {"head_weight": torch.randn(2, 10, WIDTH, generator=generator) / 10, "head_bias": torch.zeros(2, 10)}
    for i in range(LAYERS):
        for p in ("q", "k", "v", "out"):
            tensors[f"encoder_layer_{i}_{p}_proj_w_a.weight"] = torch.randn(2, 8, WIDTH, generator=generator)
            tensors[f"encoder_layer_{i}_{p}_proj_w_b.weight"] = torch.randn(2, WIDTH, 8, generator=generator) / WIDTH
    path = tmp_path_factory.mktemp("weights") / "weights.pt"
    torch.save(tensors, path)
    return path


def settings(*words, data, backbone):
    return main(["settings", *map(str, words), "--data", str(data), "--backbone", str(backbone), "--device", "cpu"])


def test_show_prints_the_experiment_and_what_differs(capsys):
    assert main(["settings", "CIFAR10_settings_LoRA1", "LoRA_Former", "4", "--show", "--as-published"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["training"]["data_order"] == "fixed"
    assert err.startswith("lora of vit_b_32, members 4, r 8")
    assert "\n- " in err


def test_weights_are_evaluated_and_exported(tmp_path, data, backbone, weights, capsys):
    output = tmp_path / "exported"
    words = ("CIFAR10_settings_LoRA1", "LoRA_Former", 2, weights, "--output", output, "--as-published")
    assert settings(*words, data=data, backbone=backbone) == 0
    out, _ = capsys.readouterr()
    assert (output / "ensemble" / "member-001" / "adapter_model.safetensors").is_file()
    ensemble, dataset = Ensemble.from_pretrained(output / "ensemble"), DATASETS["CIFAR10"][0](data=str(data))
    predictions = predict(ensemble, dataset, device="cpu")
    assert torch.allclose(
        predictions.logits_MBC, predict(load_weights(weights, backbone), dataset, device="cpu").logits_MBC, atol=1e-4
    )
    assert f"{published_scores(predictions)['nll']:.4f}" in out
    run = Run(output)
    assert torch.equal(run.predict("test").logits_MBC, Run(output).predict("test").logits_MBC)
    assert torch.allclose(run.predict("test").logits_MBC, predictions.logits_MBC, atol=1e-4)
    assert run.adopted["weights"] == weights.name
    ood = ["--ood", f"cifar10={data}"]
    assert main(["evaluate", str(output), *ood]) == 0
    assert "auroc_msp" in capsys.readouterr().out
    assert main(["report", str(output), *ood, "--output", str(tmp_path / "report.html")]) == 0
    assert settings(*words, data=data, backbone=backbone) == 0  # it is there, and its predictions are kept
    assert capsys.readouterr().out.endswith(out)
    others = (*words[:3], weights, "--output", tmp_path)
    assert settings(*others, data=data, backbone=backbone) == 2
    assert "not empty" in capsys.readouterr().err.splitlines()[-1]


def test_other_numbers_than_asked_for_are_one_line(data, backbone, weights, capsys):
    for words, said in (
        (("CIFAR10_settings_LoRA1", "LoRA_Former", 4, weights), "members = 2 in the file, expected 4"),
        (("CIFAR100_settings_LoRA1", "LoRA_Former", 2, weights), "num_classes = 10 in the file, expected 100"),
        (("HAM10000_settings_LoRA1", "LoRA_Former", 2, weights), "r = 8 in the file, expected 4"),
    ):
        assert settings(*words, data=data, backbone=backbone) == 2
        assert said in capsys.readouterr().err.splitlines()[-1]


def test_training_ends_in_a_run_and_its_scores(tmp_path, data, backbone, capsys):
    values = published()["CIFAR10/final/CIFAR10_settings_LoRA1"] | {
        "training.max_steps": 2,
        "training.steps_lr_warmup": 0,
        "training.training_batch_size": 4,
    }
    content: dict = {}
    for key, value in values.items():
        section, name = key.split(".")
        content.setdefault(f"{section}_settings", {})[name] = value
    (tmp_path / "short.json").write_text(json.dumps(content))
    words = (tmp_path / "short.json", "LoRA_Former", 2, "--as-published", "--output", tmp_path / "run")
    assert settings(*words, data=data, backbone=backbone) == 0
    run = Run(tmp_path / "run")
    assert (run.cost["steps"], run.experiment.training.data_order, run.experiment.seed) == (2, "fixed", 42)
    out = capsys.readouterr().out
    assert f"{published_scores(run.predict('test'))['accuracy']:.4f}" in out


def test_early_stopping_as_published_scores_the_best_epoch_of_the_first_rows(tmp_path, data, backbone, capsys):
    values = published()["CIFAR10/final/CIFAR10_settings_LoRA1"] | {
        "training.max_steps": 4,
        "training.steps_lr_warmup": 0,
        "training.learning_rate": 0.05,
        "training.training_batch_size": 4,
        "training.early_stopping": True,
        "data.subset_train_iterations": 1,
        "data.subset_evaluation_iterations": 2,
        "evaluation.evaluation_batch_size": 5,
    }
    content: dict = {}
    for key, value in values.items():
        section, name = key.split(".")
        content.setdefault(f"{section}_settings", {})[name] = value
    (tmp_path / "early.json").write_text(json.dumps(content))
    words = (tmp_path / "early.json", "LoRA_Former", 2, "--as-published", "--output", tmp_path / "run")
    assert settings(*words, data=data, backbone=backbone) == 0
    run = Run(tmp_path / "run")
    first = [run.predict("test", epoch=epoch).rows(list(range(10))) for epoch in (1, 2, 3, 4)]  # a step is an epoch
    accuracies = [published_scores(p)["accuracy"] for p in first]
    best = published_scores(first[accuracies.index(max(accuracies))])
    out = capsys.readouterr().out
    assert f"{best['accuracy']:.4f}" in out
    assert f"{best['nll']:.4f}" in out


def test_settings_that_only_evaluate_bce_and_a_weight_for_each_class(tmp_path, capsys):
    values = published()["CIFAR10/final/CIFAR10_settings_LoRA1"] | {
        "training.training": False,
        "training.loss": "BCE",
        "training.class_weights": [1, 2.5] + [1] * 8,
    }
    content: dict = {}
    for key, value in values.items():
        section, name = key.split(".")
        content.setdefault(f"{section}_settings", {})[name] = value
    path = tmp_path / "own.json"
    path.write_text(json.dumps(content))
    assert main(["settings", str(path), "LoRA_Former", "2", "--show"]) == 0
    training = json.loads(capsys.readouterr().out)["training"]
    assert training["loss"] == "binary-cross-entropy"
    assert training["class_weight_values"] == [1, 2.5] + [1] * 8
    assert main(["settings", str(path), "LoRA_Former", "2", "--output", str(tmp_path / "run")]) == 2
    assert "training.training = false only evaluates" in capsys.readouterr().err.splitlines()[-1]
    for wrong in ([], ["heavy"], "EN", 3):
        content["training_settings"]["class_weights"] = wrong
        path.write_text(json.dumps(content))
        assert main(["settings", str(path), "LoRA_Former", "2", "--show"]) == 2
        assert "training.class_weights" in capsys.readouterr().err.splitlines()[-1]


def test_settings_of_one_name_have_folders_of_their_own(tmp_path):
    (tmp_path / "mine.json").write_text("{}")
    studies = [n for n in published() if n.endswith("/HAM10000_settings_rank1")]
    asked = [
        Request(Settings(n, {}), "LoRA_Former", 2, p)
        for n in [*studies, str(tmp_path / "mine.json")]
        for p in (False, True)
    ]
    folders = [default_folder(a) for a in asked]
    assert len(set(folders)) == 6
    assert Path("runs/mine-LoRA_Former-2") in folders


def test_published_scores_mix_two_poolings(data, backbone, weights):
    from lora_ensemble import evaluate

    p = predict(load_weights(weights, backbone), DATASETS["CIFAR10"][0](data=str(data)), device="cpu")
    mixed, logits, probabilities = published_scores(p), evaluate(p, pooling="softmax-of-mean-logits"), evaluate(p)
    assert mixed["accuracy"] == logits["accuracy"]
    assert mixed["ece_10"] == logits["ece_10"] != probabilities["ece_10"]
    assert mixed["nll"] == probabilities["nll"] != logits["nll"]

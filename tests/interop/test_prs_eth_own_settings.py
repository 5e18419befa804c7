"""What the published code reads and no published settings file holds: early stopping, parts of epochs, BCE, means."""

from __future__ import annotations

import torch
from test_prs_eth_settings import said, sections, written

from lora_ensemble.interop.prs_eth import experiment_from_settings
from lora_ensemble.interop.prs_eth.command_line import request
from lora_ensemble.interop.prs_eth.scores import published_rows
from lora_ensemble.predictions import Predictions


def with_values(name, folder, **values):
    """A settings file: a published one with other values, by section and key with two underscores between."""
    content = sections(name)
    for key, value in values.items():
        section, key = key.split("__")
        content.setdefault(f"{section}_settings", {})[key] = value
    return written(content, folder)


def test_other_means_of_gaussians(tmp_path):
    gaussian = {"LoRA__weight_init": "gaussian", "LoRA__gaussian_std": 0.1, "LoRA__gaussian_mean": 0.25}
    heads = {"model__head_init": "gaussian", "model__gaussian_std": 0.5, "model__gaussian_mean": -1}
    path = with_values("CIFAR100/final/CIFAR100_settings_LoRA1", tmp_path, **gaussian, **heads)
    method = experiment_from_settings(path, "LoRA_Former", 2).method
    assert (method.init_a, method.init_std, method.init_mean) == ("gaussian", 0.1, 0.25)
    assert (method.head_init, method.head_std, method.head_mean) == ("gaussian", 0.5, -1.0)
    path = with_values("CIFAR100/final/CIFAR100_settings_explicit1", tmp_path, **heads)
    assert experiment_from_settings(path, "Deep_Ensemble", 2).method.head_mean == -1.0
    zero = with_values("CIFAR100/final/CIFAR100_settings_explicit1", tmp_path, **heads | {"model__gaussian_mean": 0.0})
    assert "method.head_mean" not in experiment_from_settings(zero, "Deep_Ensemble", 2).determining()


def test_heads_of_dropout_and_snapshots_start_as_asked(tmp_path):
    name, heads = "CIFAR100/final/CIFAR100_settings_MCDropout1", {"model__head_init": "xavier_uniform"}
    path = with_values(name, tmp_path, **heads, model__xavier_gain=3)
    for as_published in (False, True):
        method = experiment_from_settings(path, "MCDropout", 4, as_published=as_published).method
        assert (method.head_init, method.head_gain, method.heads) == ("xavier", 3.0, "member")
    plain = experiment_from_settings(name, "MCDropout", 4).determining()
    assert not any(key.startswith("method.head_") for key in plain)  # as before there was such a field
    cyclic = {"training__mode": "snapshot", "training__lr_schedule": "cyclic_cosine"}
    name = "CIFAR100/final/CIFAR100_settings_explicit1"
    path = with_values(name, tmp_path, **heads, **cyclic, model__xavier_gain=2)
    method = experiment_from_settings(path, "Deep_Ensemble", 4).method
    assert (method.head_init, method.head_gain) == ("xavier", 2.0)


def test_early_stopping_looks_at_validation_or_as_published_at_all_epochs(tmp_path):
    stopping = {"training__early_stopping": True}
    path = with_values("CIFAR100/final/CIFAR100_settings_LoRA1", tmp_path, **stopping)
    meant, done = (experiment_from_settings(path, "LoRA_Former", 4, as_published=p) for p in (False, True))
    assert (meant.dataset.protocol, meant.training.save) == ("validation", "end")
    assert meant.training.early_stopping > 16  # epochs: never before the end, as published
    assert (done.dataset.protocol, done.training.save) == ("published", "epoch")
    assert done.training.early_stopping is None
    assert "here that with the lowest NLL on a validation split" in said(path)
    assert "so does this command" in said(path, as_published=True)
    path = with_values("ESC50/final/ESC50_settings_LoRA1", tmp_path, **stopping, data__num_classes=50)
    e = experiment_from_settings(path, "AST_Former", 4)
    assert (e.training.early_stopping, e.dataset.protocol) == (None, "published")
    assert "early_stopping = true is stale" in said(path, "AST_Former")


def test_parts_of_epochs_and_of_evaluations(tmp_path):
    parts = {
        "data__subset_train_iterations": 5,
        "data__subset_evaluation_iterations": 3,
        "training__steps_lr_warmup": 0,
    }
    name = "CIFAR100/final/CIFAR100_settings_LoRA1"
    path = with_values(name, tmp_path, **parts, evaluation__evaluation_batch_size=128)
    for as_published in (False, True):
        training = experiment_from_settings(path, "LoRA_Former", 4, as_published=as_published).training
        assert (training.batches_per_epoch, training.max_steps) == (5, 16 * 5)
    assert "the first 3 batches of the test split are scored; here all of it" in said(path)
    asked = request(path, "LoRA_Former", 4, as_published=True)
    p = Predictions(torch.zeros(1, 500, 2), None)
    assert len(published_rows(p, asked)) == 3 * 128
    assert len(published_rows(p.rows(list(range(200))), asked)) == 200
    path = with_values(name, tmp_path, **parts, evaluation__evaluation_batch_size=128, training__early_stopping=True)
    assert experiment_from_settings(path, "LoRA_Former", 4).training.validation_batches == 3 * 128 / 32
    path = with_values(name, tmp_path, data__subset_train_iterations=0)  # as published, no limit
    assert experiment_from_settings(path, "LoRA_Former", 4).training.batches_per_epoch is None


def test_bce_is_the_published_word(tmp_path):
    path = with_values("CIFAR100/final/CIFAR100_settings_LoRA1", tmp_path, training__loss="BCE")
    assert experiment_from_settings(path, "LoRA_Former", 4).training.loss == "binary-cross-entropy"
    assert "BCE stops with an error" in said(path)

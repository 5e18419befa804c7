"""The keys of a settings file of prs-eth/LoRA-Ensemble, and the values that have a meaning here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from lora_ensemble.errors import ConfigurationError, did_you_mean

KEYS: dict[str, str | tuple[Any, ...]] = {
    "model.ViT_config": ("base", "large", "huge", "DeiT_base384"),
    "model.ViT_patch_size": (14, 16, 32),
    "model.perturb_scale": "number",
    "model.max_perturb_layer": "whole number",
    "model.head_init": ("gaussian", "kaiming", "xavier_uniform"),
    "model.gaussian_mean": "number",
    "model.gaussian_std": "number",
    "model.xavier_gain": "number",
    "model.kaiming_a_squared": (5,),
    "model.DeiT_version": ("base384", "base224", "small224", "tiny224"),
    "model.imagenet_pretraining": (True,),
    "model.audioset_pretraining": "true or false",
    "LoRA.rank": "whole number",
    "LoRA.weight_init": ("gaussian", "kaiming", "xavier_uniform"),
    "LoRA.gaussian_mean": "number",
    "LoRA.gaussian_std": "number",
    "LoRA.xavier_gain": "number",
    "LoRA.kaiming_a_squared": (5,),
    "LoRA.chunk_size": "whole number",
    "LoRA.train_conv": "true or false",
    "LoRA.train_pos": "true or false",
    "LoRA.ensemble_layer_norm": "true or false",
    "MCDropout.p_drop": "number",
    "data.data_set": ("CIFAR10", "CIFAR100", "HAM10000", "ESC50"),
    "data.num_classes": "whole number",
    "data.channel_mean": "list",
    "data.channel_std": "list",
    "data.num_workers": "whole number",
    "data.original_size": "list",
    "data.input_size": ([224, 224],),
    "data.training_files": "list",
    "data.evaluation_files": "list",
    "data.shuffle": "true or false",
    "data.tensorboard": "true or false",
    "data.multi_label": (False,),
    "data.subset_train_iterations": "whole number",
    "data.subset_evaluation_iterations": "whole number",
    "data.fstride": "whole number",
    "data.tstride": "whole number",
    "data.audio_length": "whole number",
    "training.training": "true or false",
    "training.mode": ("snapshot",),
    "training.max_epochs": "whole number",
    "training.random_seed": "whole number",
    "training.max_steps": "whole number",
    "training.steps_lr_warmup": "whole number",
    "training.loss": ("cross_entropy", "BCE"),
    "training.class_weights": "class weights",
    "training.ENS_beta": "number",
    "training.optimizer": ("Adam", "AdamW", "SGD"),
    "training.learning_rate": "number",
    "training.SGD_momentum": "number",
    "training.SGD_nesterov": "true or false",
    "training.Adam_betas": "list",
    "training.weight_decay": "number",
    "training.lr_schedule": ("cosine", "constant", "linear", "cyclic_cosine", "epoch_step"),
    "training.burn_in_epochs": "whole number",
    "training.cyclic_cosine_min_lr": "number",
    "training.first_epoch_step": "whole number",
    "training.epoch_step_gamma": "number",
    "training.gradient_clip": "number",
    "training.training_batch_size": "whole number",
    "training.training_augmentation": "augmentation",
    "training.early_stopping": "true or false",
    "training.use_amp": "true or false",
    "training.cross_validation": "true or false",
    "training.cross_validation_fold": "whole number",
    "training.cross_validation_nr_folds": "whole number",
    "evaluation.evaluation": "true or false",
    "evaluation.evaluation_batch_size": "whole number",
    "evaluation.evalution_augmentation": "augmentation",
    "evaluation.NLL_Brier_Score": "true or false",
    "evaluation.timing": "true or false",
}
"""Choices or type of each value, by section (called `model_settings` and so on in the files) and key. Where what a key
asks for is done in one way only, that is the only choice."""

REQUIRED = (
    "model.ViT_config",
    "model.ViT_patch_size",
    "data.data_set",
    "data.shuffle",
    "training.max_epochs",
    "training.max_steps",
    "training.random_seed",
    "training.class_weights",
    "training.optimizer",
    "training.learning_rate",
    "training.weight_decay",
    "training.lr_schedule",
    "training.gradient_clip",
    "training.training_batch_size",
    "training.training_augmentation",
)
CLASS_WEIGHTS = ("uniform", "INS", "ISNS", "ENS")
AUGMENTATIONS = ("flip", "rotate", "standardize", "no_standardize")


def check(name: str, values: Mapping[str, Any]) -> None:
    """Raises ConfigurationError, which lists every unknown key, wrong value and missing key, with the nearest ones."""
    problems = [problem for key, value in values.items() if (problem := _problem(key, value))]
    problems += [f"{key} is missing" for key in REQUIRED if key not in values]
    if problems:
        raise ConfigurationError([f"settings {name}: {problems[0]}", *problems[1:]])


def _problem(key: str, value: Any) -> str | None:
    if key not in KEYS:
        return f"unknown key {key!r}{_near(key, KEYS)}"
    rule = KEYS[key]
    if isinstance(rule, tuple):
        if any(value == choice and isinstance(value, bool) == isinstance(choice, bool) for choice in rule):
            return None
        near = _near(str(value), [choice for choice in rule if isinstance(choice, str)])
        return f"{key} = {value!r}: must be {' or '.join(map(repr, rule))}{near}"
    if rule == "augmentation" and isinstance(value, list):
        wrong = next((str(word) for word in value if word not in AUGMENTATIONS), None)
        return wrong and f"{key}: {wrong!r} is none of {', '.join(AUGMENTATIONS)}{_near(wrong, AUGMENTATIONS)}"
    if rule == "class weights":
        return _problem_of_weights(key, value)
    return None if _is(value, rule) else f"{key} = {value!r}: must be {'' if ' or ' in rule else 'a '}{rule}"


def _problem_of_weights(key: str, value: Any) -> str | None:
    """A word, or a list with the weight of each class."""
    if value in CLASS_WEIGHTS or (isinstance(value, list) and value and all(_is(v, "number") for v in value)):
        return None
    near = _near(str(value), CLASS_WEIGHTS)
    return f"{key} = {value!r}: must be {' or '.join(map(repr, CLASS_WEIGHTS))}, or a list of numbers{near}"


def _is(value: Any, rule: str) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    match rule:
        case "number":
            return number
        case "whole number":
            return number and float(value).is_integer() and value >= 0
        case "true or false":
            return isinstance(value, bool)
    return isinstance(value, list)


def _near(word: str, words: Iterable[str]) -> str:
    hint = did_you_mean(word, words, cutoff=0.5)
    return f".{hint}" if hint else ""

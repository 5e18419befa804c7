"""From settings of prs-eth/LoRA-Ensemble to experiments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lora_ensemble.backbones.ast import Ast
from lora_ensemble.backbones.torchvision_vit import TorchvisionVit
from lora_ensemble.contracts import Backbone, Dataset, Method
from lora_ensemble.conversions.torchvision import ARCHITECTURES
from lora_ensemble.datasets.esc50 import Esc50
from lora_ensemble.errors import ConfigurationError
from lora_ensemble.experiment import Experiment, Training
from lora_ensemble.interop.prs_eth.command_line import DATASETS, Request, request
from lora_ensemble.interop.prs_eth.table import Settings
from lora_ensemble.methods.deep import Deep
from lora_ensemble.methods.lora import Lora
from lora_ensemble.methods.mc_dropout import McDropout
from lora_ensemble.methods.single import Single
from lora_ensemble.methods.single_lora import SingleLora
from lora_ensemble.methods.snapshot import Snapshot

ONLY_AUDIO = ("LoRA.train_conv", "LoRA.train_pos", "LoRA.ensemble_layer_norm", "model.audioset_pretraining")
"""Keys that only mean something for an AST."""

_INIT = {"gaussian": "gaussian", "kaiming": "kaiming", "xavier_uniform": "xavier"}
_SCHEDULE = {"cyclic_cosine": "cyclic-cosine", "epoch_step": "step"}


def experiment_from_settings(
    name_or_path: str | Path, model_name: str, members: int, *, as_published: bool = False
) -> Experiment:
    """The experiment of the published command line `main.py SETTINGS MODEL_NAME MEMBERS`.

    name_or_path: one of the 248 settings names, study/name, or a JSON file of that form. model_name: LoRA_Former,
    Deep_Ensemble or MCDropout; for ESC-50, AST_Former, Explicit_AST or ASTMCDropout, over one fold. By default the
    experiment does what the settings mean; as_published: what the published code makes of them, where that can be
    expressed. `interop.prs_eth.differences` says in words where the two differ.

    Raises UserError for settings or a model that do not exist, or that stand in two studies; ConfigurationError for
    keys and values without meaning.
    """
    return experiment(request(name_or_path, model_name, members, as_published=as_published))


def experiment(asked: Request) -> Experiment:
    """The experiment of a checked command line."""
    values, settings = asked.settings.values, asked.settings
    made = Experiment(
        backbone=_spectrogram_transformer(asked) if asked.audio else _vision_transformer(asked),
        method=_method(asked),
        dataset=_dataset(asked),
        training=_training(asked),
        seed=int(values["training.random_seed"]),
        name=f"{settings.short_name} {asked.model_name} {asked.members}" + " as published" * asked.as_published,
    )
    made.check()
    return made


def _vision_transformer(asked: Request) -> Backbone:
    settings = asked.settings
    if asked.arch not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise ConfigurationError([f"settings {settings.name}: there is no {asked.arch}; there are {known}"])
    if wrong := [key for key in ONLY_AUDIO if settings.get(key)]:
        raise ConfigurationError([f"settings {settings.name}: {key} is for AST_Former" for key in wrong])
    return TorchvisionVit(
        arch=asked.arch,  # type: ignore[arg-type]
        weights="IMAGENET1K_SWAG_LINEAR_V1" if asked.arch == "vit_h_14" else "IMAGENET1K_V1",
        normalisation="none" if asked.as_published else "imagenet",
    )


def _spectrogram_transformer(asked: Request) -> Backbone:
    get, lora = asked.settings.get, asked.method == "lora"
    return Ast(
        weights=asked.weights,
        frames=int(get("data.audio_length", 512)),
        frequency_stride=int(get("data.fstride", 10)),
        time_stride=int(get("data.tstride", 10)),
        head_norm="member" if lora and get("LoRA.ensemble_layer_norm") else "shared",
        fused_qkv=lora,
        train_patch_embedding=lora and bool(get("LoRA.train_conv")),
        train_position_embedding=lora and bool(get("LoRA.train_pos")),
    )


def _dataset(asked: Request) -> Dataset:
    settings = asked.settings
    kind, classes, _ = DATASETS[settings.values["data.data_set"]]
    if settings.get("data.num_classes", classes) != classes:
        given = settings.values["data.num_classes"]
        raise ConfigurationError(
            [f"settings {settings.name}: data.num_classes = {given}, {settings.values['data.data_set']} has {classes}"]
        )
    if kind is Esc50:
        return Esc50(protocol="published", fold=int(settings.get("training.cross_validation_fold", 1)))
    augmentation = settings.values["training.training_augmentation"]
    looked_at = asked.stops_early and not asked.as_published  # never the test split, which the published code looks at
    dataset: Dataset = kind(
        protocol="validation" if looked_at else "published",
        augmentation=tuple(a for a in ("flip", "rotate") if a in augmentation),
    )
    return dataset


def _method(asked: Request) -> Method:
    settings, members = asked.settings, asked.members
    if asked.method == "lora":
        _needed(settings, "LoRA.weight_init", asked.model_name)
        lora: dict[str, Any] = {"r": int(_needed(settings, "LoRA.rank", asked.model_name)), "members": members}
        lora |= _initialisation(settings, "LoRA", "weight_init", "init_a", "init") | _head_init(asked)
        lora |= {"fused_qkv": "joint"} if asked.audio else {}
        return SingleLora(**lora) if members == 1 else Lora(**lora)
    if asked.method == "dropout":
        p = float(_needed(settings, "MCDropout.p_drop", asked.model_name))
        heads = _initialisation(settings, "model", "head_init", "head_init", "head")
        return McDropout(members=members, p=p, heads="member", **heads)
    if asked.snapshot:
        return Snapshot(members=members, **_head_init(asked))
    deep = _noise(asked) | _head_init(asked)
    return Single(**deep) if members == 1 else Deep(members=members, **deep)


def _initialisation(settings: Settings, section: str, key: str, field: str, prefix: str) -> dict[str, Any]:
    """The fields of a method that say how a tensor is drawn; none where the settings leave it open."""
    kind = settings.get(f"{section}.{key}")
    if kind is None:
        return {}
    why = f"{section}.{key} = {kind!r}"
    parameter = {"gaussian": ("gaussian_std", "std"), "xavier_uniform": ("xavier_gain", "gain")}.get(kind)
    own = {f"{prefix}_{parameter[1]}": float(_needed(settings, f"{section}.{parameter[0]}", why))} if parameter else {}
    if kind == "gaussian" and (mean := float(settings.get(f"{section}.gaussian_mean", 0))):
        own[f"{prefix}_mean"] = mean
    return {field: _INIT[kind], **own}


def _head_init(asked: Request) -> dict[str, Any]:
    """How heads start. The published AST models leave them at torch's default; what the settings of their explicit
    ensemble say of it is left over from earlier code."""
    if asked.audio and (asked.as_published or asked.method == "deep"):
        return {}
    return _initialisation(asked.settings, "model", "head_init", "head_init", "head")


def _noise(asked: Request) -> dict[str, Any]:
    """Noise on the last `max_perturb_layer` blocks; as published, on the last of all but so many. None on those of an
    AST, as the published code's description has it: where its settings ask for some, they are older than it."""
    scale, last = asked.settings.get("model.perturb_scale", 0), asked.settings.get("model.max_perturb_layer")
    if asked.as_published and last != 0:
        last = 0 if last is None else asked.layers - last
    if asked.audio or scale == 0 or (last is not None and last <= 0):
        return {}
    return {"noise_scale": float(scale), "noise_blocks": None if last is None else int(last)}


def _training(asked: Request) -> Training:
    v, get = asked.settings.values, asked.settings.get
    published, sgd = asked.as_published, v["training.optimizer"] == "SGD"
    # The published loss is the mean over the members that are trained, ours their sum: so many times its gradient.
    times = asked.trained_members if published else 1
    return Training(
        epochs=int(v["training.max_epochs"]),
        max_steps=_max_steps(asked),
        batch_size=int(v["training.training_batch_size"]),
        learning_rate=float(v["training.learning_rate"]) / (times if sgd else 1),
        betas=tuple(get("training.Adam_betas", (0.9, 0.999))),
        momentum=float(get("training.SGD_momentum", 0)) if sgd else 0.0,
        nesterov=bool(get("training.SGD_nesterov", False)) if sgd else False,
        weight_decay=float(v["training.weight_decay"]) * times,
        gradient_clip=float(v["training.gradient_clip"]) * times,
        optimizer="adam" if published and not sgd else v["training.optimizer"].lower(),
        clip="joint" if published else "member",
        warmup_steps=int(get("training.steps_lr_warmup", 0)),
        **_class_weights(v["training.class_weights"]),
        loss="binary-cross-entropy" if get("training.loss") == "BCE" else None,
        ens_beta=float(get("training.ENS_beta", 0.9991)),
        precision="fp16" if get("training.use_amp") else "fp32",
        members_per_pass=get("LoRA.chunk_size") if asked.method == "lora" else None,
        data_order="fixed" if published and not v["data.shuffle"] else "shared",
        batches_per_epoch=asked.subset("train"),
        **_best_epoch(asked),
        **_schedule(asked),
    )


def _best_epoch(asked: Request) -> dict[str, Any]:
    """The weights of the best epoch stay, by the validation split; the published code, too, trains to the end, so that
    the patience is longer than the training. As published, the command looks for it among all epochs, which are kept.
    """
    if not asked.stops_early:
        return {}
    if asked.as_published:
        return {"save": "epoch"}
    values, batch_size = asked.settings.values, int(asked.settings.values["training.training_batch_size"])
    rows = (asked.subset("evaluation") or 0) * int(asked.settings.get("evaluation.evaluation_batch_size", batch_size))
    return {
        "early_stopping": 2 * max(int(values["training.max_epochs"]), -(-_max_steps(asked) // asked.steps_per_epoch)),
        "validation_batches": -(-rows // batch_size) or None,
    }


def _class_weights(given: str | list[float]) -> dict[str, Any]:
    """By the number of examples, or a weight for each class."""
    if isinstance(given, list):
        return {"class_weight_values": tuple(map(float, given))}
    return {"class_weights": given.lower()}


def _max_steps(asked: Request) -> int:
    """For images `max_steps` counts alone, unless an epoch is cut short; for an AST, whose learning rate falls with the
    epochs, `max_epochs`, too."""
    if asked.audio:
        return asked.published_steps if asked.as_published else asked.steps_in_bounds
    bounded = asked.as_published or asked.subset("train") is not None
    return asked.steps_in_bounds if bounded else int(asked.settings.values["training.max_steps"])


def _schedule(asked: Request) -> dict[str, Any]:
    v, get = asked.settings.values, asked.settings.get
    name = v["training.lr_schedule"]
    if asked.snapshot and asked.method != "deep":
        deep = "Explicit_AST" if asked.audio else "Deep_Ensemble"
        raise ConfigurationError([f"settings {asked.settings.name}: snapshots are for {deep}, not {asked.model_name}"])
    if asked.snapshot != (name == "cyclic_cosine"):
        both = "training.mode = 'snapshot' and training.lr_schedule = 'cyclic_cosine' need each other"
        raise ConfigurationError([f"settings {asked.settings.name}: {both}"])
    fields: dict[str, Any] = {"schedule": _SCHEDULE.get(name, name)}
    if asked.as_published and name in ("cosine", "linear") and asked.steps_in_bounds < v["training.max_steps"]:
        fields["schedule_steps"] = int(v["training.max_steps"])
    if asked.snapshot:
        fields |= {"cycles": asked.members, "min_lr_ratio": float(get("training.cyclic_cosine_min_lr") or 1e-6)}
        if (first := get("training.burn_in_epochs", 0)) and asked.members > 1:
            fields["first_cycle"] = first * (asked.members - 1) / (v["training.max_epochs"] - first)
    if name == "epoch_step":
        fields |= {"first_step_epoch": int(_needed(asked.settings, "training.first_epoch_step", name))}
        fields |= {"step_gamma": float(_needed(asked.settings, "training.epoch_step_gamma", name))}
    return fields


def _needed(settings: Settings, key: str, why: str) -> Any:
    if key not in settings.values:
        raise ConfigurationError([f"settings {settings.name}: {key} is missing, which {why} needs"])
    return settings.values[key]

"""A run out of a base model and anybody's PEFT adapters over it, one member each: task and labels from their files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lora_ensemble import registry
from lora_ensemble.contracts import Backbone, Dataset
from lora_ensemble.engine.adapters import CONFIG, WEIGHTS
from lora_ensemble.engine.saving import local_folder, read_json
from lora_ensemble.errors import ConfigurationError, DataError, FileFormatError, UserError, first_line

if TYPE_CHECKING:
    from lora_ensemble.runs.run import Run

_HEADS = ("classifier.out_proj", "classifier.dense", "classifier.out_lin", "classifier", "score", "head", "fc")
"""Where a classifier ends, by how its path ends."""

DATASETS = {"text": "text-table", "image": "image-folder", "audio": "audio-folder", "choices": "multiple-choice"}
BACKBONES = {"text": "text", "image": "vit", "audio": "ast", "choices": "causal-lm"}


@dataclass(frozen=True)
class Asked:
    """What the user says; what is not said is found in the files."""

    task: str | None = None
    """text, image, audio or choices."""
    classes: tuple[str, ...] = ()
    """Names of the classes, in the order of the logits."""
    data: str | None = None
    """Data of one's own, in the form of `DATASETS`, for `evaluate` and `calibrate`."""


def adopt_adapters(base: str, adapters: Sequence[str | Path], folder: str | Path, asked: Asked | None = None) -> Run:
    """Make a finished run of the adapters, members in their order, on which everything works that works on a trained
    one. base: hub id or local folder of the model that they were trained over.

    Raises ConfigurationError for adapters of a kind that is not supported yet, DataError where task, classes or head
    cannot be found, FileFormatError for what is no adapter or does not fit, RunFolderError for a folder with anything
    in it. An adapter that names another base is warned of."""
    from lora_ensemble.experiment import Experiment
    from lora_ensemble.interop.peft import from_adapters
    from lora_ensemble.runs.adopting import adopt, check_free
    from lora_ensemble.runs.building import load_backbone

    asked = asked or Asked()
    check_free(Path(folder))
    if not adapters:
        raise ConfigurationError(["give at least one adapter: a folder with adapter_config.json, or a hub id"])
    folders = [local_folder(name) for name in adapters]
    config, first = _config(base), read_json(folders[0] / CONFIG)
    task = _task(base, config, first, asked.task)
    classes = _classes(folders[0], config, task, asked.classes)
    dataset = _dataset(task, asked.data)
    if asked.data is not None and task != "choices":
        _check_classes(dataset, classes)
    backbone: Backbone = registry.config_class("backbones", BACKBONES[task])(name=base)
    method = registry.config_class("methods", "lora")(members=len(folders))
    experiment = Experiment(dataset=dataset, backbone=backbone, method=method)
    loaded = load_backbone(experiment, len(classes))
    ensemble = from_adapters(loaded.model, folders)
    if loaded.head is not None and not loaded.own_head and loaded.head not in ensemble.heads:
        raise DataError(f"neither {base} nor the adapters have a head for {len(classes)} classes ({loaded.head})")
    ensemble.method, ensemble.source, ensemble.objective = "lora", loaded.source, loaded.loss
    own = ensemble.config
    alpha = None if own.lora_alpha is None else float(own.lora_alpha)
    method = replace(method, r=own.r, lora_alpha=alpha, lora_dropout=own.lora_dropout)
    experiment = replace(experiment, method=method)
    origin = {"base": base, "adapters": [str(name) for name in adapters]}
    return adopt(ensemble.eval(), experiment, folder, classes=classes, origin=origin)


def _config(base: str) -> Any:
    """The base's configuration. Raises UserError for a name that cannot be loaded."""
    from transformers import AutoConfig

    if base.startswith("timm/"):
        raise UserError(f"{base}: adapters over models of timm are not supported yet on the command line; "
                        "LoraEnsemble.from_peft(model, [...]) takes them")  # fmt: skip
    try:
        return AutoConfig.from_pretrained(base)
    except (OSError, ValueError) as error:
        raise UserError(
            f"no model {base!r}: expected a local folder with config.json or a hub id (owner/name); {first_line(error)}"
        ) from None


def _task(base: str, config: Any, adapter: dict[str, Any], given: str | None) -> str:
    """What the adapter says, else what kinds of classifier there are of the base's architecture."""
    from transformers.models.auto import modeling_auto as auto

    if given is not None:
        if given not in BACKBONES:
            raise ConfigurationError([f"task {given!r}: expected one of {', '.join(BACKBONES)}"])
        return given
    said = str(adapter.get("task_type") or "")
    if said == "CAUSAL_LM":
        return "choices"
    if said not in ("", "SEQ_CLS", "FEATURE_EXTRACTION"):
        raise ConfigurationError([f"adapters of task {said} are not supported yet: a row has no single class"])
    kinds: dict[str, Any] = {
        "image": auto.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES,
        "audio": auto.MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES,
        "text": auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
    }
    found = [kind for kind, names in kinds.items() if config.model_type in names]
    if said == "SEQ_CLS" and "text" in found:
        return "text"
    if len(found) != 1:
        said_of = f"may be {' or '.join(found)}" if found else "is no classifier"
        raise DataError(f"{base} ({config.model_type}) {said_of}: say what rows are with --task {'|'.join(BACKBONES)}")
    if found == ["audio"] and config.model_type != "audio-spectrogram-transformer":
        raise ConfigurationError(
            [f"{base}: sounds are heard by an Audio Spectrogram Transformer, not {config.model_type} yet"]
        )
    return found[0]


def _classes(adapter: Path, config: Any, task: str, given: Sequence[str]) -> list[str]:
    """Given, or id2label beside the adapter or of the base, where it has as many names as the adapter's head rows."""
    from lora_ensemble.questions.rows import letters

    if task == "choices":
        return list(letters(len(given) or 4))
    rows = _rows_of_head(adapter)
    if given:
        if rows is not None and rows != len(given):
            raise DataError(f"{len(given)} classes were named, but the head of {adapter} has {rows}")
        return list(given)
    beside = read_json(adapter / "config.json") if (adapter / "config.json").is_file() else {}
    for names in (beside.get("id2label"), getattr(config, "id2label", None)):
        if isinstance(names, dict) and names and (rows is None or len(names) == rows):
            ordered = [str(name) for _, name in sorted((int(key), name) for key, name in names.items())]
            if len(set(ordered)) == len(ordered) >= 2:
                return ordered
    if rows is None or rows < 2:
        raise DataError(f"{adapter} has no head, and its base names no classes: name them with --classes")
    return [f"LABEL_{number}" for number in range(rows)]


def _rows_of_head(adapter: Path) -> int | None:
    """How many classes the head in an adapter has; None where there is no head in it."""
    from lora_ensemble.interop.peft import read_weights

    if not (adapter / WEIGHTS).exists() and not (adapter / "adapter_model.bin").exists():
        raise FileFormatError(f"{adapter} holds no weights of an adapter ({WEIGHTS})")
    shapes = {name: tensor.shape for name, tensor in read_weights(adapter).items() if ".lora_" not in name}
    for ending in _HEADS:
        for name, shape in shapes.items():
            if len(shape) == 2 and name.endswith(f".{ending}.weight"):
                return int(shape[0])
    return None


def _check_classes(dataset: Dataset, classes: Sequence[str]) -> None:
    """Labels of classes that the ensemble does not know could be compared with nothing, and would be left out."""
    named = [str(name) for name in dataset.load("test").classes]
    if missing := [name for name in named if name not in classes]:
        raise DataError(
            f"the data have a class {missing[0]!r} that the ensemble does not know; it has {', '.join(classes[:10])}: "
            "name its classes in the order of its logits with --classes"
        )


def _dataset(task: str, data: str | None) -> Dataset:
    """The user's own data; without, one that says what rows are and has none."""
    made: Dataset = registry.config_class("datasets", DATASETS[task])(data=data or "")
    return made

"""From a saved folder to an ensemble: manifest, backbone, members. It stands above the registry, whose backbones and
methods a manifest may name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from huggingface_hub.errors import HfHubHTTPError
from torch import nn

from lora_ensemble import engine, registry
from lora_ensemble.contracts import Backbone
from lora_ensemble.disk.digests import check_files
from lora_ensemble.engine import kinds, surgery
from lora_ensemble.engine.ensemble import Ensemble
from lora_ensemble.engine.fingerprint import same_base
from lora_ensemble.engine.saving import local_folder, read_manifest
from lora_ensemble.errors import FileFormatError, UnknownNameError, first_line

_GIVE_IT = "give it: from_pretrained(folder, model)"


def load_ensemble(folder: str | Path, model: nn.Module | None = None, **kwargs: Any) -> Ensemble:
    """The ensemble in a local folder or a hub repository. `model`: the plain backbone; None loads the manifest's.

    Raises FileFormatError for a folder that is no ensemble, or whose weights do not fit.
    """
    folder = local_folder(folder, **kwargs)
    manifest = read_manifest(folder)
    kind = kind_of_ensemble(manifest)
    check_files(folder, manifest.get("files"))
    if model is None:
        model = load_backbone(manifest["backbone"])
    with surgery.unchanged_on_error(model):
        ensemble = kind.load(model, folder, manifest)
        _check_base(ensemble, folder, manifest)
    ensemble.source, ensemble.method = manifest["backbone"], manifest["method"]
    return ensemble.eval()


def _check_base(ensemble: Ensemble, folder: Path, manifest: dict[str, Any]) -> None:
    """Raises FileFormatError where the frozen weights are not those that the members were trained over. Manifests of
    older versions do not say."""
    saved, own = manifest.get("base"), ensemble.fingerprint()
    if not isinstance(saved, dict) or own is None or same_base(saved, own):
        return

    def named(source: dict[str, Any], base: dict[str, Any]) -> str:
        name = source.get("name") or source.get("kind") or source.get("class")
        return f"{name} (weights {base.get('values')}, {base.get('dtype')})"

    raise FileFormatError(
        f"{folder} was trained over another base model: {named(manifest['backbone'], saved)}; "
        f"this one is {named(ensemble.source, own)}"
    )


def kind_of_ensemble(manifest: dict[str, Any]) -> type[Ensemble]:
    """The class that loads it. A method of another package may define its kind in its own file."""
    try:
        return kinds.find(Ensemble, manifest["kind"], engine, "ensembles", "kind of ensemble")
    except UnknownNameError:
        if manifest["method"] not in registry.names("methods"):
            raise
        registry.module("methods", manifest["method"])
        return kinds.find(Ensemble, manifest["kind"], engine, "ensembles", "kind of ensemble")


def load_backbone(source: dict[str, Any]) -> nn.Module:
    """The plain model that a manifest names. Raises FileFormatError when it names none."""
    library = source.get("library")
    if library in _LIBRARIES and source.get("name"):
        try:
            return _LIBRARIES[library](source)
        except FileFormatError:
            raise
        except (OSError, ValueError, RuntimeError, ImportError, HfHubHTTPError) as error:
            raise FileFormatError(f"the backbone {source['name']} cannot be loaded: {first_line(error)}") from error
    if "kind" in source:
        fields = {k: v for k, v in source.items() if k != "num_classes"}
        backbone: Backbone = registry.restored("backbones", fields, "backbone")
        return backbone.load(source["num_classes"]).model
    raise FileFormatError(f"the manifest does not say where the backbone is from; {_GIVE_IT}")


def _from_transformers(source: dict[str, Any]) -> nn.Module:
    import transformers

    kind = getattr(transformers, str(source.get("class")), None)
    if not (isinstance(kind, type) and issubclass(kind, transformers.PreTrainedModel)):
        raise FileFormatError(f"the manifest names {source.get('class')!r}, which is no model class of transformers")
    options: dict[str, Any] = {"ignore_mismatched_sizes": True}
    if "config" in source:
        config_class: Any = kind.config_class
        options["config"] = config_class.from_dict(source["config"])
        options |= {"dtype": source["dtype"], "revision": source["revision"] or "main"}
    elif source.get("num_labels") is not None:
        options["num_labels"] = source["num_labels"]
    return kind.from_pretrained(source["name"], **options)


def _from_timm(source: dict[str, Any]) -> nn.Module:
    import timm

    arguments = source.get("arguments", {})
    if arguments is None:
        raise FileFormatError(f"the manifest does not say how {source['name']} was changed; {_GIVE_IT}")
    if source.get("file"):
        arguments = {**arguments, "pretrained_cfg_overlay": {"file": source["file"]}}
    return timm.create_model(source["name"], pretrained=True, num_classes=source["num_labels"], **arguments)


_LIBRARIES = {"transformers": _from_transformers, "timm": _from_timm}

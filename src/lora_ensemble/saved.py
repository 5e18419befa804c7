"""From a saved folder to an ensemble: manifest, backbone, members. It stands above the registry, whose backbones and
methods a manifest may name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from lora_ensemble import engine, registry
from lora_ensemble.contracts import Backbone
from lora_ensemble.disk.digests import check_files
from lora_ensemble.engine import kinds
from lora_ensemble.engine.ensemble import Ensemble
from lora_ensemble.engine.saving import local_folder, read_manifest
from lora_ensemble.errors import FileFormatError, UnknownNameError, first_line


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
    ensemble = kind.load(model, folder, manifest)
    ensemble.source, ensemble.method = manifest["backbone"], manifest["method"]
    return ensemble.eval()


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
    if library == "transformers" and source.get("name"):
        import transformers

        labels = {} if source.get("num_labels") is None else {"num_labels": source["num_labels"]}
        try:
            return getattr(transformers, source["class"]).from_pretrained(
                source["name"], ignore_mismatched_sizes=True, **labels
            )
        except OSError as error:
            raise FileFormatError(f"the backbone {source['name']} cannot be loaded: {first_line(error)}") from error
    if library == "timm" and source.get("name"):
        import timm

        return timm.create_model(source["name"], pretrained=True, num_classes=source["num_labels"])
    if "kind" in source:
        fields = {k: v for k, v in source.items() if k != "num_classes"}
        backbone: Backbone = registry.restored("backbones", fields, "backbone")
        return backbone.load(source["num_classes"]).model
    raise FileFormatError(
        "the manifest does not say where the backbone is from; give it: from_pretrained(folder, model)"
    )

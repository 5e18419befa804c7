"""A run out of published weights: evaluated, reported and exported as any other."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from lora_ensemble import registry
from lora_ensemble.backbones.torchvision_vit import TorchvisionVit
from lora_ensemble.disk.digests import digest_of_file
from lora_ensemble.engine.ensemble import Ensemble
from lora_ensemble.errors import RunFolderError
from lora_ensemble.experiment import Experiment
from lora_ensemble.interop.prs_eth.command_line import DATASETS, Request
from lora_ensemble.interop.prs_eth.files import local_file
from lora_ensemble.interop.prs_eth.settings import experiment
from lora_ensemble.interop.prs_eth.weights import load_weights
from lora_ensemble.runs.adopting import adopt, check_free
from lora_ensemble.runs.folder import begun
from lora_ensemble.runs.run import Run


def adopt_weights(
    file: str | Path, asked: Request, folder: str | Path, backbone: str | None = None, made: Experiment | None = None
) -> Run:
    """The run of a published weights file, evaluated under the settings of a published command line.

    file, backbone: as `load_weights` takes them. made: the experiment of the settings where it was changed, as with
    another data folder. Inputs are prepared as in the published training: images are divided by 255. The same call
    again returns the run that is there.

    Raises what `load_weights` raises, DataError for data that cannot be read, RunFolderError for a folder that holds
    something else.
    """
    made, folder, path = made or experiment(asked), Path(folder), local_file(str(file))
    origin = {"system": "prs-eth/LoRA-Ensemble", "weights": path.name, "digest": digest_of_file(path)}
    if begun(folder) and (run := Run(folder)).finished:
        if run.adopted == origin and run.experiment.dataset == made.dataset and run.experiment.seed == made.seed:
            return run
        raise RunFolderError(f"{folder} holds another run; give another folder with --output")
    check_free(folder)
    values = asked.settings.values
    ensemble = load_weights(
        path,
        backbone,
        members=asked.members,
        r=values.get("LoRA.rank"),
        num_classes=DATASETS[values["data.data_set"]][1],
        p_drop=values.get("MCDropout.p_drop"),
        seed=made.seed,
    )
    evaluated = dataclasses.replace(
        made,
        backbone=_backbone(ensemble, made, backbone),
        training=dataclasses.replace(made.training, precision="fp32"),
        name=f"{made.name}, published weights",
    )
    return adopt(ensemble, evaluated, folder, classes=made.dataset.load("test").classes, origin=origin)


def _backbone(ensemble: Ensemble, made: Experiment, given: str | None) -> Any:
    """What builds the plain model again, and feeds it as it was trained."""
    if "kind" in ensemble.source:
        fields = {name: value for name, value in ensemble.source.items() if name != "num_classes"}
        found = registry.restored("backbones", fields, "backbone")
        of_ast = given is not None and not isinstance(found, TorchvisionVit)
        return dataclasses.replace(found, weights=given) if of_ast else found
    if isinstance(made.backbone, TorchvisionVit):
        return dataclasses.replace(made.backbone, normalisation="none")
    return made.backbone

"""A run out of an ensemble that is ready: trained elsewhere, or by somebody else; as `train` leaves one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lora_ensemble.errors import ConfigurationError, RunFolderError
from lora_ensemble.experiment import Experiment
from lora_ensemble.runs.folder import ENSEMBLE
from lora_ensemble.runs.records import ADOPTED, FINISHED, RUN, write_finished, write_run
from lora_ensemble.runs.run import Run

if TYPE_CHECKING:
    from lora_ensemble.engine.ensemble import Ensemble


def adopt(
    ensemble: Ensemble, experiment: Experiment, folder: str | Path, *, classes: Sequence[str], origin: Mapping[str, Any]
) -> Run:
    """Save an ensemble as a finished run, on which everything works that works on a trained one.

    experiment: what the run is taken for. Its backbone must load the plain model that the ensemble was built on, and
    says how inputs are prepared; its method names the ensemble; its data set is what is predicted by default. classes:
    their names, in the order of the logits. origin: where the ensemble is from, as JSON values; it stands in the
    records as "adopted". There are no epochs, and `train` refuses the folder. No calibration is fitted.

    Raises RunFolderError for a folder with anything in it, ConfigurationError for parts that do not fit, UserError for
    a folder that cannot be written.
    """
    from lora_ensemble.disk.digests import digest_of_file
    from lora_ensemble.disk.folders import new_folder
    from lora_ensemble.engine.saving import MANIFEST

    experiment.check()
    folder = Path(folder)
    check_free(folder)
    if problems := _misfits(ensemble, experiment, classes):
        raise ConfigurationError(problems)
    with new_folder(folder) as partial:
        write_run(partial / RUN, experiment, {}, {ADOPTED: dict(origin)})
        (partial / ENSEMBLE).mkdir()
        ensemble.save_pretrained(partial / ENSEMBLE)
        finished = {
            "classes": list(classes),
            "cost": _no_cost(ensemble),
            "backbone": experiment.to_dict()["backbone"],
            "data": {},
            "ensemble": digest_of_file(partial / ENSEMBLE / MANIFEST),
            ADOPTED: dict(origin),
        }
        write_finished(partial, finished)
    assert (folder / FINISHED).is_file()
    return Run(folder)


def check_free(folder: Path) -> None:
    """Raises RunFolderError for a folder with anything in it: to be asked before an ensemble is loaded at length."""
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise RunFolderError(f"{folder} exists and is not empty; give another folder with --output")


def _misfits(ensemble: Ensemble, experiment: Experiment, classes: Sequence[str]) -> list[str]:
    found = []
    if ensemble.members != experiment.method.members:
        found.append(f"method.members = {experiment.method.members}: the ensemble has {ensemble.members}")
    if len(classes) < 2 or not all(isinstance(name, str) for name in classes):
        found.append(f"classes = {list(classes)[:3]!r}: must be the names of at least two")
    return found


def _no_cost(ensemble: Ensemble) -> dict[str, Any]:
    from lora_ensemble.training.fitting import Cost

    trained = sum(p.numel() for p in ensemble.parameters() if p.requires_grad)
    return dataclasses.asdict(Cost(0, 0.0, 0.0, None, trained, device="cpu"))

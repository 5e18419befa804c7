"""A run on the hub: its ensemble, calibration and records, with a card written from it; and back into a run folder."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lora_ensemble import registry
from lora_ensemble.errors import FileFormatError, RunFolderError, UserError
from lora_ensemble.runs.calibrated import CALIBRATION
from lora_ensemble.runs.exporting import copy_ensemble
from lora_ensemble.runs.folder import ENSEMBLE
from lora_ensemble.runs.records import FINISHED, RUN
from lora_ensemble.runs.run import Run

if TYPE_CHECKING:
    from lora_ensemble.analysis import Scores
    from lora_ensemble.predictions import Predictions
    from lora_ensemble.report.model_card import About

CARD = "README.md"


@dataclass(frozen=True)
class Pushed:
    """What was published."""

    address: str
    notes: tuple[str, ...]
    """What the owner should know."""


def push(
    run: Run,
    repo: str,
    *,
    private: bool = False,
    token: str | None = None,
    records: bool | None = None,
    split: str = "test",
) -> Pushed:
    """Publish a finished run as a repository `user/name` of the hub, in one commit.

    records: with run.json and finished.json, so that `pull` makes a run of it; they hold the configuration. Default:
    unless they name paths of this machine. split: what the card's scores are of. Raises UserError for what the hub
    refuses, FileFormatError for an ensemble that is not whole; nothing is published then."""
    from lora_ensemble.disk.hub import check_name, upload

    check_name(repo)
    run.classes  # noqa: B018  raises for an unfinished run
    local = sorted(set(_local_paths(run.experiment.to_dict())))
    records = not local if records is None else records
    notes = []
    if local and not records:
        notes.append(f"run.json names paths of this machine ({', '.join(local)}) and stays here: `pull` makes no run "
                     "of this repository; --records publishes it, too")  # fmt: skip
    if Path(str(getattr(run.experiment.backbone, "name", ""))).exists():
        notes.append("the base model is a folder of this machine: others give it to from_pretrained(name, model)")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "repository"
        folder.mkdir()
        fill(run, folder, repo, records, split)
        address = upload(folder, repo, private=private, token=token, message=f"{run.folder.name}, of lora-ensemble")
    return Pushed(address, tuple(notes))


def fill(run: Run, folder: Path, repo: str, records: bool, split: str = "test") -> None:
    """The files of the repository, in an empty folder."""
    from lora_ensemble.report.model_card import PICTURE, card, picture

    copy_ensemble([run], folder)
    for name in (CALIBRATION, *([RUN, FINISHED] if records else [])):
        if (run.folder / name).is_file():
            shutil.copy2(run.folder / name, folder / name)
    scores, p, why = _scored(run, split)
    if p is not None:
        picture(p, folder / PICTURE)
    (folder / CARD).write_text(card(_about(run, folder, records, split), repo, scores, why) + "\n", encoding="utf-8")


def pull(repo: str, folder: str | Path, *, token: str | None = None) -> Run:
    """A run folder of what `push` published with its records. Raises FileFormatError for a repository that cannot be
    had, or holds no run; RunFolderError for a folder with anything in it."""
    from lora_ensemble.disk.folders import new_folder
    from lora_ensemble.engine.saving import MANIFEST, check_saved, local_folder, read_manifest
    from lora_ensemble.runs.adopting import check_free

    folder = Path(folder)
    check_free(folder)
    there = local_folder(repo, **({} if token is None else {"token": token}))
    members = read_manifest(there)["member_folders"]
    if not (there / RUN).is_file() or not (there / FINISHED).is_file():
        raise FileFormatError(f"{repo} is an ensemble without the records of a run; Ensemble.from_pretrained loads it")
    with new_folder(folder) as partial:
        names = [RUN, FINISHED, *([CALIBRATION] if (there / CALIBRATION).is_file() else [])]
        for name in names:
            shutil.copyfile(there / name, partial / name)
        (partial / ENSEMBLE).mkdir()
        shutil.copyfile(there / MANIFEST, partial / ENSEMBLE / MANIFEST)
        for name in members:
            shutil.copytree(there / name, partial / ENSEMBLE / name)
        check_saved(partial / ENSEMBLE)
    return Run(folder)


def _scored(run: Run, split: str) -> tuple[Scores | None, Predictions | None, str]:
    """Scores with intervals, and what the picture is of; or why there are none."""
    from lora_ensemble.analysis import evaluate_both

    try:
        p = run.predict(split)
        calibration = run.calibrated
        scores = evaluate_both(p, calibration=calibration)
    except RunFolderError:
        raise
    except UserError as error:
        return None, None, f"the {split} split cannot be scored ({_without_paths(str(error))})"
    return scores, p if calibration is None else calibration(p), ""


def _about(run: Run, folder: Path, records: bool, split: str) -> About:
    from lora_ensemble.engine.adapters import CONFIG
    from lora_ensemble.report.model_card import About

    experiment, calibrated = run.experiment, run.calibrated
    name = str(getattr(experiment.backbone, "name", registry.name_of(experiment.backbone)))
    data = registry.name_of(experiment.dataset)
    source = str(getattr(experiment.dataset, "data", "") or "")
    facts = (
        {"trained parameters": f"{run.cost['trainable_parameters']:,}"} if run.cost.get("trainable_parameters") else {}
    )
    if getattr(experiment.method, "r", None):
        facts["rank"] = str(getattr(experiment.method, "r", ""))
    return About(
        title=experiment.name or run.folder.name,
        base=None if Path(name).exists() or name.count("/") != 1 or name.startswith("timm/") else name,
        members=experiment.method.members,
        method=registry.name_of(experiment.method),
        modality=experiment.backbone.modality,
        data=f"{data}, {Path(source).name}" if source else data,
        classes=run.classes,
        split=split,
        calibration=None if calibrated is None else calibrated.name,
        facts=facts,
        is_run=records,
        has_peft=any(folder.glob(f"member-*/{CONFIG}")),
    )


def _local_paths(value: Any) -> Iterator[str]:
    """Texts in a configuration that are paths here."""
    if isinstance(value, dict | list | tuple):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _local_paths(part)
    elif isinstance(value, str) and ("/" in value or "\\" in value) and (Path(value).is_absolute() or _exists(value)):
        yield value


def _exists(text: str) -> bool:
    try:
        return Path(text).exists()
    except (OSError, ValueError):  # too long, or with a zero in it: no path
        return False


def _without_paths(text: str) -> str:
    """The words of a message; paths keep their last part."""
    return " ".join(Path(word).name if word.startswith("/") else word for word in text.split())

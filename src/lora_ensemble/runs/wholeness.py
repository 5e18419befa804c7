"""Whether every file of a run is as it was written: what `verify` tells, and `train` asks of a finished run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lora_ensemble.disk.digests import DIGEST, digest_of_file
from lora_ensemble.errors import FileFormatError, RunFolderError, UserError
from lora_ensemble.runs.calibrated import CALIBRATION, read_calibration
from lora_ensemble.runs.folder import ENSEMBLE
from lora_ensemble.runs.kept import PREDICTIONS
from lora_ensemble.runs.records import FINISHED, RUN, read_record


@dataclass(frozen=True)
class Part:
    """A part of a run folder, and what was found out about it."""

    name: str
    state: str
    """"whole"; "no digest" of what an older version wrote, and can be read; "absent" of what is not written yet;
    "damaged"."""
    about: str = ""
    """What it holds, or what is wrong with it."""

    @property
    def good(self) -> bool:
        return self.state != "damaged"


def parts_of(folder: Path) -> list[Part]:
    """Every part of a run folder. Raises RunFolderError for a folder that holds no run."""
    if not (folder / RUN).is_file():
        raise RunFolderError(f"{folder} holds no run: there is no {RUN} in it")
    return [
        *_records(folder),
        checked("ensemble", lambda: _ensemble(folder)),
        *_checkpoints(folder),
        *_kept(folder),
    ]


def check_whole(folder: Path) -> None:
    """Raises FileFormatError for a finished run whose ensemble is not what was saved, naming file and way out."""
    try:
        read_record(folder, FINISHED)
        check_ensemble(folder)
    except FileFormatError as error:
        raise FileFormatError(f"{error}; train it again with --anew, or give another folder with --output") from None


def check_ensemble(folder: Path) -> bool:
    """Whether the saved ensemble of a finished run has digests, all of which fit. Raises FileFormatError for one that
    is damaged, incomplete, or another than that of which finished.json speaks."""
    from lora_ensemble.engine.saving import MANIFEST, check_saved

    manifest = check_saved(folder / ENSEMBLE)
    written = read_record(folder, FINISHED).get("ensemble")
    if written is not None and written != digest_of_file(folder / ENSEMBLE / MANIFEST):
        raise FileFormatError(
            f"{folder / ENSEMBLE / MANIFEST} is not that of the run: {FINISHED} speaks of another one"
        )
    return "files" in manifest


def _records(folder: Path) -> Iterator[Part]:
    for name in (RUN, FINISHED):
        if not (folder / name).is_file():
            yield Part(name, "absent", "training has not come to its end")
            continue

        def look(name: str = name) -> Part:
            return Part(name, state(DIGEST in read_record(folder, name)))

        yield checked(name, look)
    if (folder / CALIBRATION).exists():
        yield checked(CALIBRATION, lambda: _calibration(folder))


def _calibration(folder: Path) -> Part:
    found = read_calibration(folder)
    return Part(CALIBRATION, "absent") if found is None else Part(CALIBRATION, "whole", found.name)


def _ensemble(folder: Path) -> Part:
    if not (folder / FINISHED).is_file() and not (folder / ENSEMBLE).exists():
        return Part(ENSEMBLE, "absent", "training has not come to its end")
    return Part(ENSEMBLE, state(check_ensemble(folder)))


def _checkpoints(folder: Path) -> Iterator[Part]:
    from lora_ensemble.training.checkpoints import CHECKPOINTS, numbered, read_checkpoint

    for path in numbered(folder / CHECKPOINTS):

        def look(path: Path = path) -> Part:
            found = read_checkpoint(path)
            found.check()
            found.weights()
            return Part(f"{CHECKPOINTS}/{path.name}", state(None not in found.files.values()))

        yield checked(f"{CHECKPOINTS}/{path.name}", look)


def _kept(folder: Path) -> Iterator[Part]:
    from safetensors import safe_open

    from lora_ensemble.predictions import Predictions

    for path in sorted((folder / PREDICTIONS).glob("*.safetensors")):

        def look(path: Path = path) -> Part:
            rows = len(Predictions.load(path))
            with safe_open(path, framework="pt") as file:
                found = state(DIGEST in (file.metadata() or {}))
            return Part(f"{PREDICTIONS}/{path.name}", found, f"{rows} rows")

        yield checked(f"{PREDICTIONS}/{path.name}", look)


def state(digest: bool) -> str:
    """Of a part that could be read."""
    return "whole" if digest else "no digest"


def checked(name: str, look: Callable[[], Part]) -> Part:
    """What a look at a part found, or that it is damaged."""
    try:
        return look()
    except UserError as error:
        return Part(name, "damaged", str(error))

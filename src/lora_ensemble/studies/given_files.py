"""Files of logits in place of runs: which are one ensemble, what is out of distribution, what calibrates them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from lora_ensemble.errors import DataError, UserError

if TYPE_CHECKING:
    from lora_ensemble.contracts import Calibration
    from lora_ensemble.predictions import Predictions


@dataclass(frozen=True)
class Reading:
    """How files are read that hold logits or probabilities instead of a run."""

    labels: str | None = None
    """Of files of logits: a file of labels, or the column or array of them. Default: found by its name."""
    probabilities: bool = False
    """Files hold probabilities, not logits."""
    members: int | None = None
    """Files hold the rows of so many members below each other, (M * B, C), those of member 0 first."""
    columns: tuple[str, ...] = ()
    """Columns of the values, or the array of them, where their names do not tell."""

    def read(self, path: Path, labelled: bool = True) -> Predictions:
        """See `Predictions.from_file`. labelled: whether labels are wanted."""
        from lora_ensemble.predictions import Predictions

        return Predictions.from_file(
            path,
            self.labels if labelled else False,
            probabilities=self.probabilities,
            members=self.members,
            columns=self.columns,
        )


@dataclass(frozen=True, eq=False)
class Given:
    """What is scored: one ensemble, of a file or of several side by side."""

    label: str
    predictions: Predictions
    ood: Mapping[str, Predictions] = field(default_factory=dict)
    validation: Predictions | None = None
    calibration: Calibration | None = None


def is_file(path: Path) -> bool:
    """Whether this is a file of logits, and not a run folder: by its ending, where there is neither."""
    from lora_ensemble.predictions.foreign.reading import READERS

    return path.is_file() or (path.suffix.lower() in READERS and not path.is_dir())


def given_files(
    files: Sequence[Path],
    reading: Reading,
    ood: Mapping[str, Sequence[Path]],
    validation: Sequence[Path] = (),
    calibration: Path | None = None,
    concat: bool = False,
) -> list[Given]:
    """Each file, or all as one ensemble. ood, validation: of each name one file for each of `files`, in their order;
    one OOD file may stand for all. calibration: a saved one, in place of a temperature fitted to validation.

    Raises DataError for another number of files, and for test files without labels."""
    if validation and calibration is not None:
        raise UserError("--validation and --calibration are two ways to calibrate: give one of them")
    if calibration is not None and len(files) > 1 and not concat:
        raise UserError(f"--calibration is one ensemble's, and {len(files)} files were given; --concat makes them one")
    inside = [_labelled(path, reading) for path in files]
    outside = {name: _one_each(paths, files, reading, f"--ood {name}") for name, paths in ood.items()}
    fitted_on = [_labelled(path, _of_validation(reading)) for path in validation]
    if validation and len(validation) != len(files):
        raise DataError(f"--validation: {len(validation)} files for {len(files)}; give one for each, in their order")
    saved = None if calibration is None else _calibration(calibration)
    if concat:
        name = " + ".join(_names(files))
        return [_given(name, [_joined(inside)], {k: [_joined(v)] for k, v in outside.items()},
                       [_joined(fitted_on)] if fitted_on else [], 0, saved)]  # fmt: skip
    return [_given(name, inside, outside, fitted_on, k, saved) for k, name in enumerate(_names(files))]


def ood_files(words: str | None) -> dict[str, list[Path]]:
    """ "svhn=FILE,texture=OTHER", or just files: their paths by name; a name may come again, for the next file.

    Raises DataError for what is no file."""
    found: dict[str, list[Path]] = {}
    for word in [] if words is None else words.split(","):
        name, given, rest = word.strip().partition("=")
        path = Path(rest if given else name)
        if not is_file(path):
            raise DataError(f"--ood {word}: of a file of logits, out-of-distribution data are files, too: NAME=FILE")
        found.setdefault(name if given else path.stem, []).append(path)
    return found


def _given(
    name: str,
    inside: Sequence[Predictions],
    outside: Mapping[str, Sequence[Predictions]],
    validation: Sequence[Predictions],
    k: int,
    saved: Calibration | None,
) -> Given:
    from lora_ensemble.analysis import calibrate

    fitted_on = validation[k] if validation else None
    calibration = calibrate(fitted_on) if fitted_on is not None else saved
    return Given(name, inside[k], {key: parts[k] for key, parts in outside.items()}, fitted_on, calibration)


def _one_each(paths: Sequence[Path], files: Sequence[Path], reading: Reading, flag: str) -> list[Predictions]:
    if len(paths) not in (1, len(files)):
        raise DataError(f"{flag}: {len(paths)} files for {len(files)}; give one for each, in their order")
    found = [reading.read(path, labelled=False) for path in paths]
    return found if len(found) == len(files) else found * len(files)


def _of_validation(reading: Reading) -> Reading:
    """A column of labels has this name in the validation file, too; a file of labels is the test file's."""
    from dataclasses import replace

    from lora_ensemble.predictions.foreign.reading import is_label_file

    if reading.labels is None or not is_label_file(reading.labels):
        return reading
    return replace(reading, labels=None)


def _labelled(path: Path, reading: Reading) -> Predictions:
    p = reading.read(path)
    if p.labels_B is None:
        raise DataError(f"{path} has no labels; say where they are with --labels FILE|COLUMN")
    return p


def _joined(parts: Sequence[Predictions]) -> Predictions:
    from lora_ensemble.predictions import Predictions

    return Predictions.concat(parts)


def _calibration(path: Path) -> Calibration:
    from lora_ensemble.contracts import Calibration

    loaded: Calibration = Calibration.load(path)
    return loaded


def _names(files: Sequence[Path]) -> list[str]:
    """The files' names without their endings, with folders and endings where two are the same."""
    stems = [path.stem for path in files]
    return [stem if stems.count(stem) == 1 else str(path) for stem, path in zip(stems, files, strict=True)]

"""What is fitted on validation predictions: where it comes from, what it may be applied to, and how it is kept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from lora_ensemble.disk.digests import check_seal, sealed
from lora_ensemble.disk.files import atomic_write_text
from lora_ensemble.errors import DataError, FileFormatError, UserError
from lora_ensemble.fields import from_plain, to_plain

if TYPE_CHECKING:
    from lora_ensemble.predictions import Predictions

VERSION = 1
CALIBRATED = "calibrated"
"""Key of the meta of predictions: names of the calibrations that they went through, in order."""

_OF_A_RUN = ("backbone", "method", "seed", "step")
"""What the meta of a run's predictions says of the ensemble, whatever the data."""


@dataclass(frozen=True)
class Source:
    """The validation predictions that something was fitted on."""

    members: int
    """M."""
    classes: int
    """C."""
    rows: int
    """B: how far a promise carries depends on it."""
    names: tuple[str, ...] | None = None
    """Names of the classes, where they are known."""
    run: dict[str, Any] | None = None
    """What is known of the ensemble: backbone, method, seed, step."""
    calibrated: tuple[str, ...] = ()
    """Calibrations that the predictions had gone through."""

    @classmethod
    def of(cls, validation: Predictions) -> Self:
        """Raises DataError for predictions without labels, and for those of the test split."""
        if validation.labels_B is None:
            raise DataError("calibrations and promises are fitted to labels, and these predictions have none")
        if validation.meta.get("split") == "test":
            raise DataError(
                "these are predictions of the test split: fit on validation predictions, and report on test"
            )
        names, run = validation.meta.get("classes"), {k: validation.meta[k] for k in _OF_A_RUN if k in validation.meta}
        return cls(
            validation.num_members,
            validation.num_classes,
            len(validation),
            None if names is None else tuple(map(str, names)),
            run or None,
            tuple(validation.meta.get(CALIBRATED, ())),
        )

    def check(self, p: Predictions) -> None:
        """Raises DataError for predictions of another ensemble than the one that this was fitted on."""
        for what, own, other in (
            ("members", self.members, p.num_members),
            ("classes", self.classes, p.num_classes),
        ):
            if own != other:
                raise DataError(f"this was fitted on {own} {what}, these predictions have {other}: it is another run's")
        for own_name, name in zip(self.names or (), p.meta.get("classes") or (), strict=False):
            if own_name != str(name):
                raise DataError(f"this was fitted on class {own_name!r} where these predictions have {str(name)!r}")
        for key, value in (self.run or {}).items():
            if key in p.meta and p.meta[key] != value:
                raise DataError(
                    f"this was fitted on a run with {key} {value!r}, these predictions are of one with {p.meta[key]!r}"
                )
        before = tuple(p.meta.get(CALIBRATED, ()))
        if before != self.calibrated:
            raise DataError(
                f"this was fitted on {_calibrated(self.calibrated)} predictions, these are {_calibrated(before)}"
            )


@dataclass(frozen=True)
class Fitted:
    """A frozen dataclass whose fields are what was fitted; called with predictions of the same ensemble."""

    FORMAT: ClassVar[str] = "lora-ensemble-fitted"
    """How its files say what they are."""

    source: Source
    """What it was fitted on."""

    def to_json(self) -> str:
        """Everything, as JSON with a digest."""
        record = {"format": self.FORMAT, "version": VERSION, "name": self.name, "fitted": to_plain(self)}
        return json.dumps(sealed(record), ensure_ascii=False, indent=1)

    def save(self, path: str | Path) -> None:
        """Write `to_json`, atomically. Raises UserError for a file that cannot be written."""
        atomic_write_text(path, self.to_json() + "\n")

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what `save` wrote.

        Raises DataError for a missing file, FileFormatError for one damaged, edited, foreign or of another version.
        """
        path = Path(path)
        if not path.is_file():
            raise DataError(f"there is no file {path}")
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, RecursionError, OSError) as error:
            raise FileFormatError(f"{path} is truncated or not JSON: {error}") from None
        if not isinstance(record, dict) or record.get("format") != cls.FORMAT:
            raise FileFormatError(f"{path} is JSON, but not of {cls.FORMAT}")
        if record.get("version") != VERSION:
            raise FileFormatError(f"{path} has version {record.get('version')}, this library reads {VERSION}")
        check_seal(path, record)
        try:
            return from_plain(cls.of_name(str(record.get("name"))), _mapping(record.get("fitted")), cls.FORMAT)
        except (UserError, TypeError) as error:
            raise FileFormatError(f"{path} holds nothing usable: {error}") from error

    @property
    def name(self) -> str:
        """What a user types for it."""
        return type(self).__name__.lower()

    @classmethod
    def of_name(cls, name: str) -> type[Self]:
        """The class that a file's name stands for. Raises UserError for another than those that exist."""
        return cls


def _calibrated(names: tuple[str, ...]) -> str:
    return f"calibrated ({', '.join(names)})" if names else "raw"


def _mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise DataError("the fitted values are missing")
    return value

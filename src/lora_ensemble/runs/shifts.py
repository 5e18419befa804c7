"""Shifts as a user names them: `fog`, `fog:severity=3`, `corruptions:severity=1,3,5`, several with commas."""

from __future__ import annotations

import re

from lora_ensemble import registry
from lora_ensemble.contracts import SEVERITIES, Shift
from lora_ensemble.errors import UnknownNameError, UserError

ALL = "corruptions"
"""Stands for every shift of this package that the rows can go through."""

FORM = f"{ALL} or names of `lora-ensemble list shifts` with commas, each with :severity=1,3,5 where not all are meant"


def shifts_named(words: str, modality: str) -> tuple[Shift, ...]:
    """The shifts of a text, each at every severity that is asked for (default: 1 to 5), in the order of the words.

    modality: of the rows, which chooses what `corruptions` are. Raises UnknownNameError for an unknown name, UserError
    for a severity that does not exist and for a shift of other rows."""
    found: list[Shift] = []
    for word in re.split(r",(?!\s*\d)", words):
        name, *settings = word.strip().split(":")
        severities = _severities(word.strip(), settings)
        for kind in _of_modality(modality) if name == ALL else [_known(name)]:
            cls = registry.config_class("shifts", kind)
            if modality not in cls.modalities:
                raise UserError(f"shift {kind!r} is of {' or '.join(cls.modalities)} rows; these are {modality}")
            found += [cls(severity=severity) for severity in severities]
    return tuple(dict.fromkeys(found))


def _known(name: str) -> str:
    if name not in registry.names("shifts"):
        raise UnknownNameError("shift", name, (ALL, *registry.names("shifts")))
    return name


def _of_modality(modality: str) -> list[str]:
    ours = [name for name in registry.names("shifts") if registry.known("shifts", name).ours]
    return [name for name in ours if modality in registry.config_class("shifts", name).modalities]


def _severities(word: str, settings: list[str]) -> list[int]:
    if not settings:
        return list(range(1, SEVERITIES + 1))
    field, _, numbers = settings[0].partition("=")
    if len(settings) > 1 or field != "severity":
        raise UserError(f"--shift {word}: expected {FORM}")
    parts = [part.strip() for part in numbers.split(",")]
    if not all(part in map(str, range(1, SEVERITIES + 1)) for part in parts):
        raise UserError(f"--shift {word}: severity = {numbers}: expected numbers of 1 to {SEVERITIES} with commas")
    return sorted({int(part) for part in parts})

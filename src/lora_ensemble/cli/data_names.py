"""Data sets as a user names them on a command line: `svhn`, `svhn=FOLDER`, `mmlu=FOLDER:group=stem`."""

from __future__ import annotations

import dataclasses
import re

from lora_ensemble import registry
from lora_ensemble.contracts import Dataset
from lora_ensemble.errors import ConfigurationError, UnknownNameError, UserError
from lora_ensemble.fields import from_plain, type_problems

FORM = "NAME, NAME=HUB_ID_OR_FOLDER, with :FIELD=VALUE for other fields; several with commas"


def datasets_named(words: str | None) -> dict[str, Dataset]:
    """The data sets of a comma-separated list, by what distinguishes them: the name, and the fields that are given.

    Raises UnknownNameError for an unknown data set or field, ConfigurationError for a value that does not fit.
    """
    found: dict[str, Dataset] = {}
    for word in [] if words is None else words.split(","):
        label, dataset = _named(word.strip())
        found[label] = dataset
    return found


def _named(word: str) -> tuple[str, Dataset]:
    first, *settings = re.split(r":(?=\w+=)", word)
    name, given, data = first.partition("=")
    kind = registry.config_class("datasets", name)
    types = {field.name: field for field in dataclasses.fields(kind)}
    values: dict[str, object] = {}
    if given:
        if "data" not in types:
            raise UserError(f"data set {name!r} comes with the package and takes no folder, {data!r} was given")
        values["data"] = data
    for setting in settings:
        field, _, text = setting.partition("=")
        if field not in types:
            raise UnknownNameError(f"field of data set {name!r}", field, list(types))
        values[field] = _value(kind, field, text)
    dataset = from_plain(kind, values, f"data set {name!r}")
    if problems := [*type_problems(dataset, name), *dataset.problems()]:
        raise ConfigurationError(problems)
    return ":".join([name, *settings]), dataset


def _value(kind: type[Dataset], field: str, text: str) -> object:
    """A text as the field's type: a number or a truth value where the type takes one, the text itself otherwise."""
    candidates: list[object] = [{"true": True, "false": False}.get(text.lower()), *_numbers(text), text]
    fitting = [v for v in candidates if v is not None and not type_problems(kind(**{field: v}), "x")]
    return fitting[0] if fitting else text


def _numbers(text: str) -> list[object]:
    found: list[object] = []
    for number in (int, float):
        try:
            found.append(number(text))
        except ValueError:
            continue
    return found

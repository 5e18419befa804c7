"""Frozen dataclasses to JSON values and back, with the type of every field checked against its annotation."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from lora_ensemble.errors import ConfigurationError, UnknownNameError

T = TypeVar("T")


class _WrongValueError(Exception):
    """Says what was expected."""


def to_plain(config: Any) -> dict[str, Any]:
    """A dataclass as JSON values: tuples become lists, nested dataclasses mappings."""
    hints = typing.get_type_hints(type(config))
    return {f.name: _plain(getattr(config, f.name), hints[f.name]) for f in dataclasses.fields(config)}


def from_plain(cls: type[T], values: Mapping[str, Any], path: str) -> T:
    """The inverse of `to_plain`; fields that are absent keep their defaults.

    path: how the user names this part ("training"). Raises UnknownNameError for a field that does not exist and
    ConfigurationError that lists every value of a wrong type.
    """
    hints = typing.get_type_hints(cls)
    known = [f.name for f in dataclasses.fields(cls)]  # type: ignore[arg-type]
    for name in values:
        if name not in known:
            raise UnknownNameError(f"field of {path}", name, known)
    problems = [_problem(f"{path}.{name}", value, hints[name]) for name, value in values.items()]
    if any(problems):
        raise ConfigurationError(p for p in problems if p)
    return cls(**{name: _typed(value, hints[name]) for name, value in values.items()})


def type_problems(config: Any, path: str) -> list[str]:
    """What is wrong with the types and choices of a dataclass's fields, a line each. A list in place of a tuple is
    wrong too: it would not come back from JSON as itself."""
    hints = typing.get_type_hints(type(config))
    lines = []
    for f in dataclasses.fields(config):
        name, value, hint = f"{path}.{f.name}", getattr(config, f.name), hints[f.name]
        line = _problem(name, value, hint)
        if line is None and _typed(value, hint) != value:
            line = f"{name} = {value!r}: must be a tuple"
        lines.append(line)
    return [line for line in lines if line]


def flat(values: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Nested mappings as one, keyed by the dotted path of each value."""
    out: dict[str, Any] = {}
    for name, value in values.items():
        here = f"{path}.{name}" if path else name
        out.update(flat(value, here) if isinstance(value, Mapping) and value else {here: value})
    return out


def _problem(path: str, value: Any, hint: Any) -> str | None:
    if get_origin(hint) is Literal and isinstance(value, str) and value not in get_args(hint):
        return str(UnknownNameError(path, value, get_args(hint))).rstrip(".")
    try:
        _typed(value, hint)
    except _WrongValueError as wrong:
        return f"{path} = {value!r}: must be {wrong}"
    return None


def _plain(value: Any, hint: Any) -> Any:
    with contextlib.suppress(_WrongValueError):  # `type_problems` reports it
        value = _typed(value, hint)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return to_plain(value)
    if isinstance(value, tuple | list):
        return [_plain(v, Any) for v in value]
    if isinstance(value, Mapping):
        return {str(k): _plain(v, Any) for k, v in value.items()}
    return value


def _typed(value: Any, hint: Any) -> Any:
    """The value as its annotation wants it: lists become tuples, whole numbers floats. Raises _WrongValueError."""
    origin, args = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if origin in (Union, types.UnionType):
        return _first_fit(value, args)
    if origin is Literal:
        if value in args and type(value) in {type(a) for a in args}:
            return value
        raise _WrongValueError("one of " + ", ".join(map(str, args)))
    if origin in (tuple, list):
        return _sequence(value, hint)
    if origin is dict or hint is dict or origin is Mapping:
        if isinstance(value, Mapping):
            return dict(value)
        raise _WrongValueError("a mapping")
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        if isinstance(value, hint):
            return value
        if isinstance(value, Mapping):
            return from_plain(hint, value, hint.__name__)
        raise _WrongValueError(f"a {hint.__name__}")
    return _scalar(value, hint)


def _scalar(value: Any, hint: Any) -> Any:
    if hint is float and type(value) is int:
        return float(value)
    if hint is float and isinstance(value, float) and not math.isfinite(value):
        raise _WrongValueError("a finite number")  # JSON has no other
    expected = type(None) if hint is None else hint
    # A bool is an int to Python and never to a user.
    if isinstance(value, expected) and not (isinstance(value, bool) and expected in (int, float)):
        return value
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", type(None): "null"}
    raise _WrongValueError(names.get(expected, f"a {expected.__name__}"))


def _sequence(value: Any, hint: Any) -> Any:
    origin, args = get_origin(hint), get_args(hint)
    if not isinstance(value, tuple | list):
        raise _WrongValueError("a list")
    if origin is list or (len(args) == 2 and args[1] is Ellipsis):
        return (list if origin is list else tuple)(_typed(v, args[0]) for v in value)
    if len(value) != len(args):
        raise _WrongValueError(f"{len(args)} values")
    return tuple(_typed(v, a) for v, a in zip(value, args, strict=True))


def _first_fit(value: Any, hints: tuple[Any, ...]) -> Any:
    expected = []
    for hint in sorted(hints, key=lambda h: not (isinstance(h, type) and type(value) is h)):
        try:
            return _typed(value, hint)
        except _WrongValueError as wrong:
            expected.append(str(wrong))
    raise _WrongValueError(" or ".join(expected))

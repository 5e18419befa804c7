"""JSON objects on disk: read with one clear line for whatever is wrong with them, written with a digest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lora_ensemble.disk.digests import check_seal, sealed
from lora_ensemble.disk.files import atomic_write_json
from lora_ensemble.errors import FileFormatError, first_line

_WORDS: dict[type, str] = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "a JSON object",
}


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """A JSON object with the digest of its fields, atomically. Raises UserError for a file that cannot be written."""
    atomic_write_json(path, sealed(record))


def read_record(path: Path, types: Mapping[str, type | tuple[type, ...]] | None = None) -> dict[str, Any]:
    """What `write_record` wrote, or an older version without a digest. types: the fields that must be there.

    Raises FileFormatError, naming the file, for one that is missing, damaged or was changed, and for a field of
    another type."""
    record = read_object(path)
    check_seal(path, record)
    check_types(path, record, types or {})
    return record


def read_object(path: Path) -> dict[str, Any]:
    """A JSON object, of whomever. Raises FileFormatError for a file that is missing, cannot be read, or is none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileFormatError(f"{path.parent} has no {path.name}") from None
    except OSError as error:
        raise FileFormatError(f"{path} cannot be read: {error.strerror or error}") from None
    except RecursionError:
        raise FileFormatError(f"{path} is not JSON that can be read: it is nested too deeply") from None
    except ValueError as error:  # also of bytes that are no UTF-8, and of numbers with thousands of digits
        raise FileFormatError(f"{path} is not JSON: {first_line(error)}") from None
    if not isinstance(value, dict):
        raise FileFormatError(f"{path} is not a JSON object but {_said(value)}")
    return value


def check_types(path: Path, record: Mapping[str, Any], types: Mapping[str, type | tuple[type, ...]]) -> None:
    """Raises FileFormatError, naming file and field, for a field that is missing or of another type; a truth value is
    no number, a whole number is one."""
    for name, expected in types.items():
        if name not in record:
            raise FileFormatError(f"{path} lacks {name}")
        kinds = expected if isinstance(expected, tuple) else (expected,)
        value = record[name]
        whole = type(value) is int and float in kinds
        if not whole and type(value) not in kinds:
            words = " or ".join("null" if kind is type(None) else _WORDS[kind] for kind in kinds)
            raise FileFormatError(f"{path}: {name} is {_said(value)}, expected {words}")


def _said(value: Any) -> str:
    """A JSON value in few words."""
    if value is None or isinstance(value, bool | int | float):
        return json.dumps(value)[:40]
    text = json.dumps(value[:40] if isinstance(value, str) else None)
    return text if isinstance(value, str) else _WORDS[type(value)]

"""Which of several named arrays are the logits, the labels, the ids: by their names, or the only one that can be."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lora_ensemble.errors import DataError
from lora_ensemble.predictions.foreign.found import CLASSES, FEATURES, IDS, LABELS, VALUES, Found, Wanted, named, there

Shapes = Mapping[str, tuple[int, ...]]


def found_in(shapes: Shapes, read: Callable[[str], Any], wanted: Wanted) -> Found:
    """shapes: of all arrays by name; read: gives one. Raises DataError that lists the arrays where it is in doubt."""
    names = list(shapes)
    labels, ids = _labels(names, wanted), named(names, IDS, "ids")
    classes, features = named(names, CLASSES, "names of the classes"), named(names, FEATURES, "features")
    rest = [name for name in names if name not in (labels, ids, classes, features)]
    values = _values(rest, shapes, wanted)
    return Found(
        read(values),
        VALUES.get(values.lower(), False),
        None if labels is None else read(labels),
        None if ids is None else _texts(read(ids)),
        None if classes is None else _texts(read(classes)),
        features=None if features is None else read(features),
    )


def only_labels(shapes: Shapes, read: Callable[[str], Any]) -> Any:
    """Of a file that is given for its labels: the array with their name, or the only one."""
    name = next(iter(shapes)) if len(shapes) == 1 else named(shapes, LABELS, "labels")
    if name is None:
        raise DataError(f"which array are the labels? there are {_listed(shapes)}")
    return read(name)


def _labels(names: Sequence[str], wanted: Wanted) -> str | None:
    if not wanted.labelled:
        return None
    return named(names, LABELS, "labels") if wanted.labels is None else there(names, wanted.labels, "array")


def _values(names: Sequence[str], shapes: Shapes, wanted: Wanted) -> str:
    if len(wanted.columns) > 1:
        raise DataError(f"there are arrays here, of which one holds all classes; {len(wanted.columns)} were named")
    if wanted.columns:
        return there(list(shapes), wanted.columns[0], "array")
    known = sorted(
        (name for name in names if name.lower() in VALUES), key=lambda name: list(VALUES).index(name.lower())
    )
    if known:
        return known[0]
    can_be = [name for name in names if len(shapes[name]) >= 2]
    if len(can_be) != 1:
        raise DataError(
            f"which array are the logits? there are {_listed(shapes) or 'none'}; say so with --columns NAME"
        )
    return can_be[0]


def _listed(shapes: Shapes) -> str:
    return ", ".join(f"{name} {shape}" for name, shape in shapes.items())


def _texts(values: Any) -> list[str]:
    listed = values.tolist()
    return [str(value) for value in (listed if isinstance(listed, list) else [listed])]

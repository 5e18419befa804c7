"""Predictions as a table: an answer per row with its uncertainty, and tables of other people's predictions."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lora_ensemble.disk.files import atomic_write
from lora_ensemble.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from lora_ensemble.predictions.predictions import Predictions

KINDS = {"p_": True, "logit_": False}
"""What columns of values begin with, and whether they are probabilities."""


def frame_of(
    p: Predictions, probabilities: bool, members: bool, sets_BC: Tensor | None, abstain_B: Tensor | None
) -> pd.DataFrame:
    """An answer per row; see `Predictions.to_pandas`."""
    import pandas as pd

    classes = _classes(p)
    probs_BC = p.pooled_probs()
    probability_B, predicted_B = probs_BC.max(-1)
    predicted_MB = p.logits_MBC.argmax(-1)
    columns: dict[str, Any] = {
        "id": list(p.ids) if p.ids is not None else range(len(p)),
        "prediction": [classes[c] for c in predicted_B.tolist()],
        "probability": probability_B.numpy(),
        "total": p.total_B.numpy(),
        "aleatoric": p.aleatoric_B.numpy(),
        "epistemic": p.epistemic_B.numpy(),
        "agreement": (predicted_MB == predicted_B).double().mean(0).numpy(),
    }
    if abstain_B is not None:
        columns["abstain"] = _of_shape(abstain_B, (len(p),), "abstain_B")
    if sets_BC is not None:
        chosen = _of_shape(sets_BC, (len(p), p.num_classes), "sets_BC")
        columns["set"] = [[name for name, inside in zip(classes, row, strict=True) if inside] for row in chosen]
    if members:
        columns["members"] = [[classes[c] for c in row] for row in predicted_MB.T.tolist()]
    if probabilities:
        columns |= {f"p_{name}": probs_BC[:, c].numpy() for c, name in enumerate(classes)}
    if p.labels_B is not None:
        columns["label"] = [classes[c] for c in p.labels_B.tolist()]
    return pd.DataFrame(columns)


def write_csv(frame: pd.DataFrame, path: str | Path) -> None:
    """Atomically; lists as JSON. Raises UserError for a file that cannot be written."""
    text = io.StringIO()
    lists = [name for name in ("set", "members") if name in frame]
    frame.assign(**{name: frame[name].map(json.dumps) for name in lists}).to_csv(text, index=False)
    atomic_write(path, lambda temporary: Path(temporary).write_text(text.getvalue(), encoding="utf-8"))


@dataclass(frozen=True, eq=False)
class Columns:
    """What a table of predictions holds."""

    values_MBC: np.ndarray
    are_probabilities: bool
    labels_B: list[int] | None
    ids: Sequence[str] | None
    meta: Mapping[str, Any]


def columns_of(frame: pd.DataFrame) -> Columns:
    """See `Predictions.from_pandas`."""
    prefix = next((prefix for prefix in KINDS if any(str(name).startswith(prefix) for name in frame)), None)
    if prefix is None:
        there = ", ".join(map(str, frame)) or "none"
        raise DataError(f"the table has no columns p_<class> or logit_<class>; its columns: {there}")
    names = [name for name in frame if str(name).startswith(prefix)]
    classes = [str(name).removeprefix(prefix) for name in names]
    parts = [frame] if "member" not in frame else [part for _, part in frame.groupby("member", sort=False)]
    first, aligned = parts[0], [_aligned(part, parts[0]) for part in parts]
    _check_same_labels(aligned)
    try:
        values = [part[names].to_numpy(dtype=float) for part in aligned]
    except (TypeError, ValueError) as error:
        raise DataError(f"columns {prefix}... hold what is no number: {error}") from error
    import numpy as np

    labels = labels_of(first["label"].tolist(), classes) if "label" in first else None
    ids = [str(name) for name in first["id"]] if "id" in first else None
    return Columns(np.stack(values), KINDS[prefix], labels, ids, {"classes": classes})


def _aligned(part: pd.DataFrame, first: pd.DataFrame) -> pd.DataFrame:
    """The rows of one member, in the order of the first member's."""
    if "id" in first and not part["id"].is_unique:
        raise DataError(f"id {part['id'][part['id'].duplicated()].iloc[0]!r} occurs more than once for one member")
    same = len(part) == len(first)
    if same and "id" in first:
        part = part.set_index("id", drop=False)
        same = set(part.index) == set(first["id"])
        part = part.loc[first["id"]] if same else part
    if not same:
        raise DataError(f"member {part['member'].iloc[0]} has other rows than member {first['member'].iloc[0]}")
    return part


def _check_same_labels(parts: Sequence[pd.DataFrame]) -> None:
    """A label is a sample's, whichever member looks at it: another one shows that rows are in another order."""
    for part in parts if "label" in parts[0] else ():
        for b, (own, first) in enumerate(zip(part["label"], parts[0]["label"], strict=True)):
            if own != first:
                raise DataError(
                    f"member {part['member'].iloc[0]} has label {own!r} in row {b}, the first has {first!r}"
                )


def labels_of(values: Sequence[Any], classes: Sequence[str]) -> list[int]:
    """Class indices of names; numbers that are none of the names are indices themselves."""
    numbers = {name: c for c, name in enumerate(classes)}
    if not {str(value) for value in values} <= numbers.keys() and all(_index(value, len(classes)) for value in values):
        return [int(value) for value in values]
    for b, value in enumerate(values):
        if str(value) not in numbers:
            raise DataError(f"label {value!r} of row {b} is none of the classes: {', '.join(classes[:10])}")
    return [numbers[str(value)] for value in values]


def _index(value: Any, num_classes: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < num_classes


def _classes(p: Predictions) -> list[str]:
    return [str(name) for name in p.meta.get("classes") or range(p.num_classes)]


def _of_shape(values: Tensor, shape: tuple[int, ...], name: str) -> list[Any]:
    flags = torch.as_tensor(values)
    if tuple(flags.shape) != shape:
        raise DataError(f"{name} has shape {tuple(flags.shape)}, expected {shape}")
    found: list[Any] = flags.bool().tolist()
    return found

"""What is said of members, as text and as JSON."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence

from lora_ensemble.analysis.rendering import arrow, markdown, number
from lora_ensemble.analysis.shift_tables import without_nan
from lora_ensemble.studies.members import Members

PAIRS = {
    "disagreement_MM": "disagreement",
    "divergence_MM": "Jensen-Shannon divergence",
    "error_correlation_MM": "correlation of errors",
}


def members_text(found: Mapping[str, Members]) -> str:
    """Tables in markdown."""
    parts = []
    for label, members in found.items():
        parts += [f"{label}, by the number of members", _by_number(members), "pairs of members", _pairs(members)]
        if members.selection is not None:
            order = ", ".join(map(str, members.selection.order))
            best = ", ".join(map(str, members.selection.best))
            parts.append(f"selected by {members.selection.score} on validation: {best} (taken in the order {order})")
        if members.layers:
            parts += ["updates of each layer, means over members", _layers(members)]
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def members_json(found: Mapping[str, Members]) -> str:
    """The fields of `studies.members.Members`; null where a value is not defined."""
    return json.dumps(without_nan({label: dataclasses.asdict(members) for label, members in found.items()}), indent=2)


def _by_number(members: Members) -> str:
    curve = members.curve
    rows = [
        [str(size), *(number(curve.mean[name][k], curve.std[name][k], digits=4) for name in curve.mean)]
        for k, size in enumerate(curve.sizes)
    ]
    rows.append(["one more", *(_signed(members.one_more[name]) for name in curve.mean)])
    if members.selected:
        assert members.selection is not None
        rows.append(
            [f"selected {len(members.selection.best)}", *(number(v, digits=4) for v in members.selected.values())]
        )
    return markdown(["members", *map(arrow, curve.mean)], rows)


def _pairs(members: Members) -> str:
    rows = []
    for name, written in PAIRS.items():
        matrix = getattr(members.pairs, name)
        if matrix is None:
            continue
        values = [matrix[i][j] for i in range(len(matrix)) for j in range(i) if not math.isnan(matrix[i][j])]
        cells = [members.pairs.mean_of(name), min(values, default=math.nan), max(values, default=math.nan)]
        rows.append([written, *(number(cell, digits=4) for cell in cells)])
    return markdown(["", "mean", "least", "most"], rows)


def _layers(members: Members) -> str:
    rows = [
        [
            layer.name,
            number(_mean(layer.norm_M), digits=4),
            number(_mean([row[n] for m, row in enumerate(layer.cosine_MM) for n in range(m)]), digits=4),
            number(_mean(layer.new_M), digits=3),
            number(_mean(layer.intruders_M), digits=1),
        ]
        for layer in members.layers
    ]
    header = ["layer", "size", "cosine of pairs", "nearest direction of W0", "intruders among 10"]
    return markdown(header, rows)


def _mean(values: Sequence[float]) -> float:
    there = [value for value in values if not math.isnan(value)]
    return math.fsum(there) / len(there) if there else math.nan


def _signed(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:+.4f}"

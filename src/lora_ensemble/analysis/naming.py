"""What scores are called, which way is better, which are shown unasked: each metric file says so of its own."""

from __future__ import annotations

from collections.abc import Iterable

from lora_ensemble.analysis.scoring import CALIBRATED, better, metrics, source_of
from lora_ensemble.analysis.uncertainty import plugin

AFTER = ("nll", "ece_15")
"""Scores whose value after calibration stands beside them in a table for which no columns are named."""
ALL = "all"
"""In place of the names of scores: every one."""
SUMMARY = ("aurc", "total", "aleatoric", "epistemic", "auroc_msp")
"""Scores that are shown of one run unasked, beside the columns of a table of several."""
_ARROWS = {"higher": "\u00a0↑", "lower": "\u00a0↓", None: ""}


def label(score: str, arrow: bool = False) -> str:
    """A score's name for a reader: "auroc_entropy[letters]" becomes "AUROC, entropy, letters".

    From the metric file's LABELS, else the words of the name. arrow: with an arrow where one way is better.
    """
    if score.startswith(CALIBRATED):
        return f"{label(score.removeprefix(CALIBRATED), arrow)}, calibrated"
    plain, _, ood = score.partition("[")
    metric, name, uncertainty = source_of(plain) or (None, plain, None)
    labels = getattr(metric, "LABELS", {})
    written = labels.get(plain) or labels.get(name) or name.replace("_", " ")
    if uncertainty and plain not in labels:
        written += f", {getattr(plugin(uncertainty), 'LABEL', uncertainty.replace('_', ' '))}"
    return written + (f", {ood.removesuffix(']')}" if ood else "") + (_ARROWS[better(score)] if arrow else "")


def digits_of(score: str, asked: int | None = None) -> int:
    """Digits after the point in a table of several methods: those that are asked for, else of DIGITS, else 3."""
    if asked is not None:
        return asked
    metric, name, _ = source_of(score) or (None, score, None)
    digits = getattr(metric, "DIGITS", {})
    return int(digits.get(score.partition("[")[0].removeprefix(CALIBRATED), digits.get(name, 3)))


def common(available: Iterable[str]) -> tuple[str, ...]:
    """The columns of a table for which none are named: of the available scores those that a metric file gives a place
    in COLUMNS, in the order of their places, for every OOD set. Of scores after calibration those of `AFTER`."""
    places: dict[str, float] = {name: place for m in metrics() for name, place in getattr(m, "COLUMNS", {}).items()}
    places |= {f"{CALIBRATED}{name}": places[name] + 0.5 for name in AFTER if name in places}
    found = [name for name in dict.fromkeys(available) if name.partition("[")[0] in places]
    return tuple(sorted(found, key=lambda name: places[name.partition("[")[0]]))


def summary(available: Iterable[str]) -> tuple[str, ...]:
    """The scores of one run that are read at once, in the order in which they are available: what `common` shows of
    several, and `SUMMARY`."""
    names = list(dict.fromkeys(available))
    shown = set(common(names)) | {name for name in names if name.partition("[")[0] in SUMMARY}
    return tuple(name for name in names if name in shown)

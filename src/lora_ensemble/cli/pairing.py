"""`evaluate --paired`: which ensembles are better than which, as text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lora_ensemble.cli.scored import Scored


def pairs_shown(given: Iterable[Scored], scores: Sequence[str], form: str, *, raw: bool = False) -> str:
    """Of the calibrated predictions, where there is a calibration and they are not to be raw."""
    from lora_ensemble.analysis import all_pairs
    from lora_ensemble.analysis.pairs import MAIN

    methods = {}
    for each in given:
        if each.calibration is None or raw:
            methods[each.label] = each.predictions
        else:
            methods[f"{each.label}, calibrated"] = each.calibration(each.predictions)
    found = all_pairs(methods, scores or MAIN)
    renderings = {"markdown": found.to_markdown, "latex": found.to_latex, "json": found.to_json}
    return renderings[form]()

"""How much members differ, and what each additional one brings."""

from __future__ import annotations

import numpy as np

from lora_ensemble.analysis.naming import label
from lora_ensemble.report import seeds
from lora_ensemble.report.figures import disagreement_matrix, members_curves
from lora_ensemble.report.html import Section, folded, legend, panels, reading
from lora_ensemble.report.results import Results
from lora_ensemble.report.style import colours
from lora_ensemble.report.svg import inline_svg

CURVES = (
    "Each score against the number of members that are pooled, as a mean over choices of that many members. Where a "
    "curve is flat, fewer members would do."
)
PAIRS = "Members that always agree add nothing: on what share of the samples do two of them predict different classes?"

_MOST_MEMBERS = 32
"""Members up to which their matrix is drawn."""


def section(results: Results) -> Section | None:
    if not any(run.curves.disagreement_MM for run in results.runs):
        return None
    curves, pairs = _curves(results), _pairs(results)
    content = legend(colours(list(results.methods))) + panels(curves) if curves else ""
    if pairs:
        content += folded("Disagreement of each pair of members", reading(PAIRS) + panels(pairs))
    return Section("Members", CURVES if curves else "", content) if content else None


def _pairs(results: Results) -> list[str]:
    matrices = {
        method: np.mean([run.curves.disagreement_MM for run in runs], 0)
        for method, runs in results.methods.items()
        if 1 < len(runs[0].curves.disagreement_MM) <= _MOST_MEMBERS
    }
    colour = colours(list(results.methods))
    scale = max((matrix.max() for matrix in matrices.values()), default=1.0)
    svgs = []
    for i, (method, matrix) in enumerate(matrices.items()):
        figure = disagreement_matrix(matrix, title=method, scale=scale, colour=colour[method])
        mean = seeds.score(results.methods[method], "disagreement")
        svgs.append(inline_svg(figure, f"disagreement-{i}", f"Disagreement of the members of {method}, mean {mean}"))
    return svgs


def _curves(results: Results) -> list[str]:
    found = {method: [run.curves.members for run in runs] for method, runs in results.methods.items()}
    svgs: list[str] = []
    for name in dict.fromkeys(name for runs in found.values() for curve in runs if curve for name in curve.mean):
        curves = {
            method: (curves[0].sizes, [curve.mean[name] for curve in curves])
            for method, runs in found.items()
            if (curves := [curve for curve in runs if curve is not None and name in curve.mean])
        }
        if curves:
            plain, _, ood = name.partition("[")
            figure = members_curves(
                curves,
                title=label(plain),
                remark=ood[:-1],
                colour=colours(list(results.methods)),
                legend=False,
            )
            svgs.append(inline_svg(figure, f"members-{len(svgs)}", f"{label(name)} by number of members"))
    return svgs

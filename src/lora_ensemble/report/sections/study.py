"""Scores against the one field in which the experiments differ."""

from __future__ import annotations

from html import escape

from lora_ensemble.analysis.naming import label
from lora_ensemble.report.figures import study_curve
from lora_ensemble.report.html import Section, folded, panels, table
from lora_ensemble.report.results import Results
from lora_ensemble.report.svg import inline_svg

READING = "The experiments differ in nothing but {field}."
CURVES = " Its values stand at equal distances; a dot is a run, a line the mean over runs."


def section(results: Results) -> Section | None:
    study = results.study
    if study is None or len(study.values) < 2:
        return None
    compared = study.table(results.table())
    header, rows, bold = compared.cells()
    header = [study.field, *(label(name, arrow=True) for name in compared.columns)]
    content = table(header, [[escape(cell) for cell in row] for row in rows], bold=bold)
    if study.numeric:
        content = panels(_curves(results)) + folded("As a table", content)
    name = study.field.rpartition(".")[2].replace("_", " ")
    return Section(f"Effect of {name}", READING.format(field=study.field) + CURVES * study.numeric, content)


def _curves(results: Results) -> list[str]:
    assert results.study is not None
    order = [method for method in results.study.order if method in results.methods]
    values = [str(results.study.values[method]) for method in order]
    svgs = []
    for number, name in enumerate(results.table().columns):
        scores = [[run.scores.point.get(name, float("nan")) for run in results.methods[method]] for method in order]
        if all(score == score for seeds in scores for score in seeds):
            figure = study_curve(values, scores, title=label(name), field=results.study.field)
            svgs.append(inline_svg(figure, f"study-{number}", f"{label(name)} by {results.study.field}"))
    return svgs

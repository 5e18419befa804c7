"""What each method costs."""

from __future__ import annotations

from functools import partial

from lora_ensemble.report.figures import cost_bars
from lora_ensemble.report.html import Section, panels
from lora_ensemble.report.results import COSTS, Results
from lora_ensemble.report.style import colours
from lora_ensemble.report.svg import inline_svg
from lora_ensemble.report.words import quantity

READING = "Time, as it was measured on one machine, and size. Shorter bars are cheaper."
OVER_RUNS = " Bars are means over runs, with a line from the lowest to the highest."


def section(results: Results) -> Section | None:
    colour = colours(list(results.methods))
    made = []
    for cost, title in COSTS.items():
        values = {
            method: [run.cost[cost] for run in runs if cost in run.cost] for method, runs in results.methods.items()
        }
        values = {method: v for method, v in values.items() if v}
        if values:
            figure = cost_bars(values, title=title, form=partial(quantity, cost), colour=colour)
            spoken = ", ".join(f"{method} {quantity(cost, sum(v) / len(v))}" for method, v in values.items())
            made.append(inline_svg(figure, f"cost-{cost.replace('_', '-')}", f"{title}: {spoken}"))
    return Section("Cost", READING + OVER_RUNS * results.repeated, panels(made)) if made else None

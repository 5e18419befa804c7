"""The sections of a report: one file each, found by its name, with its figure.

The anatomy of a section, which is all there is to adding one (from a package outside: an entry point of the group
`lora_ensemble.sections` that names such a module):

    ORDER     its place on the page: the highest come last
    section   takes `Results`; returns a `parts.Section`, or None with nothing to show
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from importlib.metadata import entry_points
from types import ModuleType

from lora_ensemble.report.parts import Section
from lora_ensemble.report.results import Results

GROUP = "lora_ensemble.sections"


def sections(results: Results) -> list[Section]:
    """All sections that these results have something for, in their order."""
    made = [part.section(results) for part in found()]
    return [section for section in made if section is not None]


@cache
def found() -> tuple[ModuleType, ...]:
    """The files of sections, in the order of the page."""
    own = [importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)]
    others = [entry.load() for entry in entry_points(group=GROUP)]
    return tuple(sorted([*own, *others], key=lambda module: (module.ORDER, module.__name__)))

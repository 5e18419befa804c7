"""Studies: how scores change with one field in which experiments differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lora_ensemble.analysis.comparison import Table


@dataclass(frozen=True)
class Study:
    """Experiments that differ in one field alone."""

    field: str
    """Its path, as in "method.r"."""
    values: dict[str, Any]
    """Its value in each experiment, by the experiment's name in tables."""

    @property
    def numeric(self) -> bool:
        """Whether all values are numbers."""
        return all(isinstance(v, int | float) and not isinstance(v, bool) for v in self.values.values())

    @property
    def order(self) -> list[str]:
        """The experiments, numbers rising; other values in the order in which they were given."""
        return sorted(self.values, key=self.values.__getitem__) if self.numeric else list(self.values)

    def table(self, compared: Table) -> Table:
        """The rows of a comparison in the order of the field's values, and named by them."""
        named = {name: str(self.values[name]) for name in self.order if name in compared.mean}
        return Table(
            mean={value: compared.mean[name] for name, value in named.items()},
            std={value: compared.std[name] for name, value in named.items()},
            runs={value: compared.runs[name] for name, value in named.items()},
            columns=compared.columns,
            directions=compared.directions,
            head=self.field,
        )


def study_of(settings: Mapping[str, Mapping[str, Any]], ignoring: tuple[str, ...] = ()) -> Study | None:
    """The study that experiments make up, by their names and values of all fields; None where they differ in no field,
    or in several. ignoring: fields whose difference is not looked at.

    A field that an experiment does not have (of another method) differs.
    """
    missing = object()
    fields = dict.fromkeys(name for own in settings.values() for name in own if name not in ignoring)
    first = next(iter(settings.values()), {})
    differing = [
        name for name in fields if any(own.get(name, missing) != first.get(name, missing) for own in settings.values())
    ]
    if len(differing) != 1:
        return None
    (field,) = differing
    return Study(field, {name: own.get(field) for name, own in settings.items()})

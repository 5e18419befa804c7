"""A split whose rows went through a shift, one by one, when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from lora_ensemble import registry
from lora_ensemble.contracts import Example, Shift, Split
from lora_ensemble.errors import UserError


class ShiftedExamples(Sequence[Example]):
    """Examples with a shift applied to each; its random numbers come from the row's id, and from nothing else."""

    def __init__(self, split: Split, shift: Shift):
        self.split, self.shift, self.kind = split, shift, registry.name_of(shift)

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, row: Any) -> Any:
        if isinstance(row, slice):
            return [self[i] for i in range(*row.indices(len(self)))]
        from lora_ensemble.randomness import generator

        row = range(len(self))[row]
        drawn = generator(self.shift.seed, "shift", self.kind, self.split.ids[row])
        return self.shift.shifted(self.split.examples[row], drawn)

    def __iter__(self) -> Iterator[Example]:
        return (self[row] for row in range(len(self)))


def shifted(split: Split, shift: Shift) -> Split:
    """The same rows, with labels and ids, after a shift. Raises UserError for rows of a kind that it does not know."""
    if split.modality not in shift.modalities:
        known = " or ".join(shift.modalities)
        raise UserError(f"shift {registry.name_of(shift)!r} is of {known} rows; these are {split.modality}")
    return replace(split, examples=ShiftedExamples(split, shift))

"""Prediction sets, and what they turned out to be worth where labels are known."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from lora_ensemble.analysis.binomial import Share
from lora_ensemble.errors import DataError


@dataclass(frozen=True)
class Coverage:
    """How often sets held the label, with exact 95 % intervals, and how large they were."""

    target: float
    """The coverage that was promised, on average over validation sets."""
    overall: Share
    per_class: dict[str, Share]
    """By the label's name, or number."""
    per_group: dict[str, Share]
    """Where groups were given."""
    by_size: dict[int, Share]
    """By the size of the set."""
    mean_size: float
    size_interval: tuple[float, float]
    """Of the mean size: 95 %, by its standard error."""

    @property
    def worst_group(self) -> tuple[str, Share]:
        """The group of lowest coverage; of the classes, where there are no groups."""
        parts = self.per_group or self.per_class
        name = min((k for k in parts if parts[k].rows), key=lambda k: parts[k].value)
        return name, parts[name]

    def to_json(self) -> str:
        """Everything, as JSON."""
        name, share = self.worst_group
        return json.dumps({**asdict(self), "worst_group": {"name": name, **asdict(share)}}, indent=1)


@dataclass(frozen=True, eq=False)
class PredictionSets:
    """A set of classes for each row."""

    sets_BC: Tensor
    """(B, C) bool: whether the class is in the row's set."""
    p_values_BC: Tensor
    """(B, C) conformal p-values: under the promise's assumption the label's is at most a with probability at most a."""
    coverage: float
    """The target."""
    labels_B: Tensor | None = None
    groups: tuple[str, ...] | None = None
    """(B,) as they were given."""
    names: tuple[str, ...] | None = None
    """(C,) of the classes."""

    @property
    def sizes_B(self) -> Tensor:
        """(B,) number of classes in each set."""
        return self.sets_BC.sum(1)

    @property
    def confidence_B(self) -> Tensor:
        """(B,) 1 - the second highest p-value: the largest coverage at which the set has one class at most."""
        return 1 - self.p_values_BC.topk(2, dim=1).values[:, 1]

    def class_names(self) -> list[list[str]]:
        """The names of the classes in each set."""
        names = self.names or tuple(map(str, range(self.sets_BC.shape[1])))
        return [[name for name, inside in zip(names, row, strict=True) if inside] for row in self.sets_BC.tolist()]

    def measured(self, groups: Sequence[object] | None = None) -> Coverage:
        """Coverage and size on these rows, per class, by size, and for each of `groups` (B,), default those that the
        sets were made with. Raises DataError for rows without labels."""
        if self.labels_B is None:
            raise DataError("coverage is measured by labels, and these predictions have none")
        held_B = self.sets_BC.gather(1, self.labels_B[:, None]).squeeze(1)
        groups = self.groups if groups is None else groups
        names = self.names or tuple(map(str, range(self.sets_BC.shape[1])))
        classes = [names[label] for label in self.labels_B.tolist()]
        sizes_B = self.sizes_B.double()
        error = float(sizes_B.std() / len(sizes_B) ** 0.5) if len(sizes_B) > 1 else float("nan")
        mean = float(sizes_B.mean())
        return Coverage(
            target=self.coverage,
            overall=Share.of(int(held_B.sum()), len(held_B)),
            per_class={name: _share(held_B, classes, name) for name in names},
            per_group={str(g): _share(held_B, groups, g) for g in dict.fromkeys(groups or ())},
            by_size={n: _share(held_B, self.sizes_B.tolist(), n) for n in sorted(set(self.sizes_B.tolist()))},
            mean_size=mean,
            size_interval=(mean - 1.96 * error, mean + 1.96 * error),
        )


def _share(held_B: Tensor, of_B: Sequence[object] | None, which: object) -> Share:
    chosen_B = torch.tensor([value == which for value in of_B or ()])
    return Share.of(int(held_B[chosen_B].sum()), int(chosen_B.sum()))

"""The members of an ensemble, which may be spread over several runs: what is said of them and of their weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lora_ensemble.errors import UserError
from lora_ensemble.runs.run import Run
from lora_ensemble.runs.trained import Trained
from lora_ensemble.studies.groups import VALIDATION, joined

if TYPE_CHECKING:
    from lora_ensemble.analysis.member_pairs import MemberPairs
    from lora_ensemble.analysis.member_value import Selection
    from lora_ensemble.analysis.members_curve import MembersCurve
    from lora_ensemble.engine.updates import LayerUpdates

COMMON = ("accuracy", "nll", "brier", "ece_15", "aurc", "total", "aleatoric", "epistemic")
ALL = ["all"]


@dataclass(frozen=True)
class Members:
    """What is said of the M members of an ensemble."""

    curve: MembersCurve
    """Scores by the number of members."""
    one_more: dict[str, float]
    """By score: the change that member M + 1 is expected to make."""
    pairs: MemberPairs
    selection: Selection | None
    """None without a validation split with labels."""
    selected: dict[str, float]
    """The scores of the selected members, on what is scored."""
    layers: tuple[LayerUpdates, ...] = ()
    """Where weights were asked for."""


def members_of_runs(
    runs: Sequence[Trained], split: str, scores: Sequence[str] = (), by: str = "nll", weights: bool = False
) -> Members:
    """scores: by the number of members; ["all"] for every one. Raises UnknownNameError for one that there is not,
    UserError for weights of several runs or of what has no adapted layers."""
    from lora_ensemble.analysis import members_curve
    from lora_ensemble.analysis.member_pairs import member_pairs
    from lora_ensemble.analysis.member_value import greedy_selection, one_more
    from lora_ensemble.analysis.scoring import applicable

    layers = _layers(runs) if weights else ()
    p = joined(runs, split)
    there = applicable(p)
    names = there if list(scores) == ALL else list(scores) or [name for name in COMMON if name in there]
    sizes = range(1, p.num_members + 1) if p.num_members <= 8 else None
    curve = members_curve(p, names, sizes)
    has_validation = split != VALIDATION and all(VALIDATION in run.experiment.dataset.splits for run in runs)
    selection = greedy_selection(joined(runs, VALIDATION), by) if has_validation else None
    chosen = None if selection is None else members_curve(p.members(selection.best), names, [len(selection.best)])
    selected = {} if chosen is None else {name: values[0] for name, values in chosen.mean.items()}
    return Members(curve, one_more(curve), member_pairs(p), selection, selected, layers)


def _layers(runs: Sequence[Trained]) -> tuple[LayerUpdates, ...]:
    from lora_ensemble.engine.updates import updates_of

    if len(runs) > 1 or not isinstance(runs[0], Run):
        raise UserError("--weights compares the members of one run")
    return tuple(updates_of(runs[0].ensemble()))

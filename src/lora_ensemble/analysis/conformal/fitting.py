"""Conformal prediction: sets that hold the label as often as promised, whatever the model, fitted on validation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from lora_ensemble.analysis.conformal.penalties import chosen, rank_of
from lora_ensemble.analysis.conformal.scores import SCORES, Settings
from lora_ensemble.analysis.conformal.sets import PredictionSets
from lora_ensemble.analysis.conformal.uniforms import uniforms
from lora_ensemble.errors import ConfigurationError, DataError, UnknownNameError
from lora_ensemble.fitted import Fitted, Source
from lora_ensemble.predictions import Predictions

MONDRIAN = "mondrian"
KINDS = (*SCORES, MONDRIAN)


@dataclass(frozen=True)
class Conformal(Fitted):
    """Call it with predictions of the same ensemble: it gives `PredictionSets`. Built by `conformal`."""

    FORMAT: ClassVar[str] = "lora-ensemble-conformal"

    coverage: float = 0.9
    kind: str = "aps"
    base: str = "lac"
    """The score that mondrian compares within each class or group."""
    settings: Settings = field(default_factory=Settings)
    allow_empty: bool = False
    seed: int = 0
    groups: tuple[str, ...] | None = None
    """Names of the groups that mondrian was fitted for; None: one promise for all rows, or one for each class."""
    scores: tuple[tuple[float, ...], ...] = ()
    """Sorted scores of the validation labels: one list, or one for each class or group."""

    @property
    def thresholds(self) -> tuple[float, ...]:
        """The highest score that is taken into a set, for each list of scores; infinite where its rows are too few for
        the coverage, so that nothing less than every class keeps the promise."""
        return tuple(
            scores[rank - 1] if (rank := rank_of(len(scores), self.coverage)) <= len(scores) else math.inf
            for scores in self.scores
        )

    def spread(self, confidence: float = 0.95) -> tuple[float, float]:
        """How much luck with the validation rows moves the coverage: where it lies with this probability, for sets of
        continuous scores and a list of scores that is the shortest (a beta distribution: Vovk 2012)."""
        from scipy.stats import beta

        rows = min(map(len, self.scores))
        rank = rank_of(rows, self.coverage)
        if rank > rows:
            return 1.0, 1.0
        low, high = beta.ppf([(1 - confidence) / 2, (1 + confidence) / 2], rank, rows + 1 - rank)
        return float(low), float(high)

    def __call__(self, p: Predictions, groups: Sequence[object] | None = None) -> PredictionSets:
        """Sets of the rows. groups: (B,), of the rows, where it was fitted for groups; a group that validation lacks
        gets every class. Raises DataError for predictions of another ensemble, and for groups that are missing."""
        self.source.check(p)
        named = _group_names(groups, len(p))
        if (named is None) != (self.groups is None):
            raise DataError(
                "these sets are made for groups: give the group of each row" if named is None else NO_GROUPS
            )
        scores_BC = SCORES[self.base if self.kind == MONDRIAN else self.kind](
            p, uniforms(p, self.seed + 1), self.settings
        )
        below_BC, rows_BC = (
            torch.zeros_like(scores_BC, dtype=torch.int64),
            torch.zeros_like(scores_BC, dtype=torch.int64),
        )
        for rows, columns, k in self._parts(named, p.num_classes):
            fitted = torch.tensor(self.scores[k], dtype=torch.float64)
            below_BC[rows, columns] = torch.searchsorted(fitted, scores_BC[rows, columns].contiguous())
            rows_BC[rows, columns] = len(fitted)
        rank_BC = ((rows_BC + 1) * self.coverage - 1e-9).ceil()
        sets_BC = (below_BC < rank_BC) | (rank_BC > rows_BC)
        if not self.allow_empty:
            sets_BC[torch.arange(len(p)), p.pooled_probs().argmax(1)] |= ~sets_BC.any(1)
        p_values_BC = (rows_BC - below_BC + 1) / (rows_BC + 1)
        return PredictionSets(sets_BC, p_values_BC, self.coverage, p.labels_B, named, self.source.names)

    def _parts(self, named: tuple[str, ...] | None, classes: int) -> list[tuple[Tensor | slice, slice, int]]:
        """Rows and columns of the scores, each with the list that it is compared with."""
        everything = slice(None)
        if named is not None and self.groups is not None:
            at = {name: k for k, name in enumerate(self.groups)}
            number_B = torch.tensor([at.get(name, -1) for name in named])
            return [((number_B == k).nonzero().flatten(), everything, k) for k in range(len(self.groups))]
        if self.kind == MONDRIAN:
            return [(everything, slice(c, c + 1), c) for c in range(classes)]
        return [(everything, everything, 0)]


NO_GROUPS = "these sets are not made for groups, and groups were given: fit with kind='mondrian' and groups"


def conformal(
    validation: Predictions,
    coverage: float = 0.9,
    kind: str = "aps",
    *,
    groups: Sequence[object] | None = None,
    base: str = "lac",
    penalty: float | None = None,
    free_ranks: int | None = None,
    allow_empty: bool = False,
    seed: int = 0,
) -> Conformal:
    """Fit sets that hold the label of a new row with probability `coverage`, where rows of validation and new ones are
    exchangeable; no assumption on the model. On average over validation sets; see `Conformal.spread`.

    kind: lac (smallest), aps (randomised: exact), aps-deterministic, raps, saps, top-k, or mondrian: the promise within
    every class, or within every one of `groups` (B,), by the score `base`. A class or group of few rows gets large
    sets, of very few all classes. penalty, free_ranks: of raps and saps (see `Settings`). Where no penalty is given,
    both are chosen on 30 % of the rows, as published (`penalties.chosen`), and the promise is made from the others;
    of very few rows, and where a penalty is given, one free rank. allow_empty: otherwise a set holds the most probable
    class at least.
    Raises ConfigurationError for a coverage outside of 0 .. 1, UnknownNameError for another kind, DataError for
    predictions without labels or of the test split, and for groups that do not fit.
    """
    _check(coverage, kind, base, penalty or 0, free_ranks or 0, groups)
    source, named = Source.of(validation), _group_names(groups, len(validation))
    scored_by = base if kind == MONDRIAN else kind
    if penalty is None:
        settings, left_B = chosen(validation, scored_by, coverage, free_ranks, seed)
        validation = validation.rows(left_B)
        named = None if named is None else tuple(name for name, left in zip(named, left_B, strict=True) if left)
    else:
        settings = Settings(float(penalty), Settings.free_ranks if free_ranks is None else free_ranks)
    labels_B = validation.labels_B
    assert labels_B is not None
    score = SCORES[scored_by]
    of_label_B = score(validation, uniforms(validation, seed), settings).gather(1, labels_B[:, None]).squeeze(1)
    if named is not None:
        names: tuple[str, ...] | None = tuple(sorted(set(named)))
        lists = [of_label_B[torch.tensor([n == name for n in named])] for name in names or ()]
    else:
        names = None
        lists = [of_label_B[labels_B == c] for c in range(validation.num_classes)] if kind == MONDRIAN else [of_label_B]
    return Conformal(
        source, float(coverage), kind, base, settings, allow_empty, seed, names,
        tuple(tuple(scores.sort().values.tolist()) for scores in lists),
    )  # fmt: skip


def _check(
    coverage: float, kind: str, base: str, penalty: float, free_ranks: int, groups: Sequence[object] | None
) -> None:
    """What `conformal` raises of its options alone."""
    if not 0 < coverage < 1:
        why = ": only the set of all classes is always right" if coverage == 1 else ""
        raise ConfigurationError([f"coverage = {coverage}: must be between 0 and 1{why}"])
    if kind not in KINDS:
        raise UnknownNameError("kind of conformal prediction", kind, KINDS)
    if base not in SCORES:
        raise UnknownNameError("score", base, SCORES)
    if penalty < 0 or free_ranks < 0:
        raise ConfigurationError([f"penalty = {penalty}, free_ranks = {free_ranks}: must be at least 0"])
    if groups is not None and kind != MONDRIAN:
        raise ConfigurationError([f"kind = {kind!r}: groups need kind 'mondrian'"])


def _group_names(groups: Sequence[object] | None, rows: int) -> tuple[str, ...] | None:
    if groups is None:
        return None
    if len(groups) != rows:
        raise DataError(f"there are {len(groups)} groups, expected {rows}: one for each row")
    return tuple(str(group) for group in groups)

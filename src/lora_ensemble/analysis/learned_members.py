"""Which members have learned anything: what to leave out of an ensemble, decided on validation."""

from __future__ import annotations

import torch

from lora_ensemble.errors import ConfigurationError, DataError
from lora_ensemble.fitted import Source
from lora_ensemble.predictions import Predictions


def learned_members(validation: Predictions, confidence: float = 0.95) -> tuple[int, ...]:
    """The members that do better on validation than always the most frequent class, for `p.members(...)`.

    An exact one-sided binomial test of each member, at 1 - confidence over the number of members, so that a whole
    ensemble that learned nothing keeps a member by chance no more often than that. Raises DataError where no member
    passes (few rows, or nothing was learned), for predictions without labels and of the test split.
    """
    from scipy.stats import binom

    if not 0 < confidence < 1:
        raise ConfigurationError([f"confidence = {confidence}: must be between 0 and 1"])
    Source.of(validation)
    labels_B, rows = validation.labels_B, len(validation)
    assert labels_B is not None
    most = float(torch.bincount(labels_B).max()) / rows
    right_M = (validation.logits_MBC.argmax(2) == labels_B).sum(1).numpy()
    p_values_M = binom.sf(right_M - 1, rows, most)
    kept = tuple(m for m, p in enumerate(p_values_M) if p <= (1 - confidence) / validation.num_members)
    if not kept:
        raise DataError(
            f"no member is better on {rows} validation rows than always the most frequent class (accuracy {most:.3f}): "
            f"the best has {right_M.max() / rows:.3f}"
        )
    return kept

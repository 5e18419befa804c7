"""Experiments as a study: the one field in which they differ."""

from __future__ import annotations

from collections.abc import Mapping

from lora_ensemble.analysis import Study, study_of
from lora_ensemble.experiment import Experiment

IGNORED = ("seed", "method.first_member")


def study_of_experiments(experiments: Mapping[str, Experiment]) -> Study | None:
    """experiments: by the label under which their runs are shown. None where they differ in several fields, or there is
    only one; the seed is not looked at."""
    return study_of({label: experiment.determining() for label, experiment in experiments.items()}, IGNORED)

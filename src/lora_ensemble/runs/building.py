"""An experiment's backbone, and the untrained ensemble that its method makes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lora_ensemble import registry
from lora_ensemble.contracts import LoadedBackbone, Split
from lora_ensemble.errors import ConfigurationError
from lora_ensemble.experiment import Experiment

if TYPE_CHECKING:
    from lora_ensemble.engine.ensemble import Ensemble


def load_backbone(experiment: Experiment, num_classes: int) -> LoadedBackbone:
    """The experiment's backbone, with a head drawn from its seed."""
    from lora_ensemble.randomness import seeded

    with seeded(experiment.seed, "backbone"):
        return experiment.backbone.load(num_classes)


def build(experiment: Experiment, num_classes: int) -> tuple[LoadedBackbone, Ensemble]:
    """The experiment's backbone, and the untrained ensemble that its method makes of it."""
    from lora_ensemble.randomness import seeded

    backbone = load_backbone(experiment, num_classes)
    with seeded(experiment.seed, "method"):
        ensemble = experiment.method.build(backbone, experiment.seed)
    ensemble.objective = backbone.loss
    return backbone, ensemble


def check_modality(experiment: Experiment, split: Split) -> None:
    """Raises ConfigurationError for examples that the backbone does not understand."""
    understood = experiment.backbone.modality
    if split.modality != understood:
        name = registry.name_of(experiment.backbone)
        raise ConfigurationError([f"the data set holds {split.modality}, backbone {name!r} understands {understood}"])

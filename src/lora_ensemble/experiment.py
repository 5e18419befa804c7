"""Experiment: everything that one run needs, as frozen dataclasses that become JSON and come back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from lora_ensemble import registry
from lora_ensemble.contracts import Backbone, Dataset, Method
from lora_ensemble.errors import ConfigurationError, UnknownNameError
from lora_ensemble.fields import flat, from_plain, to_plain, type_problems
from lora_ensemble.training.options import ADDED, NO_EFFECT
from lora_ensemble.training.options import Training as Training

_PLUGINS = {"backbone": "backbones", "method": "methods", "dataset": "datasets"}
_ADDED = {f"training.{name}" for name in ADDED}
_ADDED |= {f"method.{name}" for name in ("last", "read_rows", "repulsion", "bandwidth")}
_ADDED |= {f"backbone.{name}" for name in ("answer", "normalise", "question", "likelihood", "scoring_length")}
_ADDED |= {f"method.{name}" for name in ("init_mean", "head_mean", "head_init", "head_gain", "head_std")}


@dataclass(frozen=True)
class Experiment:
    """One backbone, made into an ensemble by one method, trained on one data set."""

    backbone: Backbone
    """The pretrained network."""
    method: Method
    """How it becomes an ensemble."""
    dataset: Dataset
    """What it is trained on."""
    training: Training = field(default_factory=Training)
    """How it is trained."""
    seed: int = 0
    """Everything random follows from it and from the member's index."""
    name: str = ""
    """A name for tables and reports; no influence on the result."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON values; the plug-ins carry their name as "kind", and where they come from as "from" where that is
        not this package."""
        parts: dict[str, Any] = {}
        for part in _PLUGINS:
            parts[part] = registry.record(getattr(self, part))
        return {**parts, "training": to_plain(self.training), "seed": self.seed, "name": self.name}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`. Raises UnknownNameError for an unknown field or plug-in, ConfigurationError for
        values of a wrong type and for parts that are missing, UserError for a plug-in whose code is not here, or not
        as it was."""
        known = [*_PLUGINS, "training", "seed", "name"]
        for name in values:
            if name not in known:
                raise UnknownNameError("field of an experiment", name, known)
        missing = [
            p for p in _PLUGINS if not isinstance(values.get(p), Mapping) or not isinstance(values[p].get("kind"), str)
        ]
        if missing:
            raise ConfigurationError(f'{part}: must be a mapping with a "kind"' for part in missing)
        parts = {part: registry.restored(kind, values[part], part) for part, kind in _PLUGINS.items()}
        if not isinstance(values.get("training", {}), Mapping):
            raise ConfigurationError([f"training = {values['training']!r}: must be a mapping"])
        training = from_plain(Training, values.get("training", {}), "training")
        experiment = cls(**parts, training=training, seed=values.get("seed", 0), name=values.get("name", ""))
        if problems := experiment._own_problems():
            raise ConfigurationError(problems)
        return experiment

    def to_json(self) -> str:
        """`to_dict` as indented text."""
        return json.dumps(self.to_dict(), indent=2)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The inverse of `to_json`. Raises ConfigurationError for text that is no JSON object."""
        try:
            values = json.loads(text)
        except json.JSONDecodeError as error:
            raise ConfigurationError([f"not JSON: {error}"]) from None
        if not isinstance(values, dict):
            raise ConfigurationError([f"expected a JSON object, found a {type(values).__name__}"])
        return cls.from_dict(values)

    def check(self) -> None:
        """Raises ConfigurationError that names every problem that can be seen without loading anything; also a part
        without which a run could not be read again."""
        problems = self._own_problems()
        problems += [f"{part}: {reason}" for part in _PLUGINS if (reason := registry.lost(getattr(self, part)))]
        wrong_types = [p for name in (*_PLUGINS, "training") for p in type_problems(getattr(self, name), name)]
        problems += wrong_types
        if not wrong_types:
            for part in (self.training, self.backbone, self.method, self.dataset):
                problems += part.problems()
            problems += self._misfits()
        if problems:
            raise ConfigurationError(problems)

    def fingerprint(self) -> str:
        """64 hexadecimal digits, equal for experiments that must give equal results."""
        text = json.dumps(self.determining(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def determining(self) -> dict[str, Any]:
        """The values that determine the result, by their dotted path."""
        values = flat(self.to_dict())
        return {k: v for k, v in values.items() if _determines(k) and not (k in _ADDED and v is None)}

    def _own_problems(self) -> list[str]:
        found = []
        if type(self.seed) is not int or self.seed < 0:
            found.append(f"seed = {self.seed!r}: must be a whole number of at least 0")
        if not isinstance(self.name, str):
            found.append(f"name = {self.name!r}: must be a text")
        return found

    def _misfits(self) -> list[str]:
        """Parts that are well-formed and do not fit together."""
        found = self.method.training_problems(self.training)
        if "train" not in self.dataset.splits:
            name = registry.name_of(self.dataset)
            found.append(f"dataset {name!r} has no split 'train', only {', '.join(self.dataset.splits)}")
        if self.training.early_stopping is not None and "validation" not in self.dataset.splits:
            name = registry.name_of(self.dataset)
            found.append(f"training.early_stopping: dataset {name!r} has no split 'validation'")
        name = registry.name_of(self.dataset)
        for split in self.method.splits_read:
            if split not in self.dataset.splits:
                found.append(f"method {registry.name_of(self.method)!r} looks at {split!r}, which {name!r} has not")
        if self.dataset.modality != self.backbone.modality:
            found.append(
                f"dataset {registry.name_of(self.dataset)!r} holds {self.dataset.modality}, backbone "
                f"{registry.name_of(self.backbone)!r} understands {self.backbone.modality}"
            )
        t = self.training
        cycles = t.cycles or self.method.members
        if t.schedule == "cyclic-cosine" and t.max_steps is not None and cycles > t.max_steps - t.warmup_steps:
            found.append(f"training.cycles = {cycles}: more than the {t.max_steps - t.warmup_steps} steps")
        return found


def _determines(path: str) -> bool:
    """Whether a value has a say in the result. Of where code comes from only its digest has."""
    if path == "name" or path.removeprefix("training.") in NO_EFFECT:
        return False
    return ".from." not in path or path.endswith(".from.sha256")

"""What was dropped on the page, as a row that the run's backbone reads, and its judgement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lora_ensemble.contracts import Example, LoadedBackbone, Split
from lora_ensemble.demo.judging import Judge, Judgement
from lora_ensemble.errors import DataError

if TYPE_CHECKING:
    from lora_ensemble.engine.ensemble import Ensemble
    from lora_ensemble.runs.run import Run


@dataclass(frozen=True)
class Asker:
    """A run in memory, that can be asked about one row after another."""

    run: Run
    backbone: LoadedBackbone
    ensemble: Ensemble
    judge: Judge

    @classmethod
    def of(cls, run: Run, risk: float = 0.05, confidence: float = 0.95, by: str = "total") -> Asker:
        """Raises RunFolderError for an unfinished run, UserError for a damaged one."""
        backbone, ensemble = run.loaded()
        return cls(run, backbone, ensemble, Judge.of(run, risk, confidence, by))

    @property
    def modality(self) -> str:
        return self.run.experiment.backbone.modality

    def __call__(self, given: Mapping[str, Any]) -> Judgement:
        """given: by the names of `FIELDS`. Raises DataError for what is missing or cannot be read."""
        from dataclasses import replace

        from lora_ensemble.devices import pick_device
        from lora_ensemble.inference import predict_split

        example, names = READ[self.modality](given, self.run.classes)
        training = self.run.experiment.training
        raw = predict_split(
            self.ensemble,
            Split([example], None, ["0"], self.run.classes, self.modality),
            self.backbone,
            classes=self.run.classes,
            batch_size=1,
            device=pick_device(training.device),
            precision=training.precision,
            seed=self.run.experiment.seed,
        )
        return self.judge(replace(raw, meta={**self.run.about(), **raw.meta}), names)


def _image(given: Mapping[str, Any], classes: Sequence[str]) -> tuple[Example, Sequence[str]]:
    from lora_ensemble.images.decoding import looked_at

    image = given.get("image")
    if image is None:
        raise DataError("drop an image first")
    if isinstance(image, np.ndarray):
        return {"image": image}, classes
    return looked_at([Path(image)], [Path(image).name], "the page", quiet=True)[0][0], classes


def _sound(given: Mapping[str, Any], classes: Sequence[str]) -> tuple[Example, Sequence[str]]:
    from lora_ensemble.audio.clips import looked_at

    if given.get("audio") is None:
        raise DataError("drop a sound first")
    path = Path(given["audio"])
    return looked_at([path], [path.name], "the page", quiet=True)[0][0], classes


def _text(given: Mapping[str, Any], classes: Sequence[str]) -> tuple[Example, Sequence[str]]:
    text, pair = str(given.get("text") or "").strip(), str(given.get("text_pair") or "").strip()
    if not text:
        raise DataError("type a text first")
    return {"text": text} | ({"text_pair": pair} if pair else {}), classes


def _question(given: Mapping[str, Any], classes: Sequence[str]) -> tuple[Example, Sequence[str]]:
    """Choices are lines; each is the class of its place."""
    question = str(given.get("question") or "").strip()
    choices = [line.strip() for line in str(given.get("choices") or "").splitlines() if line.strip()]
    if not question or len(choices) < 2:
        raise DataError("type a question, and at least two choices, a line each")
    if len(choices) > len(classes):
        raise DataError(f"{len(choices)} choices: the model was trained on at most {len(classes)}")
    names = [f"{name}: {choice}" for name, choice in zip(classes, choices, strict=False)]
    return {"question": question, "choices": choices}, names


READ = {"image": _image, "audio": _sound, "text": _text, "choices": _question}
"""By modality."""

FIELDS = {
    "image": ("image",),
    "audio": ("audio",),
    "text": ("text", "text_pair"),
    "choices": ("question", "choices"),
}
"""What the page asks for."""

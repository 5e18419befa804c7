"""The way of new rows through a trained ensemble: read, predicted, decided, part after part."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lora_ensemble.answers.deciding import Decider
from lora_ensemble.contracts import LoadedBackbone, Split

if TYPE_CHECKING:
    import pandas as pd

    from lora_ensemble.engine.ensemble import Ensemble
    from lora_ensemble.experiment import Experiment
    from lora_ensemble.sources.incoming import Options


Told = Callable[[int], object]
"""Called with the number of rows of each part that is answered."""


@dataclass(frozen=True)
class Answerer:
    """A trained ensemble, ready to answer."""

    backbone: LoadedBackbone
    ensemble: Ensemble
    experiment: Experiment
    classes: Sequence[str]
    decide: Decider
    about: Mapping[str, Any]
    """What the predictions' meta says of the ensemble; a calibration is refused for another's."""

    def answers(self, split: Split) -> pd.DataFrame:
        """Of one part. Labels, where the split has them, are a column and take part in nothing else."""
        from lora_ensemble.answers.adaptively import AskedInTurn
        from lora_ensemble.devices import pick_device
        from lora_ensemble.inference import predict_split

        training = self.experiment.training
        rule, ensemble = self.decide.adaptive, self.ensemble
        asked: Any = ensemble if rule is None else AskedInTurn(ensemble, rule)
        predictions = predict_split(
            asked,
            dataclasses.replace(split, labels=None),
            self.backbone,
            classes=self.classes,
            batch_size=training.batch_size,
            device=pick_device(training.device),
            precision=training.precision,
            workers=training.workers,
            seed=self.experiment.seed,
        )
        table = self.decide(dataclasses.replace(predictions, meta={**self.about, **predictions.meta}))
        if split.labels is not None:
            table["label"] = [split.classes[label] if label >= 0 else None for label in split.labels.tolist()]
        return table

    def stream(
        self, path: str | Path, options: Options, done: int = 0, told: Told | None = None
    ) -> Iterator[pd.DataFrame]:
        """The answers to everything in a folder, a file or the standard input, part after part.

        done: so many parts are passed over. Raises what `sources.incoming.read` raises."""
        from lora_ensemble.sources.incoming import read

        # Rows that are left out shift the others, so that parts cannot be found by their rows' numbers.
        jump = 0 if options.skip_unreadable else done
        options = dataclasses.replace(options, classes=tuple(self.classes), start=jump * options.chunk)
        for number, split in enumerate(read(path, self.experiment.backbone.modality, options), jump):
            if number >= done:
                table = self.answers(split)
                if told is not None:
                    told(len(table))
                yield table


def options_for(experiment: Experiment, **given: Any) -> Options:
    """How rows are read for a run: as its data set was told, and as is given."""
    from lora_ensemble.answers.parts import ROWS
    from lora_ensemble.sources.incoming import Options

    return Options.of(experiment.dataset, **{"chunk": ROWS, **given})

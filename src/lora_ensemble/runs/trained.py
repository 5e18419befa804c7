"""What is scored, compared and reported: a run, or many runs that stand for one, such as a cross-validation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from lora_ensemble.contracts import Dataset, Shift
from lora_ensemble.experiment import Experiment

if TYPE_CHECKING:
    from lora_ensemble.contracts import Calibration
    from lora_ensemble.predictions import Predictions


class Trained(Protocol):
    """`runs.run.Run` says what each of these is."""

    folder: Path

    @property
    def experiment(self) -> Experiment: ...

    @property
    def finished(self) -> bool: ...

    @property
    def cost(self) -> dict[str, Any]: ...

    @property
    def classes(self) -> list[str]: ...

    @property
    def calibrated(self) -> Calibration | None: ...

    def epochs(self) -> dict[int, int]: ...

    def predict(
        self,
        split: str = "test",
        dataset: Dataset | None = None,
        *,
        step: int | None = None,
        epoch: int | None = None,
        features: bool = False,
    ) -> Predictions: ...

    def predict_shifts(
        self, shifts: Iterable[Shift], split: str = "test", dataset: Dataset | None = None
    ) -> Iterator[tuple[Shift, Predictions]]: ...

    def predict_epochs(
        self, split: str = "test", dataset: Dataset | None = None, epochs: Sequence[int] | None = None
    ) -> dict[int, Predictions]: ...

"""Stopping early: the loss on the validation split after each epoch, and the weights of the best one."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import torch
from torch.utils.data import Subset

from lora_ensemble.contracts import LoadedBackbone, Split
from lora_ensemble.engine.ensemble import Ensemble
from lora_ensemble.engine.losses import IGNORE
from lora_ensemble.errors import ConfigurationError, DataError
from lora_ensemble.inference import predict_split
from lora_ensemble.predictions import Predictions
from lora_ensemble.randomness import generator
from lora_ensemble.training.options import Training
from lora_ensemble.training.resuming import Best, State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from accelerate import Accelerator

    from lora_ensemble.contracts import Example


class EarlyStopping:
    """Looks at the validation split after each epoch. The loss is the NLL of the members' mean probability, which is
    what the ensemble answers with; all members stop together, with the weights of one epoch.

    Raises DataError for a split without rows or labels.
    """

    def __init__(self, split: Split, backbone: LoadedBackbone, training: Training, seed: int, accelerator: Accelerator):
        assert training.early_stopping is not None
        if len(split) == 0 or split.labels is None:
            raise DataError("training.early_stopping: the validation split has no rows or no labels")
        self.split = _some(split, training, seed)
        self.backbone, self.training, self.seed, self.accelerator = backbone, training, seed, accelerator
        self.patience = training.early_stopping

    def look(self, ensemble: Ensemble, state: State) -> None:
        """Keep the weights where they are the best so far."""
        loss = self._agreed(self.loss(ensemble))
        if state.best is None or loss < state.best.loss:
            weights = {name: value.detach().cpu().clone() for name, value in ensemble.trainable_state().items()}
            state.best = Best(state.step, loss, weights)

    def stops(self, state: State, steps_per_epoch: int) -> bool:
        """Whether the best epoch was so many epochs ago."""
        return state.best is not None and state.step - state.best.step >= self.patience * steps_per_epoch

    def loss(self, ensemble: Ensemble) -> float:
        """NLL of the ensemble on the validation split, in nats; infinite where it is not a number."""
        predictions = predict_split(
            ensemble,
            self.split,
            self.backbone,
            classes=self.split.classes,
            batch_size=self.training.batch_size,
            device=self.accelerator.device,
            precision=self.training.precision,
            workers=self.training.workers,
            seed=self.seed,
        )
        value = mean_nll(predictions)
        return value if math.isfinite(value) else math.inf

    def _agreed(self, loss: float) -> float:
        """As the main process found it: all stop in the same epoch."""
        if self.accelerator.num_processes == 1:
            return loss
        told = torch.tensor([loss], dtype=torch.float64, device=self.accelerator.device)
        torch.distributed.broadcast(told, 0)
        return float(told.item())


def mean_nll(predictions: Predictions) -> float:
    """Mean of -log of the members' mean probability of the label, in nats; rows without a label do not count."""
    labels_B = predictions.labels_B
    if labels_B is None:
        raise DataError("training.early_stopping: the classes of the validation split are not those of training")
    counts_B = labels_B != IGNORE
    log_probs_MBC = predictions.logits_MBC[:, counts_B].double().log_softmax(-1)
    log_mean_BC = log_probs_MBC.logsumexp(0) - math.log(len(log_probs_MBC))
    return float(-log_mean_BC.gather(1, labels_B[counts_B, None].long()).mean())


def check_validation(training: Training, validation: Split | None) -> None:
    """Raises ConfigurationError where early stopping has nothing to look at."""
    if training.early_stopping is not None and validation is None:
        raise ConfigurationError(["training.early_stopping: there is no validation split to look at"])


def _some(split: Split, training: Training, seed: int) -> Split:
    """As many batches of rows as `validation_batches` allows, always the same ones for a seed."""
    most = (training.validation_batches or len(split)) * training.batch_size
    if training.validation_batches is None or most >= len(split):
        return split
    assert split.labels is not None
    rows = sorted(torch.randperm(len(split), generator=generator(seed, "validation"))[:most].tolist())
    examples = cast("Sequence[Example]", Subset(cast("torch.utils.data.Dataset[Example]", split.examples), rows))
    return replace(split, examples=examples, labels=split.labels[rows], ids=[split.ids[row] for row in rows])

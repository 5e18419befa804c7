"""transformers' Trainer around an ensemble: for who has a training script with a Trainer and wants to keep it."""

from __future__ import annotations

import contextlib
import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import (
    EvalPrediction,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
    default_data_collator,
)
from transformers.trainer_utils import PredictionOutput

from lora_ensemble.disk.folders import readable_errors
from lora_ensemble.engine.ensemble import Ensemble
from lora_ensemble.errors import ConfigurationError

_LABELS = {"label", "labels", "label_ids"}
_STATE = "model.safetensors"  # what a Trainer resumes from

Collator = Callable[[Sequence[Mapping[str, Any]]], dict[str, Any]]


class EnsembleTrainer(Trainer):
    """A Trainer whose model is an ensemble: `EnsembleTrainer(ensemble, args, train_dataset=..., eval_dataset=...)`.

    Where it differs from a Trainer: `max_grad_norm` is the norm of each member's gradient, as if it were trained alone;
    columns that the backbone does not take are dropped, as a Trainer does for its model; `predict(...).predictions` and
    what `compute_metrics` gets are logits_MNC, members first (causal language models: (M, N, T, V)); a saved model is
    an ensemble that `LoraEnsemble.from_pretrained` reads; `eval_loss` is the sum over the members.

    Raises ConfigurationError for a model that is no ensemble, and for several GPUs in one process (start one process
    per GPU: torchrun).
    """

    def __init__(
        self,
        model: Ensemble,
        args: TrainingArguments | None = None,
        data_collator: Collator | None = None,
        *,
        compute_metrics: Callable[..., dict[str, float]] | None = None,
        **options: Any,
    ):
        if not isinstance(model, Ensemble):
            raise ConfigurationError([f"EnsembleTrainer trains an ensemble, not a {type(model).__name__}"])
        args = TrainingArguments() if args is None else copy.copy(args)
        if args.n_gpu > 1:
            raise ConfigurationError(
                [f"{args.n_gpu} GPUs in one process would split the members; start one process per GPU: torchrun"]
            )
        self.ensemble, self.member_norm = model, args.max_grad_norm
        if args.remove_unused_columns:
            data_collator = _Columns(_accepted(model), data_collator or _default_collator(options))
        args.remove_unused_columns = False  # a Trainer would ask the ensemble, which takes what its backbone takes
        args.max_grad_norm = 0.0
        model.evaluated_by_members = True
        model._keys_to_ignore_on_save = None  # type: ignore[assignment]  # read where a checkpoint lacks frozen weights
        super().__init__(
            model,
            args,
            data_collator,
            compute_metrics=None if compute_metrics is None else _members_first(compute_metrics),
            **options,
        )
        self.model_accepts_loss_kwargs = False  # a batch's loss is a mean of its own
        self.add_callback(_ClipMembers(self))

    def prediction_step(
        self,
        model: nn.Module,
        inputs: dict[str, Tensor | Any],
        prediction_loss_only: bool,
        ignore_keys: list[str] | None = None,
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Loss, logits and labels of a batch; the batch is the first axis of the logits, because a Trainer puts batches
        and processes one after another along it."""
        with torch.no_grad(), self.compute_loss_context_manager():
            prepared = {name: _moved(value, self.args.device) for name, value in inputs.items()}
            labels = prepared.get("labels")
            output = model(**prepared)
        loss = None if output.loss is None else output.loss.detach().mean()
        logits = None if prediction_loss_only else output.logits.detach().float().movedim(0, -2).contiguous()
        return loss, logits, labels

    def predict(
        self, test_dataset: Any, ignore_keys: list[str] | None = None, metric_key_prefix: str = "test"
    ) -> PredictionOutput:
        """`predictions`: logits of all members, (M, N, C), float32."""
        found = super().predict(test_dataset, ignore_keys, metric_key_prefix)
        return found._replace(predictions=_to_members_first(found.predictions))

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """A manifest and a folder per member; in the checkpoints of a training also what it resumes from."""
        folder = Path(output_dir or str(self.args.output_dir))
        if not self.args.should_save:
            return
        with readable_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        self.ensemble.save_pretrained(folder)
        if _internal_call:
            state = {name: value.detach().cpu().clone() for name, value in self.ensemble.trainable_state().items()}
            with readable_errors(folder):
                save_file(state, folder / _STATE, metadata={"format": "pt"})


class _ClipMembers(TrainerCallback):
    """Clips each member's gradient before the optimiser moves."""

    def __init__(self, trainer: EnsembleTrainer):
        self.trainer = trainer

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if self.trainer.member_norm:
            with contextlib.suppress(RuntimeError):  # unscaled already
                self.trainer.accelerator.unscale_gradients()
            self.trainer.ensemble.clip_grad_norm_(self.trainer.member_norm)


class _Columns:
    """A collator of rows without the columns that a model does not take."""

    def __init__(self, accepted: set[str] | None, collate: Collator):
        self.accepted, self.collate = accepted, collate

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        if self.accepted is not None and rows and isinstance(rows[0], Mapping):
            rows = [{name: value for name, value in row.items() if name in self.accepted} for row in rows]
        return self.collate(rows)


def _accepted(ensemble: Ensemble) -> set[str] | None:
    """Names of the inputs of an ensemble's backbone; None where it takes any, or is not known."""
    model: Any = getattr(ensemble, "model", None)
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    if not isinstance(base, nn.Module):
        return None
    parameters = inspect.signature(base.forward).parameters
    return {*parameters, *_LABELS}


def _default_collator(options: Mapping[str, Any]) -> Collator:
    """As a Trainer chooses it: with padding where there is a tokenizer."""
    from transformers import DataCollatorWithPadding, PreTrainedTokenizerBase

    tokenizer = options.get("processing_class")
    if isinstance(tokenizer, PreTrainedTokenizerBase):
        return cast(Collator, DataCollatorWithPadding(tokenizer))
    return cast(Collator, default_data_collator)


def _members_first(compute_metrics: Callable[..., dict[str, float]]) -> Callable[..., dict[str, float]]:
    def computed(prediction: EvalPrediction, **options: Any) -> dict[str, float]:
        prediction.predictions = _to_members_first(prediction.predictions)
        return compute_metrics(prediction, **options)

    return computed


def _to_members_first(logits: Any) -> Any:
    """(N, M, C) or (N, T, M, V), as batches were put together, to (M, N, C) or (M, N, T, V)."""
    if isinstance(logits, np.ndarray):
        return np.moveaxis(logits, -2, 0)
    return logits.movedim(-2, 0) if isinstance(logits, Tensor) else logits


def _moved(value: Any, device: torch.device) -> Any:
    return value.to(device) if isinstance(value, Tensor) else value

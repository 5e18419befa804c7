"""Ensemble: what every method yields. M members, one forward pass, logits (M, B, C); and what a trainer needs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm
from torch.utils.checkpoint import checkpoint
from transformers.utils.generic import ModelOutput

from lora_ensemble.engine.attention import training_attention
from lora_ensemble.engine.folding import batch_size, chunk
from lora_ensemble.engine.hooks import TrainingHooks
from lora_ensemble.engine.inputs import as_labels, named
from lora_ensemble.engine.losses import LOSSES, check_labels
from lora_ensemble.engine.prediction import logits_of_batches
from lora_ensemble.engine.tasks import ROWS, aligned, find_task
from lora_ensemble.engine.wrapping import unwrapped
from lora_ensemble.errors import ConfigurationError, DataError, FileFormatError

if TYPE_CHECKING:
    from lora_ensemble.predictions import Predictions


@dataclass
class EnsembleOutput(ModelOutput):
    """logits: (M, B, C), causal language models (M, B, T, V). loss: the sum of member_losses, (M,), plus penalties."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    member_losses: Tensor | None = None


Objective = Callable[[Tensor, Tensor], Tensor]


class Ensemble(TrainingHooks, nn.Module):
    """M members over the same inputs. Subclasses say how a range of members is run (`member_logits`), and how they are
    saved; everything else (loss, passes, clipping per member, prediction) is here.

    members: M. first_member: index of the first one within a larger ensemble (8 + 8 members equal 16).
    members_per_pass: at most so many members are in memory at once; changes no number.
    """

    kind: ClassVar[str]
    """Which class loads it again; written into the manifest."""

    method: str
    """Name of the method, as in `lora-ensemble list methods`."""

    class_weights: Tensor | None
    """Weights of the classes in the loss, (C,)."""

    accepts_loss_kwargs: ClassVar[bool] = False
    """What transformers' Trainer asks: each batch's loss is a mean of its own."""

    evaluated_by_members: bool = False
    """Set by a Trainer that knows that the first axis of the logits is the members."""

    loss_name: str
    """Which of `losses.LOSSES` is trained."""

    objective: Objective | None
    """A loss of one's own in place of it: logits (M, B, ...) and labels, as given, to losses (M,)."""

    def __init__(self, members: int, first_member: int = 0, members_per_pass: int | None = None):
        super().__init__()
        if members < 1:
            raise ConfigurationError([f"members = {members}: must be at least 1"])
        if members_per_pass is not None and members_per_pass < 1:
            raise ConfigurationError([f"members_per_pass = {members_per_pass}: must be at least 1"])
        self.members = members
        self.first_member = first_member
        self.members_per_pass = members_per_pass
        self.source: dict[str, Any] = {}
        self.loss_name = "cross-entropy"
        self.objective: Objective | None = None
        self.register_buffer("class_weights", None, persistent=False)

    # What a method says -------------------------------------------------------------------------------------------

    @abstractmethod
    def member_logits(self, members: range, inputs: dict[str, Any], shared: bool) -> Tensor:
        """Logits of a range of members, (len(members), B, C). shared: all of them see the same B rows of `inputs`;
        otherwise inputs have len(members) * B rows, member-major."""

    @abstractmethod
    def save_pretrained(self, folder: str | Path) -> None:
        """Write a manifest and one folder per member."""

    def called_model(self) -> nn.Module:
        """A model of the kind that runs the inputs; only its class and configuration are looked at."""
        return self

    def plain_model(self) -> nn.Module:
        """The same without what only calls it in a way of its own."""
        return unwrapped(self.called_model())

    @property
    def task(self) -> str | None:
        """PEFT's name of what the labels are (see `tasks`); None where the model does not say."""
        return find_task(self.plain_model())

    def member_gradients(self) -> Iterable[tuple[range, list[Tensor]]]:
        """Gradients grouped by member: (members, tensors whose first axis is those members). A method whose parameters
        belong to one member each yields ranges of length one with tensors of a first axis of length one. What members
        share besides has the range after the last one."""
        grads = [p.grad[None] for p in self.parameters() if p.requires_grad and p.grad is not None]
        yield range(1), grads

    def fingerprint(self) -> dict[str, Any] | None:
        """What tells the weights that are not saved with the ensemble; None: all are saved, or they cannot be told."""
        return None

    def penalty_M(self, members: range) -> Tensor | None:
        """A regularisation term added to each member's loss, (len(members),), or None."""
        return None

    def trained_members(self) -> range:
        """Members that a training step runs; MC dropout and snapshots train one network."""
        return range(self.members)

    @property
    def main_input_name(self) -> str:
        """transformers' Trainer asks for it in every batch that it evaluates. Raises ConfigurationError for a Trainer
        that would put batches one after another along the members."""
        if self.training or self.evaluated_by_members:
            return "input_ids"
        raise ConfigurationError(
            [
                "a Trainer would put the batches of an ensemble one after another along its members; evaluate and "
                "predict with lora_ensemble.interop.trainer.EnsembleTrainer"
            ]
        )

    # What all share -----------------------------------------------------------------------------------------------

    def forward(
        self,
        *given: Any,
        labels: Tensor | None = None,
        members: range | None = None,
        shared: bool = True,
        **inputs: Any,
    ) -> EnsembleOutput:
        """Run the members on B rows that all of them share.

        inputs: the backbone's own arguments, B rows each, as tensors or numpy arrays; its first one needs no name.
        labels: (B,) class indices, or (B, T) of tokens (for causal language models token ids, which are shifted here)
        with -100 where ignored; with them the output has `loss` and `member_losses`. members: only this range (a pass).
        shared=False: inputs and labels have M*B rows, member-major: every member has a batch of its own. Raises
        DataError for labels out of range, for rows that do not divide by the members, for names that there are not.
        """
        if members is None:
            members = self.trained_members() if self.training else range(self.members)
        if not torch.compiler.is_compiling():
            inputs = named(self.called_model(), given, inputs)
        if not shared and batch_size(inputs) % len(members):
            raise DataError(f"{batch_size(inputs)} rows, expected M*B with M = {len(members)} members (shared=False)")
        logits = self._logits(members, inputs, shared)
        if labels is None:
            return EnsembleOutput(logits=logits)
        labels = as_labels(labels, logits.device)
        rows = logits.shape[1] * (1 if shared else len(members))
        if labels.shape[0] != rows:
            raise DataError(f"there are {labels.shape[0]} labels for {rows} rows")
        if not shared:
            labels = labels.unflatten(0, (len(members), -1))
        losses = self._losses(logits, labels)
        penalties = (self.penalty_M(members), self.repulsion_M(logits, members))
        total = sum((p.sum() for p in penalties if p is not None), start=losses.sum())
        return EnsembleOutput(loss=total, logits=logits, member_losses=losses)

    def _losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Mean loss of each member, (len(members),)."""
        if self.objective is not None:
            return self.objective(logits, labels)
        if labels.device.type == "cpu" and not torch.compiler.is_compiling():
            check_labels(labels, logits.shape[-1])
        if logits.ndim > 3 and self.class_weights is not None:
            raise ConfigurationError(["class weights are for labels that are classes; here, they are tokens"])
        task = ROWS if logits.ndim == 3 else self.task
        return LOSSES[self.loss_name](*aligned(logits, labels, task), self.class_weights)

    def _logits(self, members: range, inputs: dict[str, Any], shared: bool) -> Tensor:
        """Logits (len(members), B, C), in as many passes as needed."""
        passes = self.passes(members)
        if len(passes) == 1:
            return self._run(members, inputs, shared)
        logits = []
        for some in passes:
            local = range(some.start - members.start, some.stop - members.start)
            rows = inputs if shared else chunk(inputs, local, len(members))
            if torch.is_grad_enabled():
                # Several passes under one graph: keep none of their activations, recompute them in the backward pass.
                logits.append(checkpoint(self._run, some, rows, shared, True, use_reentrant=False))
            else:
                logits.append(self._run(some, rows, shared))
        return torch.cat(logits)

    def _run(self, members: range, inputs: dict[str, Any], shared: bool, checkpointed: bool = False) -> Tensor:
        """`member_logits`, with attention that is fast in training."""
        with training_attention(checkpointed) if self.training else nullcontext():
            return self.member_logits(members, inputs, shared)

    def passes(self, members: range | None = None) -> list[range]:
        """The members in ranges of at most `members_per_pass`. A training loop that calls forward and backward for each
        holds the activations of one pass at a time and accumulates the same gradients."""
        members = self.trained_members() if members is None else members
        size = self.members_per_pass or len(members)
        return [members[i : i + size] for i in range(0, len(members), size)]

    def clip_grad_norm_(self, max_norm: float, joint: bool = False) -> Tensor:
        """Scale gradients in place to a norm of at most `max_norm`: of each member (as if it were trained alone) and of
        what they share besides, or of all together. Returns the norms of the members before clipping, (M,), or (1,)
        where they share one network. An infinite `max_norm` only measures."""
        groups = [(members, grads) for members, grads in self.member_gradients() if grads]
        if not groups:
            return torch.zeros(1)
        squares_M = torch.zeros(max(m.stop for m, _ in groups), device=groups[0][1][0].device)
        for members, grads in groups:
            squares_M[members.start : members.stop] += _squares(grads, len(members))
        norms_M = squares_M.sqrt()
        if max_norm != float("inf"):
            reference = norms_M.norm().expand_as(norms_M) if joint else norms_M
            scale_M = (max_norm / (reference + 1e-6)).clamp(max=1.0)
            for members, grads in groups:
                _scale(grads, scale_M[members.start : members.stop])
        return norms_M[: self.members]

    @torch.no_grad()
    def predict(
        self,
        data: Any = None,
        *,
        labels: Tensor | None = None,
        ids: list[str] | None = None,
        batch_size: int = 32,
        **inputs: Any,
    ) -> Predictions:
        """Predictions of all members, in evaluation mode, without gradients: of B rows at once, given as to a call; or,
        batch after batch, of `data`, a loader, a data set (read in batches of `batch_size`) or an iterable of batches
        (see `prediction.batches`), whose labels are kept."""
        from lora_ensemble.predictions import Predictions

        with evaluating(self):
            if data is None or isinstance(data, Tensor | np.ndarray):
                given = () if data is None else (data,)
                logits, found = self(*given, **inputs).logits.float().cpu(), labels
            elif inputs or labels is not None:
                raise DataError("give either data in batches, or inputs and labels by name")
            else:
                logits, found = logits_of_batches(self, data, batch_size)
        return Predictions(logits, None if found is None else as_labels(found, logits.device).cpu(), ids=ids)

    def print_trainable_parameters(self) -> None:
        """What training changes, beside all parameters: one line, as PEFT prints it."""
        every = list(self.parameters())
        trained, total = sum(p.numel() for p in every if p.requires_grad), sum(p.numel() for p in every)
        share = f"trainable%: {100 * trained / total:.4f}"
        print(f"trainable params: {trained:,} || all params: {total:,} || {share} || members: {self.members}")

    def trainable_state(self) -> dict[str, Tensor]:
        """What training changes: trainable parameters and persistent buffers, by name. The frozen weights of a backbone
        are not in it."""
        kept = {name for name, p in self.named_parameters(remove_duplicate=False) if p.requires_grad}
        kept |= {name for name, _ in self.named_buffers(remove_duplicate=False)}
        return {k: v for k, v in self.state_dict().items() if k in kept}

    def load_trainable_state(self, state: Mapping[str, Tensor]) -> None:
        """The inverse of `trainable_state`, strict. Raises FileFormatError when the names or shapes differ."""
        own = self.trainable_state()
        missing, foreign = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
        if missing or foreign:
            raise FileFormatError(
                f"the weights do not fit this ensemble: {len(missing)} missing (first: {missing[:1]}), "
                f"{len(foreign)} unknown (first: {foreign[:1]})"
            )
        for name, value in state.items():
            if own[name].shape != value.shape:
                raise FileFormatError(f"{name} has shape {tuple(value.shape)}, expected {tuple(own[name].shape)}")
        with torch.no_grad():
            for name, value in state.items():
                own[name].copy_(value)

    @classmethod
    @abstractmethod
    def load(cls, model: nn.Module, folder: Path, manifest: dict[str, Any]) -> Self:
        """What `save_pretrained` wrote, into the plain model; see from_pretrained."""

    def gradient_checkpointing_enable(self, gradient_checkpointing_kwargs: dict[str, Any] | None = None) -> None:
        """Recompute the activations of each block in the backward pass."""
        from lora_ensemble.engine.checkpointing import checkpoint_blocks

        checkpoint_blocks(self)

    def push_to_hub(self, repo: str, *, private: bool = False, token: str | None = None) -> str:
        """Publish what `save_pretrained` writes as user/name; returns the address. `lora-ensemble push` adds a card."""
        from lora_ensemble.engine.saving import push_saved

        return push_saved(self, repo, private, token)

    @classmethod
    def from_pretrained(cls, folder: str | Path, model: nn.Module | None = None, **kwargs: Any) -> Self:
        """The ensemble saved in a folder or hub repository; `model`: the backbone, loaded from the manifest if None."""
        from lora_ensemble.saved import load_ensemble

        ensemble = load_ensemble(folder, model, **kwargs)
        if not isinstance(ensemble, cls):
            raise FileFormatError(f"{folder} holds a {type(ensemble).__name__}, not a {cls.__name__}")
        return ensemble


def _squares(grads: list[Tensor], members: int) -> Tensor:
    """Squared norm of each member over all tensors, (members,)."""
    if members == 1:  # many tensors of one network: their norms in few operators
        return get_total_norm(grads).float().square().view(1)
    return torch.stack([torch.linalg.vector_norm(g.flatten(1).float(), dim=1) for g in grads]).square().sum(0)


def _scale(grads: list[Tensor], scale_M: Tensor) -> None:
    if len(scale_M) == 1:
        torch._foreach_mul_(grads, scale_M[0])
        return
    for g in grads:
        g.mul_(scale_M.view(-1, *[1] * (g.ndim - 1)).to(g.dtype))


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode inside the block; each submodule's own mode is restored afterwards."""
    modes = [(m, m.training) for m in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for m, mode in modes:
            m.training = mode

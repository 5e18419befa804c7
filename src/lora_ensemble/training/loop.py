"""The training loop: M members at once, each as if it were trained alone. It never asks which method it trains."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lora_ensemble.contracts import Batch
from lora_ensemble.engine.ensemble import Ensemble
from lora_ensemble.engine.losses import finite
from lora_ensemble.errors import DivergedError, StoppedError
from lora_ensemble.training.data import TrainingBatches
from lora_ensemble.training.divergence import DivergenceWatch
from lora_ensemble.training.early_stopping import EarlyStopping
from lora_ensemble.training.log import TrainingLog
from lora_ensemble.training.optimisation import Plan, build_optimizer
from lora_ensemble.training.resuming import State, resume, save
from lora_ensemble.training.stopping import ASKED

if TYPE_CHECKING:
    from accelerate import Accelerator


class TrainingLoop:
    """Its contract is solo equivalence: the loss is the sum of the members' losses, each member's gradient is clipped
    by itself (unless `clip` is "joint"), and the optimiser acts on each number by itself.

    A step runs forward and backward for each of the ensemble's passes, so that the activations of one pass at a time
    are in memory. Under several processes the gradients are averaged once, in the last pass of the last batch.
    folder: of the checkpoints; the loop goes on from the newest whole one.
    """

    def __init__(
        self,
        ensemble: Ensemble,
        data: TrainingBatches,
        plan: Plan,
        record: TrainingLog,
        accelerator: Accelerator,
        folder: Path,
        stopping: EarlyStopping | None = None,
    ):
        self.ensemble, self.data, self.plan, self.record = ensemble.to(accelerator.device), data, plan, record
        self.accelerator, self.folder, self.stopping = accelerator, folder, stopping
        optimizer = build_optimizer([p for p in ensemble.parameters() if p.requires_grad], plan.training)
        self.model, self.optimizer = accelerator.prepare(ensemble, optimizer)
        self.watch = DivergenceWatch(data.members, plan.total_steps, folder)
        self.state = State()
        self.began = self.saved = time.monotonic()

    def run(self) -> State:
        """Train to the end. Raises DivergedError when a loss, a gradient or a parameter is no longer finite, and
        StoppedError after a SIGTERM (`training.stopping`)."""
        self.state = state = resume(self.folder, self.ensemble, self.optimizer, self.accelerator)
        self.saved = time.monotonic()
        self.began = self.saved - state.seconds
        self.record.start(state.step)
        self.ensemble.train()
        while not self.done:
            for batches in self.data.rest_of_epoch(state.step):
                self.learn(batches)
                self.conclude_step()
                if self.done:
                    break
        self.require_finite()
        state.seconds = max(state.seconds, time.monotonic() - self.began)
        if state.best is not None:
            self.ensemble.load_trainable_state(state.best.weights)
        return state

    @property
    def done(self) -> bool:
        """Whether all steps are, or the validation loss has not fallen for long enough."""
        if self.stopping is not None and self.stopping.stops(self.state, self.plan.steps_per_epoch):
            return True
        return self.state.step >= self.plan.total_steps

    # A step -------------------------------------------------------------------------------------------------------

    def learn(self, batches: list[dict[str, Any]]) -> None:
        """One update of all members: the mean over the batches of the sum over the members of their losses."""
        state = self.state
        for number, raw in enumerate(batches):
            batch = self.data.prepared(raw, self.accelerator.device, state.step, number)
            losses_M = self.backward(batch, len(batches), last=number == len(batches) - 1)
            self.watch.see(state.step + 1, losses_M)
            self.record.add(losses_M)
        self.clip()
        state.learning_rate = self.plan.training.learning_rate * self.plan.factor(state.updates)
        for group in self.optimizer.param_groups:
            group["lr"] = state.learning_rate
        self.optimizer.step()
        self.optimizer.zero_grad()
        state.step += 1
        state.updates += not self.accelerator.optimizer_step_was_skipped  # by a scaler of gradients

    def backward(self, batch: Batch, batches: int, last: bool) -> Tensor:
        """The losses of the trained members, and their gradients. Only the last pass of a step is one in which
        processes average them."""
        losses, passes = [], self.ensemble.passes()
        for members in passes:
            shared = last and members is passes[-1]
            with contextlib.nullcontext() if shared else self.accelerator.no_sync(self.model):
                output = self.model(members=members, shared=self.data.shared, **self.data.rows_of(batch, members))
                self.accelerator.backward(output.loss / batches)
            losses.append(output.member_losses.detach())
        return torch.cat(losses).float()

    def clip(self) -> None:
        """Scale the gradient of each member, as if it were alone, or that of all of them together."""
        training = self.plan.training
        if not training.gradient_clip:
            return
        self.accelerator.unscale_gradients()
        norms_M = self.ensemble.clip_grad_norm_(training.gradient_clip, joint=training.clip == "joint")
        self.record.gradient_norm = norms_M.norm()
        if self.accelerator.scaler is None:  # a scaler skips steps with infinite gradients, and lowers its scale
            self.watch.see(self.state.step + 1, norms_M)

    # After a step -------------------------------------------------------------------------------------------------

    def conclude_step(self) -> None:
        """Tell what is due, end a cycle of the learning rate, write a checkpoint."""
        state, plan = self.state, self.plan
        state.seconds = time.monotonic() - self.began
        if self.record.due(state.step) or state.step in plan.cycle_ends:
            self.watch.check()
        self.record.step(state.step, state.learning_rate, state.seconds)
        self.ensemble.on_step_end(state.step, plan.total_steps)
        if state.step in plan.cycle_ends:
            self.ensemble.on_cycle_end(plan.cycle_ends.index(state.step))
        if self.stopping is not None and (self.done or state.step % plan.steps_per_epoch == 0):
            self.stopping.look(self.ensemble, state)
            state.seconds = time.monotonic() - self.began  # looking is part of the cost
        if plan.keeps(state.step) or (not self.done and self.overdue()):
            self.require_finite()
            save(self.folder, state, self.ensemble, self.optimizer, self.accelerator, plan)
            self.saved = time.monotonic()
        if ASKED.is_set() and not self.done:
            raise StoppedError(f"stopped after step {state.step} of {plan.total_steps}, which is saved")

    def overdue(self) -> bool:
        """Whether a checkpoint to resume from is due; all processes must agree."""
        due = ASKED.is_set() or time.monotonic() - self.saved >= self.plan.training.checkpoint_seconds
        if self.accelerator.num_processes == 1:
            return due
        if self.state.step % 16:
            return False
        flag = torch.tensor([due], dtype=torch.int, device=self.accelerator.device)
        torch.distributed.broadcast(flag, 0)
        return bool(flag.item())

    def require_finite(self) -> None:
        """Raises DivergedError when a loss, a gradient or a trained parameter is NaN or infinite."""
        self.watch.check()
        for name, values in self.ensemble.trainable_state().items():
            if values.is_floating_point() and not finite(values):
                raise DivergedError(f"{name} is NaN or infinite after step {self.state.step}")

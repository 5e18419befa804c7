"""EnsembleTrainer: transformers' Trainer around any Ensemble. It never asks which method it trains."""

from __future__ import annotations

import contextlib
import shutil
import time
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from lora_ensemble.disk.folders import PARTIAL, publish, readable_errors
from lora_ensemble.engine.ensemble import Ensemble
from lora_ensemble.engine.losses import finite
from lora_ensemble.engine.saving import read_tensors
from lora_ensemble.errors import DivergedError
from lora_ensemble.training.attention import QuickBackward
from lora_ensemble.training.checkpoints import WEIGHTS, checkpoints, describe, folder_name, rotate
from lora_ensemble.training.data import TrainingBatches
from lora_ensemble.training.divergence import DivergenceWatch
from lora_ensemble.training.log import TrainingLog
from lora_ensemble.training.optimisation import Plan, build_optimizer


class EnsembleTrainer(Trainer):
    """Its contract is solo equivalence: the loss is the sum of the members' losses, each member's gradient is clipped
    by itself (unless `clip` is "joint"), and the optimiser acts on each number by itself.

    A step runs forward and backward for each of the ensemble's passes, so that the activations of one pass at a time
    are in memory. Under several processes the gradients are averaged once, in the last pass of the last batch.
    """

    def __init__(
        self, ensemble: Ensemble, data: TrainingBatches, plan: Plan, record: TrainingLog, args: TrainingArguments
    ):
        self.ensemble, self.data, self.plan, self.record = ensemble, data, plan, record
        self.watch = DivergenceWatch(data.members, plan.total_steps)
        self.micro_batch = 0
        on_cpu = args.bf16 and args.device.type == "cpu"
        self.attention = QuickBackward() if on_cpu else contextlib.nullcontext()
        self.seconds_before = 0.0
        self.started = time.monotonic()
        args._n_gpu = min(args._n_gpu, 1)  # never torch.nn.DataParallel
        super().__init__(model=ensemble, args=args, train_dataset=data.loader.dataset, callbacks=[_Rhythm(self)])
        self.remove_callback(PrinterCallback)

    @property
    def seconds(self) -> float:
        """Training time, that of interrupted calls up to their last checkpoint included."""
        return self.seconds_before + time.monotonic() - self.started

    # A step -------------------------------------------------------------------------------------------------------

    def training_step(self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Tensor:
        if not model.training:
            model.train()
        batch = self.data.prepared(inputs, self.args.device, self.state.global_step, self.micro_batch)
        self.micro_batch += 1
        total, losses = torch.zeros((), device=self.args.device), []
        passes = self.ensemble.passes()
        for members in passes:
            last = members is passes[-1]
            with contextlib.nullcontext() if last else self.accelerator.no_sync(model=model):
                with self.compute_loss_context_manager(), self.attention:
                    output = model(members=members, shared=self.data.shared, **self.data.rows_of(batch, members))
                loss = output.loss / self.current_gradient_accumulation_steps
                self.accelerator.backward(loss)
            total += loss.detach()
            losses.append(output.member_losses.detach())
        losses_M = torch.cat(losses).float()
        self.watch.see(self.state.global_step + 1, losses_M)
        self.record.add(losses_M)
        return total

    def clip_gradients(self) -> None:
        """Each member's by itself, or all of them together."""
        training = self.plan.training
        if not training.gradient_clip:
            return
        self.accelerator.unscale_gradients()
        norms_M = self.ensemble.clip_grad_norm_(training.gradient_clip, joint=training.clip == "joint")
        self.record.gradient_norm = norms_M.norm()
        if self.accelerator.scaler is None:  # a scaler skips steps with infinite gradients, and lowers its scale
            self.watch.see(self.state.global_step + 1, norms_M)

    def _get_grad_norm(self, model: nn.Module, grad_norm: Tensor | None = None) -> None:
        return None  # it would be computed only to be logged

    def create_optimizer(self, model: nn.Module | None = None) -> Optimizer:
        if self.optimizer is None:
            trained = [p for p in (model or self.ensemble).parameters() if p.requires_grad]
            self.optimizer = build_optimizer(trained, self.plan.training)
        return self.optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Optimizer | None = None) -> LambdaLR:
        if self.lr_scheduler is None:
            self.lr_scheduler = LambdaLR(optimizer or self.create_optimizer(), lambda step: self.plan.factor(step))
            self._created_lr_scheduler = True
        return self.lr_scheduler

    def get_train_dataloader(self) -> DataLoader:
        return self.data.loader

    def _get_num_items_in_batch(self, batch_samples: list, device: torch.device) -> None:
        return None  # each batch is a mean of its own

    # Checkpoints --------------------------------------------------------------------------------------------------

    def _get_output_dir(self, trial: Any) -> str:
        # Where the Trainer writes a checkpoint; it gets its place when it is complete.
        return str(self._place / PARTIAL)

    @property
    def _place(self) -> Path:
        assert self.args.output_dir is not None
        return Path(self.args.output_dir)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        self.require_finite()
        step = self.state.global_step
        partial, final = self._place / PARTIAL / folder_name(step), self._place / folder_name(step)
        try:
            with readable_errors(final):
                super()._save_checkpoint(model, trial)
                self.accelerator.wait_for_everyone()
                if self.args.should_save:
                    describe(partial, step, self.plan.keeps(step), self.seconds)
                    publish(partial, final)
                    rotate(self._place, self.plan.training.keep_checkpoints)
        finally:
            if self.args.should_save:
                shutil.rmtree(partial.parent, ignore_errors=True)
        self.accelerator.wait_for_everyone()

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        assert output_dir is not None
        if self.args.should_save:
            Path(output_dir).mkdir(parents=True, exist_ok=True)
            # Clones, because safetensors refuses tied weights.
            state = {k: v.detach().cpu().clone() for k, v in self.ensemble.trainable_state().items()}
            save_file(state, Path(output_dir) / WEIGHTS)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        folder = Path(resume_from_checkpoint)
        self.ensemble.load_trainable_state(read_tensors(folder / WEIGHTS))
        self.seconds_before = next(c.seconds for c in checkpoints(folder.parent) if c.folder == folder)

    def require_finite(self) -> None:
        """Raises DivergedError when a loss, a gradient or a trained parameter is NaN or infinite."""
        self.watch.check()
        for name, values in self.ensemble.trainable_state().items():
            if values.is_floating_point() and not finite(values):
                raise DivergedError(f"{name} is NaN or infinite after step {self.state.global_step}")


class _Rhythm(TrainerCallback):
    """What happens at which step."""

    def __init__(self, trainer: EnsembleTrainer):
        self.trainer = trainer
        self.saved = 0.0

    def on_train_begin(self, args, state, control, **kwargs):
        self.saved = self.trainer.started = time.monotonic()
        self.trainer.record.start(state.global_step)

    def on_epoch_begin(self, args, state, control, **kwargs):
        self.trainer.data.sampler.epoch = state.global_step // self.trainer.plan.steps_per_epoch

    def on_step_begin(self, args, state, control, **kwargs):
        self.trainer.micro_batch = 0

    def on_pre_optimizer_step(self, args, state, control, **kwargs):
        self.trainer.clip_gradients()

    def on_step_end(self, args, state, control, **kwargs):
        trainer, plan, step = self.trainer, self.trainer.plan, state.global_step
        if trainer.record.due(step) or step in plan.cycle_ends:
            trainer.watch.check()
        trainer.record.step(step, plan.training.learning_rate * plan.factor(step - 1), trainer.seconds)
        if step in plan.cycle_ends:
            trainer.ensemble.on_cycle_end(plan.cycle_ends.index(step))
        if plan.keeps(step) or (step < plan.total_steps and self._overdue(step)):
            control.should_save = True

    def on_save(self, args, state, control, **kwargs):
        self.saved = time.monotonic()

    def on_train_end(self, args, state, control, **kwargs):
        self.trainer.require_finite()

    def _overdue(self, step: int) -> bool:
        """Whether a checkpoint to resume from is due; all processes must agree."""
        due = time.monotonic() - self.saved >= self.trainer.plan.training.checkpoint_seconds
        if self.trainer.args.world_size == 1:
            return due
        if step % 16:
            return False
        flag = torch.tensor([due], dtype=torch.int, device=self.trainer.args.device)
        torch.distributed.broadcast(flag, 0)
        return bool(flag.item())

"""EnsembleTrainer: transformers' Trainer around any Ensemble. It never asks which method it trains."""

from __future__ import annotations

import contextlib
import json
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

from lora_ensemble.checkpoints import WEIGHTS, is_kept, rotate
from lora_ensemble.ensemble import Ensemble
from lora_ensemble.errors import DivergedError
from lora_ensemble.folders import PARTIAL, publish, readable_errors
from lora_ensemble.losses import finite
from lora_ensemble.optimisation import Plan, build_optimizer
from lora_ensemble.saving import read_tensors
from lora_ensemble.training_data import TrainingBatches
from lora_ensemble.training_log import TrainingLog

SECONDS = "seconds.json"


class EnsembleTrainer(Trainer):
    """Its contract is solo equivalence: the loss is the sum of the members' losses, each member's gradient is clipped by
    itself (unless `clip` is "joint"), and the optimiser acts on each number by itself.

    A step runs forward and backward for each of the ensemble's passes, so that one pass's activations are in memory at a
    time. Under several processes the gradients are averaged once, in the last pass of the last batch.
    """

    def __init__(
        self, ensemble: Ensemble, data: TrainingBatches, plan: Plan, log: TrainingLog, args: TrainingArguments
    ):
        self.ensemble, self.data, self.plan, self.log_ = ensemble, data, plan, log
        self.training = plan.training
        self.micro_batch = 0
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
                rows = self.data.rows_of(batch, members)
                with self.compute_loss_context_manager():
                    output = model(members=members, shared=self.data.shared, **rows)
                loss = output.loss / self.current_gradient_accumulation_steps
                self.accelerator.backward(loss)
            total += loss.detach()
            losses.append(output.member_losses.detach())
        self.log_.add(self.state.global_step + 1, torch.cat(losses).float())
        return total

    def _clip_grad_norm(self, model: nn.Module) -> Tensor:
        self.accelerator.unscale_gradients()
        norms_M = self.ensemble.clip_grad_norm_(self.args.max_grad_norm, joint=self.training.clip == "joint")
        if self.accelerator.scaler is None:  # with one, infinite gradients are skipped and the scale is lowered
            self.log_.watch(self.state.global_step + 1, norms_M)
        return norms_M.norm()

    def _get_grad_norm(self, model: nn.Module, grad_norm: Tensor | None = None) -> Tensor | None:
        self.log_.gradient_norm = grad_norm
        return grad_norm

    def create_optimizer(self, model: nn.Module | None = None) -> Optimizer:
        if self.optimizer is None:
            trained = [p for p in (model or self.model).parameters() if p.requires_grad]
            self.optimizer = build_optimizer(trained, self.training)
        return self.optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Optimizer | None = None) -> LambdaLR:
        if self.lr_scheduler is None:
            self.lr_scheduler = LambdaLR(optimizer or self.optimizer, lambda step: self.plan.factor(step))
            self._created_lr_scheduler = True
        return self.lr_scheduler

    def get_train_dataloader(self) -> DataLoader:
        return self.data.loader

    def _get_num_items_in_batch(self, batch_samples: list, device: torch.device) -> None:
        return None  # each batch is a mean of its own

    # Checkpoints --------------------------------------------------------------------------------------------------

    def _get_output_dir(self, trial: Any) -> str:
        # Where a checkpoint is written; it gets its place when it is complete.
        return str(Path(self.args.output_dir) / PARTIAL)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        self.require_finite()
        partial = Path(self._get_output_dir(trial))
        name = f"checkpoint-{self.state.global_step}"
        final = Path(self.args.output_dir) / name
        try:
            with readable_errors(final):
                super()._save_checkpoint(model, trial)
                self.accelerator.wait_for_everyone()
                if self.args.should_save:
                    (partial / name / SECONDS).write_text(json.dumps(self.seconds))
                    publish(partial / name, final)
                    rotate(final.parent, self.training, self.plan.steps_per_epoch)
        finally:
            if self.args.should_save:
                shutil.rmtree(partial, ignore_errors=True)
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
        self.seconds_before = json.loads((folder / SECONDS).read_text())

    def require_finite(self) -> None:
        """Raises DivergedError when a loss, a gradient or a trained parameter is NaN or infinite."""
        self.log_.raise_if_diverged()
        for name, values in self.ensemble.trainable_state().items():
            if values.is_floating_point() and not finite(values):
                raise DivergedError(f"{name} is NaN or infinite after step {self.state.global_step}")


class _Rhythm(TrainerCallback):
    """What happens at which step."""

    def __init__(self, trainer: EnsembleTrainer):
        self.trainer = trainer
        self.saved_at = 0.0

    def on_train_begin(self, args, state, control, **kwargs):
        self.saved_at = self.trainer.started = time.monotonic()
        self.trainer.log_.start(state.global_step)

    def on_epoch_begin(self, args, state, control, **kwargs):
        self.trainer.data.sampler.epoch = state.global_step // self.trainer.plan.steps_per_epoch

    def on_step_begin(self, args, state, control, **kwargs):
        self.trainer.micro_batch = 0

    def on_step_end(self, args, state, control, **kwargs):
        trainer, step, plan = self.trainer, state.global_step, self.trainer.plan
        if step in plan.cycle_ends:
            trainer.log_.raise_if_diverged()
            trainer.ensemble.on_cycle_end(plan.cycle_ends.index(step))
        trainer.log_.step(step, trainer.optimizer.param_groups[0]["lr"], trainer.seconds)
        if is_kept(step, plan.training, plan.steps_per_epoch) or (step < plan.total_steps and self._overdue(step)):
            control.should_save = True

    def on_save(self, args, state, control, **kwargs):
        self.saved_at = time.monotonic()

    def on_train_end(self, args, state, control, **kwargs):
        self.trainer.require_finite()

    def _overdue(self, step: int) -> bool:
        """Whether a checkpoint to resume from is due; all processes must agree."""
        due = time.monotonic() - self.saved_at >= self.trainer.training.checkpoint_seconds
        if self.trainer.args.world_size == 1:
            return due
        if step % 16:
            return False
        flag = torch.tensor([due], dtype=torch.int, device=self.trainer.args.device)
        torch.distributed.broadcast(flag, 0)
        return bool(flag.item())

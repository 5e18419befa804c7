"""What a checkpoint keeps beside the weights, so that a killed training goes on with the same bits."""

from __future__ import annotations

import random
import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from lora_ensemble.disk.folders import PARTIAL, publish, readable_errors
from lora_ensemble.engine.ensemble import Ensemble
from lora_ensemble.engine.saving import read_tensors
from lora_ensemble.errors import ConfigurationError, FileFormatError, UserError, first_line
from lora_ensemble.training.checkpoints import (
    WEIGHTS,
    Checkpoint,
    describe,
    folder_name,
    numbered,
    read_checkpoint,
    rotate,
    set_aside,
)
from lora_ensemble.training.optimisation import Plan

if TYPE_CHECKING:
    from accelerate import Accelerator

_OPTIMIZER, _SCALER, _BEST = "optimizer.pt", "scaler.pt", "best.safetensors"
_SCHEDULER = "scheduler.pt"  # of versions before: the learning rate follows from the number of updates


@dataclass
class Best:
    """The weights with the lowest loss on the validation split so far."""

    step: int
    loss: float
    weights: dict[str, Tensor]


@dataclass
class State:
    """Where a training stands."""

    step: int = 0
    """Steps done."""
    updates: int = 0
    """Steps in which the optimiser moved; those with an overflow in fp16 are not among them."""
    seconds: float = 0.0
    """Training time, that of interrupted calls up to their last checkpoint included."""
    learning_rate: float = 0.0
    """Of the last step."""
    best: Best | None = None
    """Where training may stop early."""


def save(folder: Path, state: State, ensemble: Ensemble, optimizer: Any, accelerator: Accelerator, plan: Plan) -> None:
    """Write a checkpoint of the last step, whole or not at all; all processes call it. Raises UserError where the disk
    is full or cannot be written to."""
    partial, final = folder / PARTIAL / folder_name(state.step), folder / folder_name(state.step)
    try:
        with readable_errors(final):
            partial.mkdir(parents=True, exist_ok=True)
            torch.save(_random_state(), partial / _random_file(accelerator))
            if accelerator.is_main_process:
                _write(ensemble.trainable_state(), partial / WEIGHTS)
                torch.save(optimizer.state_dict(), partial / _OPTIMIZER)
                if accelerator.scaler is not None:
                    torch.save(accelerator.scaler.state_dict(), partial / _SCALER)
                if state.best is not None:
                    _write(state.best.weights, partial / _BEST)
            accelerator.wait_for_everyone()
            if accelerator.is_main_process:
                describe(partial, _about(state, plan, accelerator))
                publish(partial, final)
                rotate(folder, plan.training.keep_checkpoints)
    finally:
        if accelerator.is_main_process:
            shutil.rmtree(partial.parent, ignore_errors=True)
    accelerator.wait_for_everyone()


def resume(folder: Path, ensemble: Ensemble, optimizer: Any, accelerator: Accelerator) -> State:
    """Put back what the newest whole checkpoint holds; a new State where there is none.

    A damaged checkpoint is named in a warning and passed over. Raises FileFormatError where all are damaged,
    ConfigurationError for one of another number of processes.
    """
    found = _agreed(folder, accelerator)
    if found is None:
        return State()
    if found.processes != accelerator.num_processes:
        raise ConfigurationError(
            [f"{found.folder} was written by {found.processes} processes, now there are {accelerator.num_processes}"]
        )
    ensemble.load_trainable_state(found.weights())
    optimizer.load_state_dict(_read(found, _OPTIMIZER, accelerator.device))
    if accelerator.scaler is not None and _SCALER in found.files:
        accelerator.scaler.load_state_dict(_read(found, _SCALER))
    _set_random_state(_read(found, _random_file(accelerator)))
    best = None if found.best is None else Best(*found.best, read_tensors(found.folder / _BEST))
    updates = int(_read(found, _SCHEDULER)["last_epoch"]) if _SCHEDULER in found.files else found.updates
    return State(found.step, updates, found.seconds, best=best)


def _about(state: State, plan: Plan, accelerator: Accelerator) -> Checkpoint:
    best = None if state.best is None else (state.best.step, state.best.loss)
    return Checkpoint(
        folder=Path(),
        step=state.step,
        kept=plan.keeps(state.step),
        seconds=state.seconds,
        epochs=state.step / plan.steps_per_epoch,
        updates=state.updates,
        processes=accelerator.num_processes,
        best=best,
    )


# The newest whole one -------------------------------------------------------------------------------------------------


def _agreed(folder: Path, accelerator: Accelerator) -> Checkpoint | None:
    """`_newest_whole` as the main process sees it; an error there is one in all processes."""
    from accelerate.utils import broadcast_object_list

    told: list[Any] = [None]
    if accelerator.is_main_process:
        try:
            told = [_newest_whole(folder)]
        except UserError as error:
            told = [error]
    if accelerator.num_processes > 1:
        broadcast_object_list(told)
    if isinstance(told[0], UserError):
        raise told[0]
    assert told[0] is None or isinstance(told[0], Checkpoint)
    return told[0]


def _newest_whole(folder: Path) -> Checkpoint | None:
    damaged: list[tuple[Path, str]] = []
    found = None
    for path in reversed(numbered(folder)):
        try:
            found = read_checkpoint(path)
            found.check()
            _parse_undigested(found)
            break
        except FileFormatError as error:
            damaged.append((path, first_line(error)))
            found = None
    if damaged and found is None:
        raise FileFormatError(
            f"no checkpoint in {folder} is whole ({damaged[0][1]}); to train from the beginning, remove {folder}"
        )
    for path, why in damaged:
        assert found is not None
        warnings.warn(f"{path} is passed over: {why}; going on from {found.folder.name}", stacklevel=2)
        with readable_errors(path):
            set_aside(path)
    return found


def _parse_undigested(found: Checkpoint) -> None:
    """Where there is no digest to tell, as in checkpoints of versions before, see that the files can be read."""
    for name, digest in found.files.items():
        if digest is None:
            found.weights() if name == WEIGHTS else _read(found, name)


# Files ----------------------------------------------------------------------------------------------------------------


def _write(tensors: dict[str, Tensor], path: Path) -> None:
    # Clones, because safetensors refuses tied weights.
    save_file({name: value.detach().cpu().clone() for name, value in tensors.items()}, path)


def _read(checkpoint: Checkpoint, name: str, device: torch.device | str = "cpu") -> Any:
    """A file of tensors and plain values. Raises FileFormatError for one that is damaged or holds anything else."""
    path = checkpoint.folder / name
    try:
        with torch.serialization.safe_globals(_numpy_parts()):  # as versions before wrote random states
            return torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # torch has no class of its own for a file that it cannot read
        raise FileFormatError(f"{path} is damaged: {first_line(error)}") from None


def _numpy_parts() -> list[Any]:
    return [np.zeros(1).__reduce__()[0], np.ndarray, np.dtype, type(np.dtype(np.uint32))]


def _random_file(accelerator: Accelerator) -> str:
    alone = accelerator.num_processes == 1
    return "rng_state.pth" if alone else f"rng_state_{accelerator.process_index}.pth"


def _random_state() -> dict[str, Any]:
    """Of Python, NumPy and torch, as tensors and plain values."""
    kind, keys, *rest = np.random.get_state()
    state: dict[str, Any] = {
        "python": random.getstate(),
        "numpy": (kind, torch.from_numpy(np.asarray(keys).astype(np.int64)), *rest),
        "cpu": torch.random.get_rng_state(),
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.random.get_rng_state()
    return state


def _set_random_state(state: dict[str, Any]) -> None:
    random.setstate(state["python"])
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, np.asarray(keys).astype(np.uint32), *rest))
    torch.random.set_rng_state(state["cpu"])
    if torch.cuda.is_available() and "cuda" in state:
        cuda = state["cuda"]
        torch.cuda.random.set_rng_state(cuda if isinstance(cuda, Tensor) else cuda[torch.cuda.current_device()])

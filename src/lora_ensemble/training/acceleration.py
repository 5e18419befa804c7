"""accelerate, as a training uses it: one device or DDP, mixed precision, and nothing left behind in the process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, DistributedType, GradientState, PartialState
from accelerate.utils import DistributedDataParallelKwargs, GradientAccumulationPlugin, str_to_bool

from lora_ensemble.errors import ConfigurationError, first_line

_PRECISIONS = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}
_REFUSED = {
    "ACCELERATE_USE_FSDP": "FSDP",
    "ACCELERATE_USE_DEEPSPEED": "DeepSpeed",
    "ACCELERATE_USE_MEGATRON_LM": "Megatron-LM",
    "ACCELERATE_USE_PARALLELISM_CONFIG": "tensor or context parallelism",
}
_SUPPORTED = (DistributedType.NO, DistributedType.MULTI_CPU, DistributedType.MULTI_GPU)


@contextmanager
def accelerated(device: torch.device, precision: str) -> Iterator[Accelerator]:
    """An Accelerator for one training. Its state is the process's: what was there before is there again afterwards, so
    that trainings of different precision can follow one another, and the caller's own Accelerator goes on.

    Raises ConfigurationError where the launcher asks for something else than processes that average their gradients.
    """
    _refuse_other_parallelism()
    kept = [(one, dict(one)) for one in (k._shared_state for k in (PartialState, AcceleratorState, GradientState))]
    for state, _ in kept:
        state.clear()
    try:
        yield _accelerator(device, precision)
    finally:
        for state, before in kept:
            state.clear()
            state.update(before)


def _accelerator(device: torch.device, precision: str) -> Accelerator:
    # A pass leaves the parameters of other members without a gradient.
    handlers: list[Any] = [DistributedDataParallelKwargs(find_unused_parameters=True)]
    try:
        accelerator = Accelerator(
            cpu=device.type == "cpu",
            mixed_precision=_PRECISIONS[precision],
            gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),  # the loop divides
            kwargs_handlers=handlers,
        )
    except (ValueError, NotImplementedError, ImportError) as error:
        raise ConfigurationError(
            [f"training.precision = {precision!r} on {device.type}: {first_line(error)}"]
        ) from None
    if accelerator.distributed_type not in _SUPPORTED:
        raise ConfigurationError([_only_ddp(str(accelerator.distributed_type.value))])
    return accelerator


def _refuse_other_parallelism() -> None:
    for variable, name in _REFUSED.items():
        if str_to_bool(os.environ.get(variable, "false")):
            raise ConfigurationError([_only_ddp(name)])


def _only_ddp(name: str) -> str:
    return (
        f"{name}: training runs on one device, or on several that each hold the whole ensemble (torchrun, or "
        "accelerate launch --multi_gpu); members are clipped one by one, which needs their whole gradients"
    )

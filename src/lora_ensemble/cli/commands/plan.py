"""Estimate memory and time of training a recipe from a few measured steps, and find what fits into a memory."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lora_ensemble.cli import recipe_words
from lora_ensemble.cli.arguments import PROGRAM
from lora_ensemble.errors import UserError

if TYPE_CHECKING:
    from lora_ensemble.runs.planning import Estimate

UNITS = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "KB": 10**3, "MB": 10**6, "GB": 10**9}


@dataclass(frozen=True)
class Options(recipe_words.Options):
    memory: str | None = None
    """What the training must fit into, as in 24GiB: members per pass and batch size are lowered until it does."""


def main(args: Sequence[str]) -> None:
    if not args or args[0] in ("-h", "--help"):
        print(f"usage: {PROGRAM} plan RECIPE [--memory 24GiB] and what `{PROGRAM} train` takes\n\n{__doc__}")
        return
    found = recipe_words.asked(args[0], args[1:], Options, "plan")
    memory = None if found.options.memory is None else in_bytes(found.options.memory)

    from lora_ensemble.runs.planning import estimate

    print("measuring a few steps", file=sys.stderr)
    print(table(estimate(found.experiment, memory), found.experiment.training.batch_size))


def in_bytes(words: str) -> int:
    """Of "24GiB". Raises UserError for anything else."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMG]i?B)", words)
    if not match or float(match[1]) == 0:
        raise UserError(f"--memory {words}: expected a number and a unit, as in 24GiB ({', '.join(UNITS)})")
    return int(float(match[1]) * UNITS[match[2]])


def table(found: Estimate, asked_batch_size: int) -> str:
    """Markdown, and the flags that a smaller batch or pass needs."""
    parts = ("parameters", "gradients", "optimizer", "activations", "bytes")
    lines = ["| | MiB |", "|---|---:|"]
    lines += [f"| {'all' if name == 'bytes' else name} | {getattr(found, name) / 2**20:.1f} |" for name in parts]
    step, epoch, total = found.seconds_per_step, found.seconds_per_epoch, found.seconds_per_step * found.total_steps
    lines += [
        "",
        f"{step:.3g} s a step, {epoch:.3g} s an epoch of {found.steps_per_epoch} steps, {total:.3g} s in all",
        f"--training.members-per-pass {found.members_per_pass}",
    ]
    if found.batch_size != asked_batch_size:
        lines.append(
            f"--training.batch-size {found.batch_size} --training.gradient-accumulation {found.gradient_accumulation}"
        )
    return "\n".join(lines)

"""Distill a run's ensemble into one network, which predicts its distribution and its uncertainties."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from lora_ensemble.cli.arguments import PROGRAM, parse


@dataclass(frozen=True)
class Options:
    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN", help_behavior_hint="")]
    """Folder of the run whose ensemble teaches."""
    output: Path | None = None
    """Folder of the student's run. Default: <run folder>-student."""
    input: str | None = None
    """More rows to learn from, without labels: a folder, a file or a table, as in predict."""
    kind: Literal["hydra", "average", "soup"] = "hydra"
    """hydra: a head for each member, taught by it; average: the mean of the updates; soup: that of those that help."""
    r: int | None = None
    """Rank of the student's update. Default: the run's; 8 where it has none."""
    steps: int | None = None
    """Steps of training. Default: four times those of the run."""
    learning_rate: float | None = None
    """Default: the run's where it adapted by LoRA, else 0.001."""
    seed: int = 0
    """Of the student."""


def main(args: Sequence[str]) -> None:
    options = parse(Options, args, "distill", __doc__)

    from lora_ensemble.answers.stream import options_for
    from lora_ensemble.distillation.distilling import Distillation, distill
    from lora_ensemble.runs.run import Run
    from lora_ensemble.sources.incoming import read
    from lora_ensemble.training.progress import TerminalProgress

    run = Run(options.run)
    output = options.output or options.run.with_name(f"{options.run.name}-student")
    how = Distillation(options.kind, options.r, options.steps, options.learning_rate, options.seed)
    rows = []
    if options.input is not None:
        modality = run.experiment.backbone.modality
        rows = list(read(options.input, modality, options_for(run.experiment, label_column="")))
    with TerminalProgress(output.name) as display:
        distill(run, output, how, rows, display)
    print(f"next: {PROGRAM} evaluate {shlex.quote(str(output))}", file=sys.stderr)
    print(output)

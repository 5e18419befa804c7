"""Make a run out of anybody's PEFT adapters over one base model, a member each: predict, evaluate, calibrate it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from lora_ensemble.cli.arguments import PROGRAM, parse
from lora_ensemble.cli.lists import Words, items
from lora_ensemble.errors import UserError
from lora_ensemble.printable import printable


@dataclass(frozen=True)
class Options:
    models: Annotated[tuple[str, ...], Positional, arg(metavar="BASE ADAPTER...", help_behavior_hint="")]
    """The model of transformers that the adapters were trained over, then the adapters: folders or hub ids."""
    output: Path | None = None
    """Folder of the run."""
    task: Literal["text", "image", "audio", "choices"] | None = None
    """What rows are. Default: what the adapters and the base say."""
    classes: Words = ()
    """Names of the classes in the order of the logits, with commas. Default: id2label of adapter or base."""
    data: str | None = None
    """Labelled data of your own, for evaluate and calibrate: a table of texts, a folder of images or sounds, a file of
    questions."""


def main(args: Sequence[str]) -> None:
    options = parse(Options, args, "adopt", __doc__)
    if len(options.models) < 2:
        raise UserError("give the base model first, then at least one adapter")
    if options.output is None:
        raise UserError("give the folder of the run with --output")

    from lora_ensemble.interop.adopting import Asked, adopt_adapters

    base, *adapters = options.models
    asked = Asked(options.task, tuple(items(options.classes)), options.data)
    run = adopt_adapters(base, adapters, options.output, asked)
    shown = run.classes[:6] + ["..."] * (len(run.classes) > 6)
    members = f"{len(adapters)} member{'s' if len(adapters) > 1 else ''}"
    print(printable(f"{options.output}: {members}, {len(run.classes)} classes ({', '.join(shown)})"))
    print(printable(f"{PROGRAM} predict {options.output} --input NEW --output answers.csv"))

"""Ask a run about one image, sound, text or question after another, in the browser, on this machine alone."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from lora_ensemble.cli.arguments import parse
from lora_ensemble.printable import printable


@dataclass(frozen=True)
class Options:
    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Run folder."""
    host: str = "127.0.0.1"
    """Address to listen at; the default is reached from this machine alone, 0.0.0.0 from everywhere, without a
    password."""
    port: int | None = None
    """Default: the first free one from 7860 on."""
    risk: float = 0.05
    """Of the answers that are called trustworthy, at most this share is wrong."""
    confidence: float = 0.95
    """That this promise holds."""
    by: str = "total"
    """Uncertainty by which it is decided."""


def main(args: Sequence[str]) -> None:
    options = parse(Options, args, "demo", __doc__)

    from lora_ensemble.answers.asked import Asked
    from lora_ensemble.demo.asking import Asker
    from lora_ensemble.demo.page import built, served
    from lora_ensemble.runs.run import Run

    Asked(risk=options.risk, confidence=options.confidence)  # raises for values out of range
    run = Run(options.run)
    asker = Asker.of(run, options.risk, options.confidence, options.by)
    page = built(asker, run.experiment.name or run.folder.name)

    def ready(url: str) -> None:
        print(f"{printable(str(run.folder))}: {url} (stop with Ctrl-C)", flush=True)
        if asker.judge.missing:
            print(printable(asker.judge.missing), file=sys.stderr)

    served(page, options.host, options.port, ready)

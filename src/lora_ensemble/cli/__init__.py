"""The command line: words to dataclasses, one file per command, what a terminal shows."""

from lora_ensemble.cli.program import main

__all__ = ["main"]

"""Copy a run's ensemble, a standard adapter folder per member, to where others can load it."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lora_ensemble.cli.arguments import RunOptions, parse
from lora_ensemble.errors import UserError
from lora_ensemble.printable import printable


@dataclass(frozen=True)
class Options(RunOptions):
    output: Path | None = None
    """Folder to make. Default: <run folder>-ensemble. Runs of one ensemble (`train --members 0:3`, `--members 3:6`)
    become one folder."""


def main(args: Sequence[str]) -> None:
    options = parse(Options, args, "export", __doc__)

    from lora_ensemble.disk.folders import new_folder
    from lora_ensemble.runs.exporting import copy_ensemble
    from lora_ensemble.runs.folder import ENSEMBLE
    from lora_ensemble.runs.run import Run

    runs = [Run(folder) for folder in options.runs]
    for run in runs:
        run.cost  # noqa: B018  raises for an unfinished run
    first = options.runs[0]
    output = options.output or first.with_name(f"{first.name}-{ENSEMBLE}")
    if output.exists():
        raise UserError(f"{output} exists; give another folder with --output")
    with new_folder(output) as partial:
        copy_ensemble(runs, partial)
    print(printable(str(output)))
    print("\n".join(map(printable, how_to_load(output).splitlines())), file=sys.stderr)


def how_to_load(folder: Path) -> str:
    """Lines of Python that load an exported ensemble, and one of its members with PEFT."""
    from lora_ensemble.engine.saving import MANIFEST

    members = json.loads((folder / MANIFEST).read_text())["member_folders"]
    lines = ["from lora_ensemble import Ensemble", f"ensemble = Ensemble.from_pretrained({str(folder)!r})"]
    if members and (folder / members[0] / "adapter_config.json").is_file():
        lines += [
            "",
            "from peft import PeftModel",
            f"member = PeftModel.from_pretrained(model, {str(folder / members[0])!r})  # model: the plain backbone",
        ]
    elif members:
        lines += [
            "",
            "# PEFT cannot load these members: it would not call what they adapt, or does not know the adapter",
        ]
    return "\n".join(lines)

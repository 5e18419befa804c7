"""The script of an array job, as submitit would write it where there is SLURM."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SIGNAL = "USR2@90"
"""What a job gets, and how many seconds before its end."""


def script(folder: Path, parameters: Mapping[str, Any], tasks: int) -> str:
    """Of `tasks` jobs, whose logs and pickles are in a folder. parameters: by the names of sbatch, with underscores;
    array_parallelism says how many of them run at a time."""
    values = dict(parameters)
    together = min(tasks, values.pop("array_parallelism"))
    values = {
        "nodes": 1,
        "wckey": "submitit",
        **values,
        "signal": SIGNAL,
        "array": f"0-{tasks - 1}%{together}",
        "output": f"{folder}/%A_%a_0_log.out",
        "error": f"{folder}/%A_%a_0_log.err",
        "open-mode": "append",
    }
    flags = {name.replace("_", "-"): shlex.quote(str(values[name])) for name in sorted(values)}
    logs = shlex.join(["--output", f"{folder}/%A_%a_%t_log.out", "--error", f"{folder}/%A_%a_%t_log.err"])
    run = f"{shlex.quote(sys.executable)} -u -m submitit.core._submit {shlex.quote(str(folder))}"
    return "\n".join(
        [
            "#!/bin/bash",
            "",
            "# Parameters",
            *(f"#SBATCH --{name}={value}" for name, value in flags.items()),
            "",
            "# command",
            "export SUBMITIT_EXECUTOR=slurm",
            f"srun --unbuffered {logs} {run}",
            "",
        ]
    )

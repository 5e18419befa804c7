"""Commands in forked processes, which share what is imported: many cases in a minute, each on its own."""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PLUGIN = Path(__file__).parents[1] / "tests" / "plugins" / "fold_digits.py"
RECIPE = "fold-digits-lora"
"""62 scans of digits in three folds, two members, nine steps: `tests/plugins/fold_digits.py`."""


@dataclass
class Ended:
    """How a command ended."""

    code: int
    """Its exit code; negative: the signal that killed it."""
    out: str
    err: str
    seconds: float

    @property
    def kind(self) -> str:
        """done, killed, interrupted, one line, traceback, or unclear: another code without a traceback."""
        if "Traceback (most recent call last)" in self.err:
            return "traceback"
        known = {0: "done", 2: "one line" if self.err.rstrip().splitlines()[-1:] else "unclear", 130: "interrupted"}
        return "killed" if self.code < 0 else known.get(self.code, "unclear")


def command(words: Sequence[str], kill: tuple[float, int] | None = None, limit: float = 120) -> Ended:
    """Run `lora-ensemble` with these words. kill: a signal after so many seconds. After `limit` it is killed."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        out, err = Path(place) / "out", Path(place) / "err"
        pid = os.fork()
        if pid == 0:
            _child(words, out, err)
        end = began + (kill[0] if kill else limit)
        while time.monotonic() < end:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                break
            time.sleep(0.005)
        else:
            os.kill(pid, kill[1] if kill else signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
        texts = [path.read_text(errors="replace") if path.exists() else "" for path in (out, err)]
    return Ended(os.waitstatus_to_exitcode(status), *texts, time.monotonic() - began)


def _child(words: Sequence[str], out: Path, err: Path) -> None:
    code = 1
    try:
        for path, number in ((out, 1), (err, 2)):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
        from lora_ensemble.cli.program import main

        code = main(words)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def prepare() -> None:
    """Run every command once in this process, so that what it imports is there for all that are forked."""
    import torch

    from lora_ensemble import registry
    from lora_ensemble.cli.program import main

    torch.set_num_threads(1)
    registry.give(PLUGIN)
    with tempfile.TemporaryDirectory() as place:
        run, folds = f"{place}/run", f"{place}/folds"
        for words in (
            ["train", RECIPE, "--training.save", "epoch", "--output", run],
            ["predict", run],
            ["evaluate", run],
            ["evaluate", run, "--epochs"],
            ["report", run, "--output", f"{place}/report.html"],
            ["export", run, "--output", f"{place}/out"],
            ["cross-validate", RECIPE, "--output", folds],
            ["verify", run, folds],
        ):
            assert main(words) == 0


def facts(folder: Path) -> dict[str, object]:
    """What must be equal in two folders: weights, logits, scores; not times and costs."""
    from lora_ensemble.disk.digests import digest_of_file, digest_of_tensors
    from lora_ensemble.predictions import Predictions

    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.suffix == ".safetensors" and "/." not in f"/{name}" and "checkpoints" not in name:
            kept = "predictions" in path.parts
            found[name] = digest_of_tensors({"p": Predictions.load(path).logits_MBC}) if kept else digest_of_file(path)
        elif path.name == "results.json":
            found[name] = [run["scores"] for run in json.loads(path.read_text())["runs"]]
        elif path.suffix == ".html":
            found[name] = path.stat().st_size > 10_000
    return found

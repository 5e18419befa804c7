"""kill -9 at random moments of a training; the same command again ends with the same bits.

The test runs this file as a program, which imports everything once and forks a process for each attempt.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

MOST_KILLS = 8
MORE_STEPS = (0, 1, 2, 4)  # of the 24: after so many more steps a process is killed


def test_killed_runs_end_as_if_nothing_had_happened(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, __file__, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout)
    assert told["different"] == []
    assert told["files"] == 7  # the manifest, and two files for each of three members
    assert told["kills"] >= 3, told
    assert len(set(told["resumed_at"]) - {0}) >= 2, told  # not only before the first checkpoint


def main(folder: Path) -> None:
    import torch

    import lora_ensemble.training.fitting  # noqa: F401  what a training imports, before the first fork
    from lora_ensemble.backbones.vit import ViT
    from lora_ensemble.datasets.digits import Digits
    from lora_ensemble.experiment import Experiment
    from lora_ensemble.methods.lora import Lora
    from lora_ensemble.runs.run import train
    from lora_ensemble.training.options import Training
    from lora_ensemble.training.progress import Progress

    torch.set_num_threads(1)
    training = Training(
        max_steps=24, batch_size=13, learning_rate=1e-2, data_order="independent", checkpoint_seconds=0.0, device="cpu"
    )
    vit, data = ViT(name=str(save_vit(folder / "vit"))), Digits(train_examples=60)
    experiment = Experiment(vit, Lora(members=3, r=2, lora_dropout=0.2), data, training)
    data.load("train"), vit.load(10)  # what they import

    def attempt(name: str) -> int:
        """A process that trains; notes after which step it began, and each step that it took."""
        began: list[int] = []

        def note(progress: Progress) -> None:
            if not began:
                began.append(progress.step - 1)
                append(folder / f"{name}-began", f"{began[0]}\n")
            append(folder / f"{name}-steps", ".")

        return forked(lambda: train(experiment, folder / name, on_progress=note))

    assert ended(attempt("whole")) == 0
    moments, kills, code = random.Random(0), 0, -1
    while code != 0:
        pid = attempt("killed")
        if kills < MOST_KILLS:
            # By steps, not by the clock: a fast or busy processor is killed at the same places of the training.
            wait_for(pid, folder / "killed-steps", more=moments.choice(MORE_STEPS))
            time.sleep(moments.uniform(0, 0.01))  # anywhere in the step, also while a checkpoint is written
            os.kill(pid, signal.SIGKILL)
        code = ended(pid)
        assert code in (0, -signal.SIGKILL)
        kills += code != 0
    files = [p.relative_to(folder / "whole") for p in sorted((folder / "whole" / "ensemble").rglob("*")) if p.is_file()]
    different = [str(f) for f in files if (folder / "killed" / f).read_bytes() != (folder / "whole" / f).read_bytes()]
    resumed = [int(line) for line in (folder / "killed-began").read_text().split()]
    print(json.dumps({"files": len(files), "different": different, "kills": kills, "resumed_at": resumed}))


def append(file: Path, text: str) -> None:
    with file.open("a") as opened:
        opened.write(text)


def wait_for(pid: int, steps: Path, *, more: int) -> None:
    """Until so many more steps were noted than are now, or the process has ended."""
    wanted = noted(steps) + more
    while noted(steps) < wanted and os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        time.sleep(0.001)


def noted(steps: Path) -> int:
    return steps.stat().st_size if steps.is_file() else 0


def ended(pid: int) -> int:
    """The exit code of a process, the negative number of the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def forked(work: Callable[[], object]) -> int:
    """The id of a new process that does the work and ends."""
    pid = os.fork()
    if pid:
        return pid
    try:
        work()
    except BaseException:
        import traceback

        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def save_vit(folder: Path) -> Path:
    """A random ViT of one layer, as transformers saves it."""
    import torch
    from transformers import ViTConfig, ViTForImageClassification

    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=8, patch_size=4,
        num_channels=1, num_labels=10,
    )  # fmt: skip
    ViTForImageClassification(config).save_pretrained(folder)
    processor = {"size": {"height": 8, "width": 8}, "image_mean": [0.5], "image_std": [0.5], "resample": 2}
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return folder


if __name__ == "__main__":
    main(Path(sys.argv[1]))

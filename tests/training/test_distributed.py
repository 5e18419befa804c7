"""Two processes (gloo, CPU) train as one does: gradients averaged once per step, with several passes and accumulation.

The test runs this file as a program, which imports everything once and forks the processes.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

WIDTH, CLASSES, ROWS = 5, 3, 32


def test_two_processes_train_as_one(tmp_path: Path) -> None:
    from tolerance import close  # the program below finds no other file of the tests

    done = subprocess.run([sys.executable, __file__, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    one, first, second = (torch.load(tmp_path / f"{name}.pt", weights_only=True) for name in ("one", "0", "1"))
    start = networks().trainable_state()
    for name, values in one.items():
        assert not torch.allclose(values, start[name])
        close(first[name], values, depth=8)
        assert torch.equal(second[name], first[name])
    checkpoint = tmp_path / "two" / "checkpoints" / "checkpoint-8"
    assert (checkpoint / "rng_state_0.pth").is_file()
    assert (checkpoint / "rng_state_1.pth").is_file()
    steps = [json.loads(line)["step"] for line in (tmp_path / "two" / "log.jsonl").read_text().splitlines()]
    assert steps == list(range(1, 9))  # one process writes


class Linear(nn.Module):
    """A network of one layer."""

    def __init__(self, seed: int):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.layer = nn.Linear(WIDTH, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


def networks():
    """Members with parameters of their own: each pass leaves those of the others without a gradient."""
    from lora_ensemble.engine.networks import NetworkEnsemble

    return NetworkEnsemble([Linear(seed) for seed in range(3)], members_per_pass=1)


def fitted(folder: Path) -> dict[str, Tensor]:
    from lora_ensemble.contracts import LoadedBackbone, Split
    from lora_ensemble.training.fitting import fit
    from lora_ensemble.training.options import Training

    x = np.random.default_rng(0).normal(size=(ROWS, WIDTH)).astype(np.float32)
    labels = x[:, :CLASSES].argmax(1).astype(np.int64)
    split = Split([{"x": row} for row in x], labels, [str(i) for i in range(ROWS)], list("abc"), "vector")
    backbone = LoadedBackbone(
        nn.Identity(), lambda rows: {"x": torch.from_numpy(np.stack([r["x"] for r in rows]))}, lambda b: b, None
    )
    training = Training(
        epochs=4, batch_size=8, gradient_accumulation=2, learning_rate=0.05, gradient_clip=0.1,
        data_order="independent", save="steps", save_steps=4, device="cpu",
    )  # fmt: skip
    ensemble = networks()
    fit(ensemble, split, backbone, training, 0, folder, on_progress=lambda progress: None)
    return ensemble.trainable_state()


def main(folder: Path) -> None:
    import lora_ensemble.training.fitting  # noqa: F401  before the forks

    torch.set_num_threads(1)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    there = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    processes = [
        ("one", {}, "one"),
        *((str(r), {**there, "RANK": str(r), "LOCAL_RANK": str(r)}, "two") for r in (0, 1)),
    ]
    pids = []
    for name, environment, run in processes:
        pid = os.fork()
        if pid:
            pids.append(pid)
            continue
        try:
            os.environ.update(environment)
            torch.save(fitted(folder / run), folder / f"{name}.pt")
            os._exit(0)
        except BaseException:
            import traceback

            traceback.print_exc()
            os._exit(1)
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    sys.exit(max(map(abs, codes)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

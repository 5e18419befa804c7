"""A training step of a recipe with this version and with another one, in turns, each training in a process of its own.

    python benchmarks/step.py --against ../other/src --turns 8

Per step: processor time of the training loop (which other work on the machine does not change) and wall time. Both are
measured between the first and the last step of a training, so that imports and loading are not in them.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parents[1] / "src"

WORKER = """
import dataclasses, importlib, json, sys, tempfile, time
import torch
from lora_ensemble import train
recipe, steps = sys.argv[1], int(sys.argv[2])
data, _, method = recipe.partition("-")
torch.set_num_threads(1)
experiment = getattr(importlib.import_module(f"lora_ensemble.recipes.{data}"), method.replace("-", "_"))()
options = dataclasses.replace(experiment.training, max_steps=steps, device="cpu")
experiment = dataclasses.replace(experiment, training=options)
seen = []
note = lambda progress: seen.append((progress.step, time.process_time(), time.perf_counter()))
with tempfile.TemporaryDirectory() as folder:
    train(experiment, folder, on_progress=note)
(first, cpu, wall), (last, cpu_end, wall_end) = seen[0], seen[-1]
print(json.dumps({"cpu": (cpu_end - cpu) / (last - first), "wall": (wall_end - wall) / (last - first)}))
"""


def measured(source: Path, recipe: str, steps: int) -> dict[str, float]:
    """Seconds per step of one training, with the version whose source is in a folder."""
    environment = {**os.environ, "PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as elsewhere:
        done = subprocess.run(
            [sys.executable, "-c", WORKER, recipe, str(steps)],
            env=environment, cwd=elsewhere, capture_output=True, text=True, check=True,
        )  # fmt: skip
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, required=True, help="the folder src of the other version")
    parser.add_argument("--recipe", default="digits-lora")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--turns", type=int, default=8)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    versions = {"other": options.against.resolve(), "this": HERE}
    times: dict[str, list[dict[str, float]]] = {name: [] for name in versions}
    for turn in range(options.turns):
        for name in sorted(versions, reverse=bool(turn % 2)):  # neither is always first
            times[name].append(measured(versions[name], options.recipe, options.steps))
    print(f"| {options.recipe}, ms per step | other | this | this / other |\n|---|---|---|---|")
    for kind in ("cpu", "wall"):
        other, this = ([1e3 * t[kind] for t in times[name]] for name in ("other", "this"))
        ratio = statistics.median(b / a for a, b in zip(other, this, strict=True))
        print(f"| {kind}, median | {statistics.median(other):.2f} | {statistics.median(this):.2f} | {ratio:.3f} |")
        print(f"| {kind}, least | {min(other):.2f} | {min(this):.2f} | {min(this) / min(other):.3f} |")
    if options.json:
        options.json.write_text(json.dumps(times, indent=1))


if __name__ == "__main__":
    main()

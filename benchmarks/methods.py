"""A training step and a prediction of every method on a ViT-Tiny: processor seconds, peak memory, what is trained.

Each method runs in a process of its own with one thread. Processor seconds, not elapsed ones, so that what else the
machine does matters little; memory is the process's peak beyond what it had before the model was built.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from typing import Any

METHODS = ("single", "single-lora", "mc-dropout", "snapshot", "deep", "lora")


def measured(method: str, members: int, image_size: int, batch: int, rounds: int) -> dict[str, float]:
    """One method, in this process."""
    import timm
    import torch

    from lora_ensemble import registry
    from lora_ensemble.contracts import LoadedBackbone
    from lora_ensemble.training.attention import QuickBackward

    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = registry.recipe(f"ham10000-{method}").method
    config = replace(config, members=members) if config.members > 1 else config
    images, labels = torch.randn(batch, 3, image_size, image_size), torch.randint(7, (batch,))
    before = peak()
    model = timm.create_model("vit_tiny_patch16_224", img_size=image_size, num_classes=7)
    ensemble = config.build(LoadedBackbone(model, unused, unused, "head"), seed=0)
    trained = [p for p in ensemble.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4)

    def step() -> None:
        for part in ensemble.train().passes():
            with torch.autocast("cpu", torch.bfloat16), QuickBackward():
                loss = ensemble(x=images, labels=labels, members=part, shared=True).loss
            loss.backward()
        ensemble.clip_grad_norm_(1.0)
        optimizer.step()
        optimizer.zero_grad()

    result = {"step": seconds(step, rounds), "trained": sum(p.numel() for p in trained) / 1e6}
    result["memory"] = (peak() - before) / 2**20
    for cycle in range(config.members if method == "snapshot" else 0):
        ensemble.on_cycle_end(cycle)

    def predict() -> None:
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            ensemble.eval()(x=images)

    return {**result, "predict": seconds(predict, rounds)}


def unused(batch: Any) -> Any:
    return batch


def peak() -> int:
    """Bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def seconds(work: Any, rounds: int) -> float:
    """Median of the processor seconds of a call, after two to warm up."""
    taken = []
    for _ in range(rounds + 2):
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return statistics.median(taken[2:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, default=4)
    parser.add_argument("--image-size", type=int, default=80)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=METHODS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    values = (options.members, options.image_size, options.batch, options.rounds)
    if options.only:
        print(json.dumps(measured(options.only, *values)))
        return
    print("| method | training step, s | x single | prediction, s | x single | peak memory, MiB | trained, M |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    rows = {}
    for method in METHODS:
        done = subprocess.run(
            [sys.executable, __file__, *sys.argv[1:], "--only", method], capture_output=True, text=True, check=True
        )
        rows[method] = r = json.loads(done.stdout.splitlines()[-1])
        one = rows["single"]
        print(
            f"| {method} | {r['step']:.2f} | {r['step'] / one['step']:.2f} | {r['predict']:.3f} "
            f"| {r['predict'] / one['predict']:.2f} | {r['memory']:.0f} | {r['trained']:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()

"""A training step and a prediction of every method on a ViT-Tiny, or with --audio on an Audio Spectrogram Transformer
of that size (130 tokens): processor seconds, peak memory, what is trained.

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
from tempfile import TemporaryDirectory
from typing import Any

import timm
import torch
from safetensors.torch import save_file

from lora_ensemble import registry
from lora_ensemble.backbones.ast import Ast
from lora_ensemble.contracts import LoadedBackbone

METHODS = ("single", "single-lora", "mc-dropout", "snapshot", "deep", "lora")


def image_network(size: int, batch: int) -> tuple[Any, dict[str, Any]]:
    """A ViT-Tiny with random weights, and its inputs."""
    model = timm.create_model("vit_tiny_patch16_224", img_size=size, num_classes=7)
    return LoadedBackbone(model, unused, unused, "head"), {"x": torch.randn(batch, 3, size, size)}


def audio_network(batch: int) -> tuple[Any, dict[str, Any]]:
    """The same for spectrograms of 5 s, with patches that leave out half of the time."""
    with TemporaryDirectory() as folder:
        weights = f"{folder}/model.safetensors"
        save_file(timm.create_model("vit_tiny_patch16_224").state_dict(), weights)
        ast = Ast(weights=weights, frames=496, frequency_stride=16, time_stride=32, fused_qkv=True, head_norm="shared")
        return ast.load(10), {"input_values": torch.randn(batch, 496, 128)}


def measured(method: str, options: argparse.Namespace) -> dict[str, float]:
    """One method, in this process."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = registry.recipe(f"{'esc10' if options.audio else 'ham10000'}-{method}").method
    config = replace(config, members=options.members) if config.members > 1 else config
    before = peak()
    size, batch = options.image_size, options.batch
    backbone, inputs = audio_network(batch) if options.audio else image_network(size, batch)
    labels = torch.randint(7, (batch,))
    ensemble = config.build(backbone, seed=0)
    trained = [p for p in ensemble.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4)

    def step() -> None:
        for part in ensemble.train().passes():
            with torch.autocast("cpu", torch.bfloat16):
                loss = ensemble(**inputs, labels=labels, members=part, shared=True).loss
            loss.backward()
        ensemble.clip_grad_norm_(1.0)
        optimizer.step()
        optimizer.zero_grad()

    result = {"step": seconds(step, options.rounds), "trained": sum(p.numel() for p in trained) / 1e6}
    result["memory"] = (peak() - before) / 2**20
    for cycle in range(config.members if method == "snapshot" else 0):
        ensemble.on_cycle_end(cycle)

    def predict() -> None:
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            ensemble.eval()(**inputs)

    return {**result, "predict": seconds(predict, options.rounds)}


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
    parser.add_argument("--audio", action="store_true")
    parser.add_argument("--only", choices=METHODS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        print(json.dumps(measured(options.only, options)))
        return
    print("| method | training step, s | x single | prediction, s | x single | peak memory, MiB | trained, M |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    rows = {}
    for method in METHODS:
        if options.audio and method == "snapshot":
            continue  # no published cell
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

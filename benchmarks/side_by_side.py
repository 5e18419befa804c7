"""Contenders timed in turns, so that what else the machine does disturbs all alike."""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch


@dataclass
class Timing:
    """Seconds of one contender: the median and the fastest of the rounds."""

    name: str
    median: float
    fastest: float


def in_turns(contenders: dict[str, Callable[[], object]], rounds: int, warmup: int = 2) -> dict[str, Timing]:
    """Run every contender once per round, the order rotated from round to round."""
    names = list(contenders)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for i in range(-warmup, rounds):
        for name in names[i % len(names) :] + names[: i % len(names)]:
            synchronize()
            start = time.perf_counter()
            contenders[name]()
            synchronize()
            if i >= 0:
                seconds[name].append(time.perf_counter() - start)
    return {n: Timing(n, statistics.median(s), min(s)) for n, s in seconds.items()}


def synchronize() -> None:
    """Wait for the GPU, if there is one in use."""
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.synchronize()


def table(timings: dict[str, Timing], reference: str) -> str:
    """Markdown: seconds, and the ratio to the reference by medians and by the fastest rounds."""
    base = timings[reference]
    lines = [f"| | median s | x {reference} | fastest s | x {reference} |", "|---|---:|---:|---:|---:|"]
    lines += [
        f"| {t.name} | {t.median:.4f} | {t.median / base.median:.3f} "
        f"| {t.fastest:.4f} | {t.fastest / base.fastest:.3f} |"
        for t in timings.values()
    ]
    return "\n".join(lines)


def arguments(description: str) -> argparse.ArgumentParser:
    """The options that every benchmark has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="fp32", choices=["fp32", "bf16"])
    parser.add_argument("--members", type=int, default=8)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    return parser


def save(path: Path | None, results: dict[str, dict[str, Timing]]) -> None:
    """The numbers, as JSON."""
    if path:
        plain = {title: {n: asdict(t) for n, t in timings.items()} for title, timings in results.items()}
        path.write_text(json.dumps(plain, indent=2) + "\n")

"""The digits recipes give the numbers that they gave when transformers' Trainer trained them: the same bits on the
processor and torch that wrote `fingerprint.json`, the same values elsewhere."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lora_ensemble import train
from lora_ensemble.disk.digests import digest_of_tensors
from lora_ensemble.experiment import Experiment
from lora_ensemble.recipes import digits

STEPS, MEMBERS = 6, 2
WRITTEN = json.loads((Path(__file__).parent / "fingerprint.json").read_text())


def short(recipe: str) -> Experiment:
    """The recipe with two members and six steps."""
    experiment: Experiment = getattr(digits, recipe)()
    training = replace(experiment.training, max_steps=STEPS, device="cpu")
    return replace(experiment, training=training, method=replace(experiment.method, members=MEMBERS))


def processor() -> dict[str, str]:
    """What the bits depend on besides our code."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return {"torch": torch.__version__, "instructions": torch.backends.cpu.get_cpu_capability(), "model": model}


def fingerprint(recipe: str, folder: Path) -> dict[str, Any]:
    """Losses, gradient norms and final weights."""
    run = train(short(recipe), folder, on_progress=lambda progress: None)
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    weights = run.ensemble().trainable_state()
    return {
        "member_losses": [line["member_losses"] for line in lines],
        "gradient_norm": [line["gradient_norm"] for line in lines],
        "sum_of_weights": sum(float(w.double().abs().sum()) for w in weights.values()),
        "weights": digest_of_tensors(weights),
    }


@pytest.mark.parametrize("recipe", ["lora", "deep"])
def test_the_numbers_are_those_of_before(recipe: str, tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        now = fingerprint(recipe, tmp_path / recipe)
    finally:
        torch.set_num_threads(threads)
    before = WRITTEN[recipe]
    for name in ("member_losses", "gradient_norm", "sum_of_weights"):
        np.testing.assert_allclose(now[name], before[name], rtol=1e-5, atol=1e-5, err_msg=name)
    if processor() == WRITTEN["processor"]:
        assert now == before

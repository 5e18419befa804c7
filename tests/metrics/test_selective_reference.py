"""AURC, AUGRC and adaptive ECE against TorchUncertainty; numbers written by scripts/make_selective_reference.py."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
import torch

from lora_ensemble import Predictions, evaluate

HERE = Path(__file__).parent
REFERENCE = json.loads((HERE / "selective_reference.json").read_text(encoding="utf-8"))


def predictions() -> Predictions:
    path = HERE.parents[1] / "scripts" / "make_selective_reference.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    probs, labels = module.drawn()
    return Predictions.from_probs(torch.tensor(probs)[None], torch.tensor(labels))


def test_adaptive_ece_is_the_same() -> None:
    assert evaluate(predictions(), intervals=False)["ece_adaptive"] == pytest.approx(
        REFERENCE["ece_adaptive"], abs=1e-6
    )


@pytest.mark.parametrize("name", ["aurc", "augrc"])
def test_areas_are_the_same_but_for_the_rule_of_the_sum(name: str) -> None:
    """Ours is the mean over the N shares of samples that can be kept; theirs the trapezoidal rule between the first and
    the last, where both ends count half."""
    p = predictions()
    assert p.labels_B is not None
    scores = evaluate(p, intervals=False)
    rows = len(p)
    most = int(p.mean_probs_BC.amax(-1).argmax())
    first = float(p.mean_probs_BC[most].argmax() != p.labels_B[most]) * (1 if name == "aurc" else 1 / rows)
    ends = first + (1 - scores["accuracy"])
    assert scores[name] * rows == pytest.approx(REFERENCE[name] * (rows - 1) + ends / 2, abs=1e-4)

"""Write tests/metrics/selective_reference.json: what TorchUncertainty makes of small, fixed predictions.

python -m venv oracles && oracles/bin/pip install "torch-uncertainty==0.13.*"
oracles/bin/python scripts/make_selective_reference.py
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

PAGE = Path(__file__).parents[1] / "tests" / "metrics" / "selective_reference.json"
ROWS, CLASSES, BINS = 150, 4, 15


def drawn() -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that differ from row to row, and labels that follow them half of the time."""
    rng = np.random.default_rng(11)
    logits = 2 * rng.normal(size=(ROWS, CLASSES))
    probs = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    guesses = np.array([rng.choice(CLASSES, p=row) for row in probs])
    labels = np.where(rng.random(ROWS) < 0.3, rng.integers(0, CLASSES, ROWS), guesses)
    return probs, labels


def main() -> None:
    import torch
    from torch_uncertainty.metrics.classification import AUGRC, AURC, AdaptiveCalibrationError

    probs, labels = (torch.tensor(values) for values in drawn())
    metrics = {
        "aurc": AURC(),
        "augrc": AUGRC(),
        "ece_adaptive": AdaptiveCalibrationError(task="multiclass", num_classes=CLASSES, num_bins=BINS, norm="l1"),
    }
    found = {}
    for name, metric in metrics.items():
        metric.update(probs.float(), labels)
        found[name] = float(metric.compute())
    PAGE.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""Uncertainties of one member against pytorch-ood, whose numbers scripts/make_ood_reference.py wrote."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest
import torch

from lora_ensemble.analysis import uncertainty
from lora_ensemble.predictions import Predictions
from tolerance import close

HERE = Path(__file__).parent
REFERENCE = json.loads((HERE / "ood_reference.json").read_text(encoding="utf-8"))


def script() -> ModuleType:
    path = HERE.parents[1] / "scripts" / "make_ood_reference.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def predictions() -> tuple[Predictions, Predictions]:
    """What is asked for, and the reference; features and logits as the script makes them."""
    given = {name: torch.tensor(values) for name, values in script().drawn().items()}
    parts = []
    for name in ("asked", "known"):
        features = given[name].float()
        logits = features @ given["weight"].float().T + given["bias"].float()
        labels = given["labels"] if name == "known" else None
        parts.append(Predictions(logits[None], labels, features_MBD=features[None]))
    return parts[0], parts[1]


@pytest.mark.parametrize("name", REFERENCE)
def test_it_is_the_same(name: str) -> None:
    asked, known = predictions()
    ours = uncertainty(asked, name, reference=known)
    if name == "mahalanobis":  # half the distance there, and the covariance is a sum over samples in place of a mean
        ours = ours / (2 * len(known))
    # Inverses and eigenvectors in float32 there: the condition of the covariance, some hundreds, multiplies rounding.
    close(ours, REFERENCE[name], depth=4 if "logit" in name or name == "energy" else 500, dtype=torch.float32)

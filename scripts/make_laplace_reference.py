"""Writes tests/engine/laplace_reference.json: what laplace-torch 0.3 says of a last layer.

pip install laplace-torch==0.3 && python scripts/make_laplace_reference.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, TensorDataset

OUTPUT = Path(__file__).parents[1] / "tests" / "engine" / "laplace_reference.json"


def main() -> None:
    import laplace

    torch.manual_seed(0)
    features, labels = torch.randn(12, 3), torch.randint(4, (12,))
    head = torch.nn.Linear(3, 4)
    model = torch.nn.Sequential(torch.nn.Identity(), head)
    found: Any = laplace.Laplace(model, "classification", subset_of_weights="all", hessian_structure="full")
    found.fit(DataLoader(TensorDataset(features, labels), batch_size=12))
    grid = torch.logspace(-4, 4, 4001)
    best = max(grid, key=lambda delta: float(found.log_marginal_likelihood(prior_precision=delta[None])))
    told = {
        "features": features,
        "weight": head.weight.detach(),
        "bias": head.bias.detach(),
        "hessian": found.H,
        "best_precision": best,
    }
    OUTPUT.write_text(json.dumps({name: value.tolist() for name, value in told.items()}) + "\n")


if __name__ == "__main__":
    main()

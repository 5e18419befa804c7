"""Write tests/uncertainties/ood_reference.json: what pytorch-ood makes of small, fixed logits and features.

python -m venv oracles && oracles/bin/pip install "pytorch-ood==0.4.*"
oracles/bin/python scripts/make_ood_reference.py
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

PAGE = Path(__file__).parents[1] / "tests" / "uncertainties" / "ood_reference.json"
TRAIN, ASKED, WIDTH, CLASSES, NEIGHBOURS, PRINCIPAL = 90, 12, 6, 3, 50, 3


def drawn() -> dict[str, np.ndarray]:
    """Features around a centre of each class, a linear head, and samples to ask for, half of them from elsewhere."""
    rng = np.random.default_rng(7)
    labels = np.arange(TRAIN) % CLASSES
    centres = 2 * rng.normal(size=(CLASSES, WIDTH))
    mixing = rng.normal(size=(WIDTH, WIDTH)) / 2
    known = centres[labels] + rng.normal(size=(TRAIN, WIDTH)) @ mixing
    asked = np.concatenate([known[: ASKED // 2] + 0.1, 3 * rng.normal(size=(ASKED // 2, WIDTH))])
    weight, bias = rng.normal(size=(CLASSES, WIDTH)), rng.normal(size=CLASSES)
    return {"labels": labels, "known": known, "asked": asked, "weight": weight, "bias": bias}


def main() -> None:
    import torch
    from pytorch_ood.detector import KNN, EnergyBased, Mahalanobis, MaxLogit, ViM

    given = {name: torch.tensor(values) for name, values in drawn().items()}
    known, asked, labels = given["known"].float(), given["asked"].float(), given["labels"]
    logits = asked @ given["weight"].float().T + given["bias"].float()
    model = torch.nn.Identity()
    found = {
        "energy": EnergyBased.score(logits),
        "max_logit": MaxLogit.score(logits),
        "knn": KNN(model, k=NEIGHBOURS).fit_features(known, labels).predict_features(asked),
        "mahalanobis": Mahalanobis(model).fit_features(known, labels).predict_features(asked),
    }
    vim = ViM(model, d=PRINCIPAL, w=given["weight"].float(), b=given["bias"].float())
    found["vim"] = vim.fit_features(known, labels).predict_features(asked)
    written = {name: torch.as_tensor(values).double().tolist() for name, values in found.items()}
    PAGE.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

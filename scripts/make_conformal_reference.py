"""Write tests/analysis/conformal_reference.json: what MAPIE and crepes make of small, fixed predictions.

python -m venv oracles && oracles/bin/pip install "mapie==1.6.*" "crepes==0.9.*"
oracles/bin/python scripts/make_conformal_reference.py
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from crepes import ConformalClassifier
from crepes.extras import hinge
from mapie.classification import SplitConformalClassifier
from mapie.conformity_scores import APSConformityScore, LACConformityScore, TopKConformityScore
from sklearn.base import BaseEstimator, ClassifierMixin

PAGE = Path(__file__).parents[1] / "tests" / "analysis" / "conformal_reference.json"
SEED, ROWS, TEST, CLASSES, COVERAGE = 3, 60, 25, 4, 0.8


class Given(ClassifierMixin, BaseEstimator):
    """A classifier whose inputs are the probabilities themselves."""

    def fit(self, x: np.ndarray, y: np.ndarray) -> Given:
        self.classes_ = np.arange(CLASSES)
        return self

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        return x

    def predict(self, x: np.ndarray) -> np.ndarray:
        return x.argmax(1)

    def __sklearn_is_fitted__(self) -> bool:
        return True


def drawn() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities of validation rows with labels, and of test rows; rounded, so that a text holds them."""
    rng = np.random.default_rng(SEED)
    logits = 1.5 * rng.normal(size=(ROWS + TEST, CLASSES))
    probs = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = np.array([rng.choice(CLASSES, p=row) for row in probs])
    return probs[:ROWS], labels[:ROWS], probs[ROWS:]


def mapie(score: object, **params: object) -> list[list[bool]]:
    validation, labels, test = drawn()
    model = Given().fit(validation, labels)
    fitted = SplitConformalClassifier(model, COVERAGE, score, prefit=True, random_state=SEED)
    fitted.conformalize(validation, labels)
    return fitted.predict_set(test, conformity_score_params=params)[1][:, :, 0].tolist()


def crepes(per_class: bool) -> tuple[list[list[float]], list[list[bool]]]:
    validation, labels, test = drawn()
    fitted = ConformalClassifier()
    fitted.fit(hinge(validation, np.arange(CLASSES), labels), bins=labels if per_class else None)
    alphas, p_values = hinge(test), np.empty((TEST, CLASSES))
    for c in range(CLASSES):
        bins = np.full(TEST, c) if per_class else None
        p_values[:, c] = fitted.predict_p(alphas[:, c : c + 1], bins=bins, smoothing=False)[:, 0]
    return p_values.tolist(), (p_values > 1 - COVERAGE + 1e-12).tolist()


def main() -> None:
    validation, labels, test = drawn()
    plain, per_class = crepes(False), crepes(True)
    reference = {
        "made by": "scripts/make_conformal_reference.py with MAPIE 1.6.0 and crepes 0.9.1",
        "coverage": COVERAGE,
        "validation": validation.tolist(),
        "labels": labels.tolist(),
        "test": test.tolist(),
        # MAPIE draws these from its random state, once for validation and anew from the seed for the test rows.
        "uniform_validation": np.random.RandomState(SEED).uniform(size=ROWS).tolist(),
        "uniform_test": np.random.RandomState(SEED).uniform(size=TEST).tolist(),
        "mapie lac": mapie(LACConformityScore()),
        "mapie top-k": mapie(TopKConformityScore()),
        "mapie aps": mapie(APSConformityScore(), include_last_label="randomized"),
        "crepes p-values": plain[0],
        "crepes sets": plain[1],
        "crepes p-values per class": per_class[0],
        "crepes sets per class": per_class[1],
    }
    PAGE.write_text(json.dumps(reference) + "\n")


if __name__ == "__main__":
    main()

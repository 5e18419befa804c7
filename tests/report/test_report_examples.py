"""The listed predictions are the ones that a sort of all of them finds."""

from __future__ import annotations

import pytest
from noisy_predictions import predictions

from lora_ensemble.predictions import Predictions
from lora_ensemble.report.examples import most_confidently_wrong, most_uncertain


def test_most_uncertain():
    p = predictions()
    order = sorted(range(len(p)), key=lambda b: -float(p.total_B[b]))[:5]
    found = most_uncertain(p, 5)
    assert [e.id for e in found] == [f"sample-{b}" for b in order]
    for e, b in zip(found, order, strict=True):
        predicted = int(p.mean_probs_BC[b].argmax())
        assert e.predicted == p.meta["classes"][predicted]
        assert e.label == p.meta["classes"][int(p.labels_B[b])]
        assert e.confidence == pytest.approx(float(p.mean_probs_BC[b, predicted]))
        assert e.agreeing == sum(int(logits.argmax()) == predicted for logits in p.logits_MBC[:, b])
        assert (e.total, e.epistemic) == (float(p.total_B[b]), float(p.epistemic_B[b]))


def test_most_confidently_wrong():
    p = predictions()
    found = most_confidently_wrong(p, 1000)
    wrong = int((p.mean_probs_BC.argmax(-1) != p.labels_B).sum())
    assert len(found) == wrong > 0
    assert all(e.label != e.predicted for e in found)
    assert [e.confidence for e in found] == sorted((e.confidence for e in found), reverse=True)


def test_without_ids_labels_and_class_names():
    p = Predictions([[[0.0, 3.0], [0.1, 0.0]]])
    assert most_confidently_wrong(p, 3) == ()
    assert [(e.id, e.label, e.predicted) for e in most_uncertain(p, 3)] == [("1", None, "0"), ("0", None, "1")]

"""Calibrated beside raw, classes, the review queue and the slider: what is fitted on validation, and what is shown."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import sklearn.metrics
from noisy_predictions import predictions, run

from lora_ensemble.analysis import calibrate, evaluate
from lora_ensemble.predictions import Predictions
from lora_ensemble.report import Results, report, summarise
from lora_ensemble.report.classes import classes_of
from lora_ensemble.report.examples import Preview, most_disputed
from lora_ensemble.report.page import rendered
from lora_ensemble.report.sections import classes, reliability, review, risk_coverage
from lora_ensemble.report.sections.classes import confusion_matrix


def validation(members: int = 3) -> Predictions:
    p = predictions(members, 200, seed=5)
    return replace(p, ids=[f"validation-{b}" for b in range(200)], meta={**p.meta, "split": "validation"})


@pytest.fixture(scope="module")
def trusted() -> Results:
    """Two seeds with a calibration, and a method without."""
    with_validation = [
        summarise(predictions(seed=s), "lora", seed=s, validation=validation(), intervals=False) for s in (0, 1)
    ]
    return Results("Trusted", (*with_validation, run("single", 1, intervals=False)))


def test_calibrated_scores_are_those_of_the_calibrated_predictions(trusted):
    calibrated = trusted.runs[0].calibrated
    expected = evaluate(calibrate(validation(), "temperature")(predictions()), intervals=False)
    assert dict(calibrated.scores) == pytest.approx(dict(expected), nan_ok=True)
    assert calibrated.name == "temperature"
    assert trusted.runs[2].calibrated is None


def test_calibrated_stand_beside_raw(trusted):
    section = reliability.section(trusted)
    content = rendered(section)
    assert re.findall(r'aria-label="Reliability diagram of ([^"]*?), ECE', content) == [
        "lora", "lora, calibrated: temperature", "single",
    ]  # fmt: skip
    nll = [r.calibrated.scores["nll"] for r in trusted.methods["lora"]]
    assert f"{np.mean(nll):.3f} ± {np.std(nll, ddof=1):.3f}" in content
    assert "calibrated: temperature" in content
    assert "validation split" in section.reading


def test_what_cannot_be_calibrated_is_said():
    test = replace(validation(), meta={"split": "test"})
    result = summarise(predictions(), "lora", validation=test, intervals=False)
    assert result.calibrated is result.promises is None
    assert len(result.notes) == 2
    assert "Not calibrated: these are predictions of the test split" in report(Results("T", (result,)))


def test_round_trip_of_what_is_new(trusted, tmp_path):
    p = predictions()
    shown = summarise(p, "shown", examples=2, intervals=False, previews=lambda ids: {ids[0]: Preview(text="a <b>")})
    results = replace(trusted, runs=(*trusted.runs, shown))
    results.save(tmp_path / "a.json")
    again = Results.load(tmp_path / "a.json")
    again.save(tmp_path / "b.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert report(again) == report(results)
    assert again.runs[0].calibrated.scores["nll"] == trusted.runs[0].calibrated.scores["nll"]


def test_results_of_an_earlier_version_are_read(trusted, tmp_path):
    trusted.save(tmp_path / "a.json")
    data = json.loads((tmp_path / "a.json").read_text())
    del data["digest"]
    for one in data["runs"]:
        for name in ("classes", "calibrated", "promises", "notes", "disputed"):
            del one[name]
    (tmp_path / "old.json").write_text(json.dumps(data))
    again = Results.load(tmp_path / "old.json")
    assert again.runs[0].calibrated is None
    assert "Selective prediction" in report(again)


def test_confusion_and_classes_are_those_of_scikit_learn():
    p = predictions(samples=200)
    found = classes_of(p)
    label_B, predicted_B = p.labels_B.numpy(), p.mean_probs_BC.argmax(-1).numpy()
    assert (found.counts_CC == sklearn.metrics.confusion_matrix(label_B, predicted_B)).all()
    assert found.total_C[1] == pytest.approx(float(p.total_B[p.labels_B == 1].mean()), rel=1e-4)
    content = rendered(classes.section(Results("T", (summarise(p, "lora", intervals=False),))))
    precision, recall, f1, _ = sklearn.metrics.precision_recall_fscore_support(label_B, predicted_B)
    for c, name in enumerate(found.names):
        (row,) = re.findall(rf'<tr><td class="text">{name}</td>(<td>.*?)</tr>', content)
        numbers = re.findall("<td>(.*?)</td>", row)
        assert numbers[:4] == [str((label_B == c).sum()), f"{recall[c]:.3f}", f"{precision[c]:.3f}", f"{f1[c]:.3f}"]
    assert classes_of(predictions(labels=False)) is None


def test_a_class_without_samples_has_no_mean():
    found = classes_of(Predictions(np.array([[[2.0, 0.0, 0.0], [0.0, 1.0, 0.0]]]), [0, 1]))
    assert found.total_C[2] is None
    assert found.names == ("0", "1", "2")


def test_confusion_matrix_draws_what_there_is():
    (axes,) = confusion_matrix(np.array([[8, 2], [0, 5]]), ["ant", "bee"], title="lora").axes
    assert [text.get_text() for text in axes.texts] == ["8", "2", "5"]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["ant", "bee"]
    alphas = [patch.get_alpha() for patch in axes.patches]
    assert alphas == pytest.approx([0.08 + 0.62 * share for share in (0.8, 0.2, 1.0)])


def test_many_classes_are_not_drawn_and_the_worst_are_listed():
    p = Predictions(np.eye(60)[None] * 5, [*range(30), *([0] * 30)])
    content = rendered(classes.section(Results("T", (summarise(p, "lora", intervals=False),))))
    assert "<svg" not in content
    assert len(re.findall("<tr>", content)) == 1 + 12 + 1 + 28 + 1 + 12  # worst, folded, mix-ups
    assert "<summary>28 more classes</summary>" in content


def test_the_queue_shows_samples():
    p = predictions()
    asked = []

    def previews(ids):
        asked.extend(ids)
        return {name: Preview(text=f"text of {name}", image="data:image/png;base64,aa") for name in ids}

    one = summarise(p, "lora", examples=3, intervals=False, previews=previews)
    content = rendered(review.section(Results("T", (one,))))
    assert len(asked) == len(set(asked)) <= 9
    assert [e.id for e in one.disputed] == [p.ids[b] for b in p.epistemic_B.argsort(descending=True)[:3]]
    for example in (*one.disputed, *one.wrong):
        assert f"<blockquote>text of {example.id}</blockquote><h4>{example.id}</h4>" in content
    assert content.count('<img src="data:image/png;base64,aa"') == 9
    assert most_disputed(predictions(members=1), 3) == ()


def test_the_slider_holds_the_risk_at_every_share(comparison):
    section = risk_coverage.section(comparison)
    slider = section.parts[0]
    curves = [run.curves.risk for run in comparison.methods["single"]]
    for value, table in zip(slider.values, slider.tables, strict=True):
        share = int(value.removesuffix(" %"))
        risks = [100 * risk[share - 1] for risk in curves]
        assert table.cells[1][1].text == f"{np.mean(risks):.2f} ± {np.std(risks, ddof=1):.2f} %"
    assert slider.values[slider.start] == "90 %"
    assert slider.values[-1] == "100 %"
    assert list(slider.mark.left) == sorted(slider.mark.left)
    content = rendered(section)
    assert content.count("<tbody") == len(slider.values)
    assert content.count(" hidden>") == len(slider.values) - 1

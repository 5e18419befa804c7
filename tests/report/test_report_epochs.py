"""The sections on epochs, detection and studies, and their figures."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from noisy_predictions import predictions

from lora_ensemble.analysis import Study, epochs_curve, evaluate, roc
from lora_ensemble.report import Results, summarise
from lora_ensemble.report.curves import EDGES, FALSE_ALARMS, curves_of
from lora_ensemble.report.page import rendered
from lora_ensemble.report.sections import detection, epochs, joint, members, study
from lora_ensemble.report.sections.detection import roc_curves
from lora_ensemble.report.sections.epochs import epoch_curves
from lora_ensemble.report.sections.joint import joint_histogram
from lora_ensemble.report.sections.study import study_curve
from lora_ensemble.report.style import DASHES, SERIES


def followed(method: str, seed: int, sets: tuple[str, ...] = ("noise",), number: int = 3):
    """A run of three members with its epochs."""
    outside = {name: {e: predictions(3, 40, seed + 50 + e, labels=False) for e in range(number)} for name in sets}
    inside = {e: predictions(3, seed=seed + e) for e in range(number)}
    last = {name: parts[number - 1] for name, parts in outside.items()}
    curve = epochs_curve(inside, outside)
    return summarise(inside[number - 1], method, ood=last, seed=seed, intervals=False, epochs=curve)


def spoken(content: str) -> list[str]:
    return re.findall(r'aria-label="([^"]*)"', content)


@pytest.fixture(scope="module")
def results() -> Results:
    return Results("Followed", tuple(followed(method, seed) for method in ("a", "b") for seed in (0, 7)))


def test_epochs_of_every_score(results, tmp_path):
    section = epochs.section(results)
    assert section.title == "Over epochs"
    assert spoken(rendered(section)) == [
        f"{name} by epoch"
        for name in (
            "accuracy", "NLL", "ECE, 15 bins", "entropy (total)", "expected entropy (aleatoric)",
            "mutual information (epistemic)", "AUROC, largest probability", "AUROC, entropy",
            "AUROC, mutual information",
        )
    ]  # fmt: skip
    results.save(tmp_path / "a.json")
    again = Results.load(tmp_path / "a.json")
    assert epochs.section(again) == section
    assert again.runs[0].epochs.epochs == (0, 1, 2)


def test_without_ood_and_without_labels_there_are_fewer():
    p = predictions(1, labels=False)
    section = epochs.section(Results("Bare", (summarise(p, "a", intervals=False, epochs=epochs_curve({0: p, 1: p})),)))
    assert len(spoken(rendered(section))) == 3
    assert epochs.section(Results("None", (summarise(p, "a", intervals=False),))) is None


def test_epoch_lines_are_means_over_seeds_in_the_colour_of_their_method():
    curves = {
        "ensemble": {"a": ((0, 1, 2), [[0.1, 0.5, 0.9], [0.3, 0.7, 0.9]]), "b": ((0, 2), [0.2, 0.4])},
        "one member": {"a": ((0, 1, 2), [0.1, 0.2, 0.3])},
    }
    (axes,) = epoch_curves(curves, title="accuracy").axes
    first, second, member = axes.lines
    assert list(first.get_ydata()) == pytest.approx([0.2, 0.6, 0.9])
    assert list(second.get_xdata()) == [0, 2]
    assert [line.get_color() for line in (first, second, member)] == [SERIES[0], SERIES[1], SERIES[0]]
    assert first.get_linestyle() == DASHES[0] != member.get_linestyle()
    assert [t.get_text() for t in axes.get_legend().get_texts()] == ["ensemble", "one member"]
    assert axes.get_xticks().tolist() == [0, 1, 2]
    (alone,) = epoch_curves({"": {"a": ((0,), [0.1])}}).axes
    assert alone.get_legend() is None


def test_detection_shows_each_uncertainty_and_the_joint_distribution(results):
    section = detection.section(results)
    said = spoken(rendered(section))
    areas = [run.scores["auroc_entropy"] for run in results.methods["a"]]
    assert said[0].startswith("ROC curves by entropy against noise: a AUROC ")
    assert f"{np.mean(areas):.3f} ± {np.std(areas, ddof=1):.3f}" in said[0]
    assert len(said) == 3
    together = joint.section(results)
    assert together.title == "Entropy and mutual information together"
    assert spoken(rendered(together)) == [f"Entropy and mutual information of {method}, noise" for method in "ab"]


def test_detection_of_two_sets_and_one_member():
    p, ood = predictions(1), predictions(1, 30, 5)
    one = summarise(p, "single", ood={"near": p, "far": ood}, intervals=False)
    section = detection.section(Results("Two", (one,)))
    assert re.findall("<h3>(.*?)</h3>", rendered(section)) == ["near", "far"]
    assert len(spoken(rendered(section))) == 4  # entropy and largest probability of each set
    assert "mutual information" not in rendered(section)
    assert detection.section(Results("None", (summarise(p, "single", intervals=False),))) is None


def test_curves_hold_the_roc_and_every_sample():
    p, ood = predictions(), predictions(3, 40, 9, labels=False)
    curves = curves_of(p, {"noise": ood})
    expected = roc(p, ood, "mutual_information").true_positive_at(torch.tensor(FALSE_ALARMS, dtype=torch.float64))
    assert curves.roc["mutual_information"]["noise"] == pytest.approx(expected.tolist(), rel=1e-3)
    cells = curves.joint.inside
    assert sum(n for _, _, n in cells) == 60
    i, j, n = cells[len(cells) // 2]
    inside = [(EDGES[k] < u) & (u <= EDGES[k + 1]) for k, u in ((i, p.total_B), (j, p.epistemic_B))]
    assert int((inside[0] & inside[1]).sum()) == n
    assert sum(n for _, _, n in curves.joint.outside["noise"]) == 40
    assert curves_of(predictions(1), {}).joint is None


def test_roc_lines_rise_from_the_origin():
    (axes,) = roc_curves([0, 0.5, 1], {"a": [[0.2, 0.8, 1], [0.4, 1, 1]]}, labels={"a": "AUROC 0.8"}).axes
    _, line = axes.lines
    assert list(line.get_xdata()) == [0, 0, 50, 100]
    assert list(line.get_ydata()) == pytest.approx([0, 30, 90, 100])
    assert [t.get_text() for t in axes.get_legend().get_texts()] == ["AUROC 0.8"]


def test_joint_cells_and_circles():
    inside, outside = np.zeros((3, 3)), np.zeros((3, 3))
    inside[0, 0], inside[1, 0], outside[2, 2], outside[2, 1] = 8, 2, 9, 1
    (axes,) = joint_histogram([0.01, 0.1, 1, 10], inside, outside, title="a", sets=("known", "noise")).axes
    strong, *_, rings = sorted(axes.collections, key=lambda c: -(c.get_alpha() or 0))
    box = strong.get_paths()[0].get_extents()
    assert (box.x0, box.x1, box.y0, box.y1) == pytest.approx((-2, -1, -2, -1))
    widths = sorted(path.get_extents().width for path in rings.get_paths())
    assert widths[1] / widths[0] == pytest.approx(3)  # the area is the share
    assert [t.get_text() for t in axes.get_legend().get_texts()] == ["known", "noise"]
    assert [t.get_text() for t in axes.get_xticklabels()] == ["0.01", "0.1", "1", "10"]


def test_members_section_has_uncertainties_and_detection(results):
    said = spoken(rendered(members.section(results)))
    assert "mutual information (epistemic) by number of members" in said
    assert "AUROC, entropy, noise by number of members" in said


def test_study_of_a_number_and_of_a_word(results, tmp_path):
    numbers = replace(results, study=Study("method.r", {"a": 8, "b": 4}))
    section = study.section(numbers)
    assert section.title == "Effect of r"
    assert spoken(rendered(section))[:2] == ["accuracy by method.r", "NLL by method.r"]
    rows = re.findall(r'<tr><td class="text">(.*?)</td>', rendered(section))
    assert rows == ["4", "8"]
    words = replace(results, study=Study("method.init_a", {"a": "xavier", "b": "<kaiming>"}))
    content = rendered(study.section(words))
    assert spoken(content) == []
    assert "&lt;kaiming&gt;" in content
    assert study.section(results) is None
    numbers.save(tmp_path / "a.json")
    assert study.section(Results.load(tmp_path / "a.json")) == section


def test_study_dots_are_seeds_and_the_line_their_mean():
    (axes,) = study_curve(["0", "0.1"], [[0.5, 0.7], [0.4]], title="NLL", field="method.lora_l2").axes
    line, *dots = axes.lines
    assert list(line.get_ydata()) == pytest.approx([0.6, 0.4])
    assert [list(d.get_ydata()) for d in dots] == [[0.5, 0.7], [0.4]]
    assert [t.get_text() for t in axes.get_xticklabels()] == ["0", "0.1"]


def test_a_single_network_has_no_mutual_information_to_detect_by():
    p, ood = predictions(1), predictions(1, 30, 5)
    scores = evaluate(p, ood, intervals=False)
    assert np.isnan(scores["auroc_mutual_information"])
    assert "| auroc_mutual_information ↑ | - | - |" in scores.to_markdown()
    several = evaluate(predictions(), predictions(3, 30, 5), intervals=False)
    assert np.isnan(several.member_mean("auroc_mutual_information"))
    assert several["auroc_mutual_information"] > 0

"""Figures show the numbers that they were given."""

from __future__ import annotations

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.text import Text
from noisy_predictions import predictions

from lora_ensemble.analysis import reliability
from lora_ensemble.report.sections.cost import cost_bars
from lora_ensemble.report.sections.disagreement import disagreement_matrix
from lora_ensemble.report.sections.members import members_curves
from lora_ensemble.report.sections.reliability import reliability_diagram
from lora_ensemble.report.sections.risk_coverage import risk_coverage_curves
from lora_ensemble.report.sections.uncertainty import uncertainty_histogram
from lora_ensemble.report.style import SERIES, colours, power, shortened


def texts(axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def titles(axes) -> tuple[str, str]:
    return axes.get_title("left"), axes.get_title("right")


def test_reliability_bars_are_the_bins():
    bins = reliability(predictions())
    figure = reliability_diagram(bins.confidence_K, bins.accuracy_K, bins.count_K, title="lora")
    top, bottom = figure.axes
    filled = bins.count_K.numpy() > 0
    accuracy, missing = top.containers
    assert [bar.get_height() for bar in accuracy] == pytest.approx(bins.accuracy_K.numpy()[filled])
    centres = (np.arange(15) + 0.5) / 15
    assert [bar.get_x() + bar.get_width() / 2 for bar in accuracy] == pytest.approx(centres[filled])
    ends = [bar.get_y() + bar.get_height() for bar in missing]
    assert ends == pytest.approx(np.fmax(bins.accuracy_K.numpy(), bins.confidence_K.numpy())[filled])
    assert [bar.get_height() for bar in bottom.containers[0]] == bins.count_K.tolist()
    assert titles(top) == ("lora", f"ECE {bins.ece:.3f}")


@pytest.mark.parametrize("name", ["lora", "deep ensemble of ten members, r = 16", "W" * 60])
def test_a_heading_stays_clear_of_its_remark(name):
    (axes, _) = reliability_diagram([0.5], [0.5], [10], title=name, ece="0.030 ± 0.005").axes
    FigureCanvasAgg(axes.figure)
    left, right = (
        next(t for t in axes.get_children() if isinstance(t, Text) and t.get_text() == words).get_window_extent()
        for words in titles(axes)
    )
    assert left.x1 < right.x0
    assert left.x0 == pytest.approx(axes.get_window_extent().x0)
    assert titles(axes)[0][0] == name[0]
    assert titles(axes)[0][-1] == name[-1]


def test_reliability_bins_that_hold_everything():
    figure = reliability_diagram([np.nan, 1.0], [np.nan, 1.0], [0, 100_000])
    assert figure.axes[1].get_ylim()[1] == 100_000
    assert titles(figure.axes[0]) == ("", "ECE 0.000")


def test_histogram_shows_shares_of_each_set():
    figure = uncertainty_histogram(
        [0.01, 0.1, 1.0], [3, 1], {"letters": [0, 5], "noise": [0, 0]}, title="lora", remark="AUROC 0.9", top=120
    )
    (axes,) = figure.axes
    inside, letters, noise = [patch.get_data() for patch in axes.patches]
    assert list(inside.values) == [75, 25]
    assert list(letters.values) == [0, 100]
    assert list(noise.values) == [0, 0]
    assert list(inside.edges) == [0.01, 0.1, 1.0]
    assert axes.get_ylim() == (0, 120)
    assert titles(axes) == ("lora", "AUROC 0.9")
    assert [t.get_text() for t in axes.get_legend().get_texts()] == ["in distribution", "letters", "noise"]


def test_risk_coverage_shows_mean_and_range_over_seeds():
    risks = {"lora": [[0.0, 0.1], [0.2, 0.3]], "single": [0.1, 0.4]}
    (axes,) = risk_coverage_curves([0.5, 1.0], risks, labels={"lora": "lora, AURC 0.123"}).axes
    lora, single = axes.lines
    assert list(lora.get_xdata()) == [50, 100]
    assert list(lora.get_ydata()) == pytest.approx([10, 20])
    assert list(single.get_ydata()) == pytest.approx([10, 40])
    (band,) = axes.collections
    extents = band.get_paths()[0].get_extents()
    assert (extents.ymin, extents.ymax) == pytest.approx((0, 30))
    assert [t.get_text() for t in axes.get_legend().get_texts()] == ["lora, AURC 0.123", "single"]


def test_cost_bars_are_means_and_say_so():
    (axes,) = cost_bars({"lora": [1.0, 3.0], "deep": [8.0], "free": [0.0]}, title="time", form="{:.1f} s".format).axes
    assert [bar.get_width() for bar in axes.containers[0]] == [2.0, 8.0, 0.0]
    assert texts(axes) == ["2.0 s", "8.0 s", "0.0 s"]
    (whisker,) = axes.collections
    assert whisker.get_segments()[0][:, 0].tolist() == [1.0, 3.0]


def test_long_names_keep_their_bars_and_their_room():
    (axes,) = cost_bars({f"digits-lora method.r={r} and so on, the same" * 3: 1.0 * r for r in (4, 8)}).axes
    assert [bar.get_y() for bar in axes.containers[0]] == sorted({bar.get_y() for bar in axes.containers[0]})
    assert axes.get_position().width > 0.4
    assert [len(label.get_text()) for label in axes.get_yticklabels()] == [18, 18]


def test_cost_of_nothing():
    (axes,) = cost_bars({"free": 0.0}).axes
    assert axes.get_xlim()[1] > 0


def test_members_curves_are_means_over_seeds():
    curves = {"lora": ((1, 2, 4), [[0.7, 0.8, 0.9], [0.5, 0.6, 0.7]]), "single": ((1,), [[0.4]])}
    (axes,) = members_curves(curves, title="accuracy").axes
    lora, single = axes.lines
    assert list(lora.get_xdata()) == [1, 2, 4]
    assert list(lora.get_ydata()) == pytest.approx([0.6, 0.7, 0.8])
    assert list(single.get_ydata()) == [0.4]
    assert len(axes.get_legend().get_texts()) == 2
    assert members_curves(curves, legend=False).axes[0].get_legend() is None


@pytest.mark.parametrize("most", [1, 2, 7, 16, 100])
def test_members_axis_names_both_ends(most):
    ticks = members_curves({"lora": ((1, most), [[0.5, 0.6]])}).axes[0].get_xticks().tolist()
    assert ticks[0] == 1
    assert ticks[-1] == most
    assert len(ticks) <= 11


def test_disagreement_shows_each_pair_once():
    matrix = np.array([[0, 0.1, 0.2], [0.1, 0, 0.4], [0.2, 0.4, 0]])
    (axes,) = disagreement_matrix(matrix, title="lora").axes
    assert texts(axes) == ["10.0", "20.0", "40.0"]
    assert titles(axes) == ("lora", "mean 23.3 %")
    shades = [patch.get_alpha() for patch in axes.patches]
    assert shades == sorted(shades)
    assert len(set(shades)) == 3


def test_disagreement_of_many_members_has_no_numbers():
    (axes,) = disagreement_matrix(np.zeros((12, 12))).axes
    assert len(axes.patches) == 66
    assert texts(axes) == []


def test_a_method_keeps_its_colour():
    colour = colours(["lora", "deep"])
    (risk,) = risk_coverage_curves([1.0], {"deep": [0.1], "lora": [0.2]}, colour=colour).axes
    (cost,) = cost_bars({"deep": 1.0, "lora": 2.0}, colour=colour).axes
    assert [line.get_color() for line in risk.lines] == [SERIES[1], SERIES[0]]
    assert [to_hex(bar.get_facecolor()) for bar in cost.containers[0]] == [SERIES[1], SERIES[0]]


def test_figures_leave_the_settings_of_matplotlib_alone(monkeypatch):
    monkeypatch.setitem(matplotlib.rcParams, "font.size", 31.0)
    before = dict(matplotlib.rcParams)
    (axes,) = cost_bars({"$not math_{": 1.0}, title="time").axes
    assert dict(matplotlib.rcParams) == before
    assert axes.title.get_fontsize() < 31


@pytest.mark.parametrize("most", [2, 3, 9, 10, 11, 12])
def test_shortened_keeps_both_ends(most):
    short = shortened("lora r=1234", most)
    assert len(short) == min(most, 11)
    assert short[0] == "l"
    assert "…" in short or short == "lora r=1234"
    assert most < 3 or short[-1] == "4"


def test_more_methods_than_colours():
    assert len(colours([str(i) for i in range(20)])) == 20


@pytest.mark.parametrize(
    ("x", "text"), [(1e-6, "10⁻⁶"), (0.001, "10⁻³"), (0.01, "0.01"), (1, "1"), (10, "10"), (100, "10²"), (1e10, "10¹⁰")]
)
def test_power(x, text):
    assert power(x) == text

"""Figures as inline SVG."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from lora_ensemble.report.sections.cost import cost_bars
from lora_ensemble.report.sections.reliability import reliability_diagram
from lora_ensemble.report.style import INK, MUTED, RULE, SERIES
from lora_ensemble.report.svg import inline_svg


def diagram(title: str = "lora"):
    return reliability_diagram([0.2, 0.7], [0.1, 0.8], [10, 20], title=title)


def parsed(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(str(svg).replace("<svg ", '<svg xmlns:xlink="x" ', 1))


def test_names_are_escaped_and_stay_text():
    svg = inline_svg(diagram("<script>&</script> 模型"), "a", 'of "<lora>"')
    assert "<script" not in svg
    root = parsed(svg)
    assert r"\x1b[31m" in inline_svg(diagram("\x1b[31m"), "a", "\x1b[31m")
    assert "<script>&</script> 模型" in [t.text for t in root.iter("text")]
    assert root.get("aria-label") == 'of "<lora>"'


def test_every_reference_has_its_own_target():
    svgs = [inline_svg(diagram(), key, "") for key in ("a", "b")]
    ids = [set(re.findall(r' id="([^"]*)"', svg)) for svg in svgs]
    for svg, own in zip(svgs, ids, strict=True):
        assert own == set(re.findall(r'(?:url\(|href=")#([^)"]+)', svg))
        assert own
    assert not ids[0] & ids[1]


def test_colours_follow_the_page():
    svg = inline_svg(cost_bars({"lora": 1.0, "deep": 2.0}), "a", "")
    assert not re.search(r"#[0-9a-f]{6}", svg)
    assert "fill: var(--series-0)" in svg
    assert "fill: var(--series-1)" in svg
    assert len({INK, MUTED, RULE, *SERIES}) == 3 + len(SERIES)


def test_numbers_in_texts_keep_their_digits():
    svg = inline_svg(cost_bars({"lora": 1.0}, form=lambda v: "0.123456"), "a", "")
    assert "0.123456" in [t.text for t in parsed(svg).iter("text")]


def test_bars_have_the_heights_of_the_bins():
    """The drawn rectangles, in units of the axes' height, after the digits that nobody sees are gone."""
    root = parsed(inline_svg(diagram(), "a", ""))
    bars = [p.get("d") for p in root.iter("path") if p.get("style") == "fill: var(--series-0)"]
    heights = [max(ys) - min(ys) for ys in ([float(y) for y in re.findall(r"[ML] \S+ (\S+)", d or "")] for d in bars)]
    assert abs(heights[0] / heights[1] - 0.1 / 0.8) < 0.005


def test_the_same_figure_gives_the_same_text():
    assert inline_svg(diagram(), "a", "") == inline_svg(diagram(), "a", "")

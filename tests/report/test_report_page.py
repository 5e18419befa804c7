"""The page: what it says, that it stands alone, and that it is well formed."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from noisy_predictions import predictions, run

from lora_ensemble.errors import UserError
from lora_ensemble.report import Results, report, sections, summarise, write_report
from lora_ensemble.report.page import rendered
from lora_ensemble.report.sections import found, reliability, review, uncertainty
from lora_ensemble.report.style import SERIES
from lora_ensemble.report.svg import VARIABLES

_VOID = {"meta", "br", "img", "input"}


class Page(HTMLParser):
    """Tags with their attributes, the text, and whether every tag is closed in order."""

    def __init__(self, text: str):
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.headings: list[str] = []
        self.words = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.words += data + "\n"
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)


EVERYTHING = [
    "Scores", "Calibration", "Classes", "Uncertainty", "Out of distribution", "Entropy and mutual information together",
    "Selective prediction", "Review queue", "Cost", "Members", "Disagreement of members",
]  # fmt: skip


def test_comparison_shows_every_part_and_number(compared, comparison):
    page = Page(compared)
    assert page.headings == [heading for heading in EVERYTHING if heading != "Review queue"]
    assert "What it shows." in page.words
    table = comparison.table()
    for name in ("accuracy", "nll", "ece_15", "auroc_entropy"):
        assert f"{table.mean['lora'][name]:.3f} ± {table.std['lora'][name]:.3f}" in page.words
    aurc = comparison.table(("aurc",))
    assert f"lora, AURC {aurc.mean['lora']['aurc']:.4f} ± {aurc.std['lora']['aurc']:.4f}" in page.words
    assert f"ECE {table.mean['single']['ece_15']:.3f} ± {table.std['single']['ece_15']:.3f}" in page.words
    assert "2 seeds of each method" in page.words
    assert "4.10 k" in page.words
    assert r"\begin{tabular}" in page.words


def test_page_loads_nothing(compared):
    page = Page(compared)
    assert not re.search(r"https?://|@import|<script[^>]|<link|<img|<iframe", compared)
    assert compared.count("<script>") == 1  # our own, which the policy names by its digest
    script = re.search("<script>(.*?)</script>", compared, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert "default-src 'none'" in compared
    assert f"script-src 'sha256-{digest}'" in compared
    for _, name, value in page.attributes:
        if name in ("href", "xlink:href", "src"):
            assert value.startswith("#")
        assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", value))


def test_ids_are_unique_and_references_end_somewhere(compared):
    page = Page(compared)
    ids = [value for _, name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:url\(|href=")#([^)"]+)', compared)) == set(ids)


def test_every_colour_is_defined_for_light_and_dark(compared):
    for variable in (*VARIABLES.values(), "--tint"):
        assert compared.count(f"{variable}: #") == 2, variable
    for i, colour in enumerate(SERIES):
        assert f"--series-{i}: {colour}" in compared
        assert f".s{i}::before" in compared
    used = set(re.findall(r"var\((--[a-z0-9-]+)\)", compared))
    assert used <= {*VARIABLES.values(), "--tint", "--sans", "--width"}


def test_names_are_escaped():
    evil = "<script>alert('1')</script> & \"$x_"
    p = predictions(members=2, samples=20)
    one = summarise(p, evil, ood={evil: p}, examples=2, intervals=False)
    text = report(Results(evil, (one,), evil, {evil: evil}))
    assert text.count("<script") == 1
    assert Page(text).words.count(evil) >= 8


def test_a_single_run_shows_intervals_and_examples():
    results = Results("One run", (run("lora", examples=4),))
    page = Page(report(results))
    assert page.headings == EVERYTHING
    low, high = results.runs[0].scores.interval("nll")
    assert f"{low:.3f} to {high:.3f}" in page.words
    assert "±" not in page.words
    for example in (*results.runs[0].wrong, *results.runs[0].uncertain):
        assert example.id in page.words
        assert f"{100 * example.confidence:.1f} %" in page.words


def test_examples_of_several_methods_are_folded():
    runs = [run(method, seed=seed, examples=2, intervals=False) for method in ("a & b", "c") for seed in (0, 1)]
    section = review.section(Results("Two", tuple(runs)))
    assert re.findall(r"<summary>(.*?)</summary>", rendered(section)) == ["a &amp; b", "c"]
    assert rendered(section).count("<table>") == 6
    assert section.reading.endswith("its first run.")


def test_one_member_without_ood_cost_and_examples():
    page = Page(report(Results("Bare", (summarise(predictions(members=1), "single"),))))
    assert page.headings == ["Scores", "Calibration", "Classes", "Uncertainty", "Selective prediction"]
    assert "AUROC" not in page.words


def test_without_labels():
    page = Page(report(Results("Bare", (summarise(predictions(labels=False), "lora", examples=2),))))
    assert page.headings == ["Scores", "Uncertainty", "Review queue", "Disagreement of members"]


def test_two_ood_sets():
    p = predictions()
    result = summarise(p, "lora", ood={"near": p, "far": predictions(seed=3)}, intervals=False)
    section = uncertainty.section(Results("Two sets", (result,)))
    for name in ("near", "far"):
        assert f">{name}, AUROC {result.scores[f'auroc_entropy[{name}]']:.3f}<" in rendered(section)


def test_methods_with_and_without_labels():
    """A method that has nothing for a figure is missing there, and keeps its colour elsewhere."""
    results = Results(
        "Mixed",
        (
            summarise(predictions(labels=False), "blind", intervals=False),
            summarise(predictions(), "lora", intervals=False),
        ),
    )
    content = rendered(reliability.section(results))
    assert "Reliability diagram of lora" in content
    assert "Reliability diagram of blind" not in content
    assert "var(--series-1)" in content
    assert "var(--series-0)" not in content


def test_write_report(tmp_path):
    results = Results("Bare", (summarise(predictions(members=1, labels=False), "single"),))
    write_report(tmp_path / "new" / "report.html", results)
    assert (tmp_path / "new" / "report.html").read_text(encoding="utf-8") == report(results)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write"):
        write_report(tmp_path / "file" / "report.html", results)


def test_names_with_escapes_act_on_no_terminal():
    evil = "\x1b[31mred\x07\u202e"
    p = predictions(members=2, samples=20)
    text = report(Results(evil, (summarise(p, evil, ood={evil: p}, examples=2, intervals=False),), evil, {evil: evil}))
    assert all(sign.isprintable() or sign in "\n\u00a0" for sign in text)
    assert text.count(r"\x1b[31mred\x07\u202e") >= 8


def test_a_section_is_one_file_found_by_its_name():
    places = [module.ORDER for module in found()]
    assert places == sorted(set(places))
    files = {path.stem for path in Path(sections.__file__).parent.glob("*.py")} - {"__init__"}
    assert {module.__name__.rpartition(".")[2] for module in found()} == files


@pytest.mark.parametrize("text", ['{"members": 4}', "<!DOCTYPE html><html><p>mine</p></html>", "\x00\xff"])
def test_a_report_replaces_nothing_but_a_report(tmp_path, text):
    results = Results("Bare", (summarise(predictions(members=1, labels=False), "single"),))
    path = tmp_path / "run.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(UserError, match="already there, and is no report"):
        write_report(path, results)
    assert path.read_text(encoding="latin-1") == text
    with pytest.raises(UserError, match="is a folder"):
        write_report(tmp_path, results)
    path.write_text("")
    write_report(path, results)
    write_report(path, results)  # a report may be replaced


def test_a_report_of_an_earlier_version_may_be_replaced(tmp_path):
    head = '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">\n<meta name="viewport" content="width=...">'
    (tmp_path / "report.html").write_text(head)
    write_report(tmp_path / "report.html", Results("Bare", (summarise(predictions(1, labels=False), "single"),)))

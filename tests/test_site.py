"""The documentation's site: every page has its place, it builds strictly, links lead somewhere, nothing is loaded from
elsewhere."""

from __future__ import annotations

import functools
import http.server
import importlib.util
import os
import re
import threading
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import browser

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def builder():
    spec = importlib.util.spec_from_file_location("build_site", ROOT / "scripts" / "build_site.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def site(builder, tmp_path_factory) -> Path:
    pytest.importorskip("zensical", reason="zensical is not installed: pip install 'lora-ensemble[docs]'")
    folder = tmp_path_factory.mktemp("site") / "site"
    (ROOT / "build").mkdir(exist_ok=True)
    builder.build(folder)
    return folder


def test_every_page_has_its_place(builder):
    config = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    there = sorted([*(page.name for page in (ROOT / "docs").glob("*.md")), *builder.ALSO.values()])
    named = re.findall(r": ([\w-]+\.md)$", config, re.M)
    assert set(named) <= set(there)
    full = builder.placed(config, [*there, "how-to-new.md", "news.md"])
    placed = re.findall(r"^ +- (?:.*: )?([\w-]+\.md)$", full, re.M)
    assert sorted(placed) == sorted([*there, "how-to-new.md", "news.md"])
    how_to = full[full.index("  - How to:") : full.index("  - Choose:")]
    assert "      - how-to-new.md\n" in how_to
    assert "news.md" not in how_to


def test_links_lead_somewhere(builder, site):
    assert len(list(site.rglob("*.html"))) > 20
    assert list(builder.broken(site)) == []


def test_a_link_that_leads_nowhere_is_found(builder, tmp_path):
    (tmp_path / "one.html").write_text("<a href='two.html'>x</a><a href='#here'>y</a><p id='there'>")
    (tmp_path / "three.html").write_text(
        "<a href='one.html#there'>x</a><script src='https://cdn.example/x.js'></script>"
    )
    assert list(builder.broken(tmp_path)) == [
        "one.html: two.html leads nowhere",
        "one.html: #here: no such place in the page",
        "three.html: loads https://cdn.example/x.js",
    ]


@pytest.mark.skipif(browser.executable() is None, reason=f"no browser: {', '.join(browser.NAMES)}")
@pytest.mark.parametrize(("width", "dark"), [(1200, False), (1200, True), (390, False)])
def test_pages_load_nothing_from_elsewhere(site, width, dark):
    handler = functools.partial(Quiet, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        host = f"127.0.0.1:{server.server_port}"
        with browser.opened() as page:
            page.look(width, 900, dark)
            for name in ("", "concepts/", "how-to-demo/"):
                page.open(f"http://{host}/{name}")
                page.wait(f"location.pathname === '/{name}' && document.readyState === 'complete'")
                assert page.run("document.documentElement.scrollWidth <= innerWidth"), "scrolls sideways"
                if folder := os.environ.get("LORA_ENSEMBLE_PICTURES"):
                    shade = "dark" if dark else "light"
                    page.picture(Path(folder) / f"site-{name.strip('/') or 'index'}-{width}-{shade}.png")
            assert {urlsplit(u).netloc for u in page.requests if urlsplit(u).scheme.startswith("http")} == {host}
        server.shutdown()


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Says nothing of its requests."""

    def log_message(self, *args: object) -> None:
        pass

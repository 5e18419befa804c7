"""Build the documentation's site strictly, and check that every link in it leads somewhere: `make docs`.

python scripts/build_site.py [--site FOLDER]
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "build" / "site-pages"
REPOSITORY = "https://github.com/lora-ensemble/lora-ensemble/blob/main/"
ALSO = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
"""Pages of the site that are not in docs/."""

LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)(#[^)\s]*)?\)")


def gather(into: Path) -> None:
    """docs/ and the pages of ALSO, with links that fit their new places."""
    shutil.rmtree(into, ignore_errors=True)
    shutil.copytree(ROOT / "docs", into)
    for name, page in ALSO.items():
        shutil.copy(ROOT / name, into / page)
    for page in into.glob("*.md"):
        home = ROOT if page.name in ALSO.values() else ROOT / "docs"
        text = page.read_text(encoding="utf-8")
        page.write_text(LINK.sub(lambda m, home=home: f"]({_target(home, m[1])}{m[2] or ''})", text), encoding="utf-8")


def _target(home: Path, link: str) -> str:
    """A link of a page that lies in `home`, as it is in the site; to the repository where the site has no such page."""
    path = (home / link).resolve()
    if path.is_relative_to(ROOT / "docs"):
        return path.relative_to(ROOT / "docs").as_posix()
    inside = path.relative_to(ROOT).as_posix()
    return ALSO.get(inside, REPOSITORY + inside)


def build(site: Path) -> None:
    """Raises SystemExit where a page, a link or the configuration is not right."""
    config, built = ROOT / "build" / "mkdocs.yml", ROOT / "build" / "site"
    gather(PAGES)
    text = placed((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), sorted(page.name for page in PAGES.glob("*.md")))
    config.write_text(text.replace("docs_dir: build/site-pages", f"docs_dir: {PAGES.name}"), encoding="utf-8")
    command = [sys.executable, "-m", "zensical", "build", "--clean", "--strict", "--config-file", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    shutil.rmtree(site, ignore_errors=True)
    shutil.copytree(built, site)


def placed(config: str, pages: list[str]) -> str:
    """The configuration, with every page in its navigation: those that it does not name, under their titles, as the
    last of "How to" (`how-to-*.md`) or of "Reference"."""
    for page in pages:
        if re.search(rf": {re.escape(page)}$", config, re.M):
            continue
        section = "How to" if page.startswith("how-to-") else "Reference"
        config = re.sub(rf"(  - {section}:\n(?:      - .*\n)+)", rf"\g<1>      - {page}\n", config)
    return config


class Links(HTMLParser):
    """What a page of HTML refers to, and the places in it."""

    def __init__(self, page: Path):
        super().__init__()
        self.links: list[str] = []
        self.fetched: list[str] = []
        """What a browser loads by itself."""
        self.places: set[str] = set()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value for name, value in attrs if value}
        if "id" in found:
            self.places.add(str(found["id"]))
        target = found.get("href") or found.get("src")
        if target is None:
            return
        self.links.append(target)
        if tag in ("script", "img", "iframe") or (tag == "link" and "stylesheet" in str(found.get("rel"))):
            self.fetched.append(target)


def broken(site: Path) -> Iterator[str]:
    """Links to no page or to no place in a page, and what is loaded from elsewhere."""
    pages = {page: Links(page) for page in sorted(site.rglob("*.html"))}
    for page, found in pages.items():
        if page.name == "404.html":  # its links are from the root of a server
            continue
        name = page.relative_to(site)
        yield from (f"{name}: loads {link}" for link in found.fetched if urlsplit(link).netloc)
        for link in found.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            target = target / "index.html" if target.is_dir() else target
            if not target.is_file():
                yield f"{name}: {link} leads nowhere"
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].places:
                yield f"{name}: {link}: no such place in the page"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--site", type=Path, default=ROOT / "site")
    site = parser.parse_args().site.resolve()
    (ROOT / "build").mkdir(exist_ok=True)
    build(site)
    if found := sorted(set(broken(site))):
        raise SystemExit("\n".join(found))
    print(f"{site / 'index.html'}: {len(list(site.rglob('*.html')))} pages, every link leads somewhere")


if __name__ == "__main__":
    main()

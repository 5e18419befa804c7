"""The house: imports point one way, plug-ins are light, files and functions are small."""

from __future__ import annotations

import ast
import functools
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "lora_ensemble"

BASE = {
    "_checks", "_files", "audio.cache", "audio.decoding", "audio.filterbanks", "audio.masking", "contracts", "errors",
    "folders", "interop.peft", "interop.torchvision", "predictions", "randomness", "registry",
}  # fmt: skip
"""With the package `engine`, what methods, backbones and data sets may build on; it builds on itself alone."""

PLUGINS = {"methods", "backbones", "datasets", "metrics"}
TOP = {"cli", "commands", "quickstart", "quickstart_summary", "__main__"}

HEAVY = {
    "datasets", "matplotlib", "peft", "pandas", "scipy", "sklearn", "soundfile", "soxr", "timm", "torch", "torchvision",
    "transformers",
}  # fmt: skip
"""Packages whose import takes long."""


def modules() -> dict[str, Path]:
    """Every module of ours by its name without `lora_ensemble.`."""
    names = {}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


def imported(path: Path, at_import_only: bool = False) -> set[str]:
    """Full names that a file imports, except for type checkers; also inside functions, unless asked not to."""
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if at_import_only and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            return
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute here"
            found.update({str(node.module)} | {f"{node.module}.{alias.name}" for alias in node.names})
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text()))
    return found


@functools.cache
def ours(name: str, at_import_only: bool = False) -> frozenset[str]:
    """Our own modules that one of them imports."""
    known = modules()
    short = {n.removeprefix("lora_ensemble.") for n in imported(known[name], at_import_only) if "lora_ensemble" in n}
    return frozenset(short & known.keys() - {""})


def package(name: str) -> str:
    return name.split(".")[0]


def floor(name: str) -> int:
    """0 the engine, 1 plug-ins, 2 what uses them (training, runs, analysis, report, recipes), 3 the command line."""
    if name in BASE or package(name) == "engine":
        return 0
    return 1 if package(name) in PLUGINS else 3 if package(name) in TOP else 2


def test_imports_point_one_way() -> None:
    up = [f"{name} -> {other}" for name in modules() if name for other in ours(name) if floor(other) > floor(name)]
    assert up == []


def test_kinds_of_plugins_never_import_each_other() -> None:
    across = [
        f"{name} -> {other}"
        for name in modules()
        for other in (ours(name) if package(name) in PLUGINS else ())
        if package(other) in PLUGINS - {package(name)}
    ]
    assert across == []


def test_metrics_import_nothing_of_ours() -> None:
    assert {name: found for name in modules() if package(name) == "metrics" and (found := ours(name))} == {}


def test_analysis_and_report_never_load_a_model() -> None:
    """Predictions are stored before anything is computed from them."""
    may = {"analysis", "report", "metrics", "predictions", "registry", "errors", "fields", "_files", "_checks"}
    beyond = [
        f"{name} -> {other}"
        for name in modules()
        if package(name) in ("analysis", "report")
        for other in ours(name)
        if package(other) not in may
    ]
    assert beyond == []
    assert not any(package(other) == "report" for n in modules() if package(n) == "analysis" for other in ours(n))


def test_the_base_is_there() -> None:
    assert modules().keys() >= BASE


def at_import(name: str, seen: set[str] | None = None) -> Iterator[str]:
    """Everything that importing a module of ours imports, from elsewhere, too."""
    seen = set() if seen is None else seen
    if name in seen:
        return
    seen.add(name)
    yield from imported(modules()[name], at_import_only=True)
    parents = [".".join(name.split(".")[:i]) for i in range(1, name.count(".") + 1)]
    for other in [*ours(name, at_import_only=True), *parents]:
        yield from at_import(other, seen)


LIGHT = [
    name
    for name in modules()
    if package(name) in ("methods", "backbones", "datasets", "recipes", "cli", "contracts")
    and not name.rpartition(".")[2].startswith("_")  # what plug-ins import inside their functions
]


@pytest.mark.parametrize("name", LIGHT)
def test_listing_and_help_import_nothing_heavy(name: str) -> None:
    heavy = {other for other in at_import(name) if other.split(".")[0] in HEAVY}
    assert heavy == set()


def python_files() -> list[Path]:
    folders = ("src", "tests", "benchmarks", "scripts")
    return [p for folder in folders for p in sorted((ROOT / folder).rglob("*.py"))]


def test_files_are_small() -> None:
    lines = {p: len(p.read_text().splitlines()) for p in python_files()}
    assert {str(p.relative_to(ROOT)): n for p, n in lines.items() if n > 400} == {}
    assert statistics.median(n for p, n in lines.items() if SOURCE in p.parents) <= 150


def test_functions_are_small() -> None:
    long = []
    for path in python_files():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                if node.end_lineno - node.lineno + 1 > 60:
                    long.append(f"{path.relative_to(ROOT)}: {node.name}")
    assert long == []


def test_no_vague_names() -> None:
    vague = {"utils", "util", "helpers", "helper", "misc", "common", "cfg", "net"}
    assert [p for p in python_files() if p.stem.strip("_") in vague] == []

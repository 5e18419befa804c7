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

FLOORS = (
    {"errors", "printable", "randomness"},
    {"disk", "fields"},
    {"contracts", "registry", "fitted", "launching"},
    {"predictions"},
    {"recalibration"},
    {"engine"},
    {"sources", "conversions"},
    {"images", "audio", "questions", "text"},
    PLUGINS := {"methods", "backbones", "datasets", "metrics", "calibrations", "uncertainties", "shifts", "launchers"},
    {"training", "inference", "batches", "devices", "saved"},
    {"experiment", "analysis"},
    {"answers", "report", "published", "sklearn"},
    {"runs"},
    {"interop", "recipes", "studies", "demo", "distillation"},
    {"cli", "__main__"},
)
"""The rooms, from the ground up. Imports point down, or stay in a room."""

UPWARDS = {
    ("engine.ensemble", "saved"): "Ensemble.from_pretrained is a public name, and a manifest may name any plug-in",
    ("engine.lora", "interop.peft"): "LoraEnsemble.from_peft is a public name, and reads a foreign format",
}
"""The imports that point up, each inside one function, and why. Two at most."""

HEAVY = {
    "datasets", "matplotlib", "peft", "pandas", "ray", "scipy", "sklearn", "soundfile", "soxr", "submitit", "timm",
    "torch", "torchvision", "transformers",
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
    """Our own modules that one of them imports. `from room import module` is an import of the module, not of what the
    room's face gathers."""
    known = modules()
    full = imported(known[name], at_import_only)
    short = {n.removeprefix("lora_ensemble.") for n in full if n.startswith("lora_ensemble")} & known.keys()
    faces = {n for n in short if any(other.startswith(f"{n}.") for other in short) and not _names_of_face(name, n)}
    return frozenset(short - faces - {""})


def _names_of_face(name: str, room: str) -> bool:
    """Whether a module takes more from a room than its modules."""
    known = modules()
    return any(
        isinstance(node, ast.ImportFrom)
        and node.module == f"lora_ensemble.{room}"
        and any(f"{room}.{alias.name}" not in known for alias in node.names)
        for node in ast.walk(ast.parse(known[name].read_text()))
    )


def package(name: str) -> str:
    return name.split(".")[0]


FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}


def test_every_room_has_its_floor() -> None:
    assert {package(name) for name in modules() if name} - FLOOR.keys() == set()


def test_imports_point_one_way() -> None:
    up = [
        f"{name} -> {other}"
        for name in modules()
        if name
        for other in ours(name)
        if FLOOR[package(other)] > FLOOR[package(name)] and (name, other) not in UPWARDS
    ]
    assert up == []
    assert len(UPWARDS) <= 2
    assert all(other in ours(name) - ours(name, at_import_only=True) for name, other in UPWARDS)


def test_no_circle_of_imports() -> None:
    """Also none through a function, and none between the modules of a room; except for UPWARDS."""
    assert [" -> ".join(circle) for circle in circles()] == []


def circles() -> list[list[str]]:
    """Every strongly connected part with more than one module, by Tarjan's algorithm."""
    found: list[list[str]] = []
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for other in ours(name):
            if (name, other) in UPWARDS:
                continue
            if other not in index:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], index[other])
        if low[name] == index[name]:
            part = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(part) > 1:
                found.append(part)

    for name in modules():
        if name and name not in index:
            visit(name)
    return found


def test_kinds_of_plugins_never_import_each_other() -> None:
    across = [
        f"{name} -> {other}"
        for name in modules()
        for other in (ours(name) if package(name) in PLUGINS else ())
        if package(other) in PLUGINS - {package(name)}
    ]
    assert across == []


def test_metrics_and_uncertainties_import_nothing_of_ours() -> None:
    pure = [name for name in modules() if package(name) in ("metrics", "uncertainties")]
    assert {name: found for name in pure if (found := ours(name) - {"contracts"})} == {}


def test_analysis_and_report_never_load_a_model() -> None:
    """Predictions are stored before anything is computed from them."""
    may = {
        "analysis",
        "report",
        "metrics",
        "calibrations",
        "recalibration",
        "predictions",
        "registry",
        "fitted",
        "errors",
        "fields",
        "disk",
        "printable",
    }
    beyond = [
        f"{name} -> {other}"
        for name in modules()
        if package(name) in ("analysis", "report")
        for other in ours(name)
        if package(other) not in may
    ]
    assert beyond == []
    assert not any(package(other) == "report" for n in modules() if package(n) == "analysis" for other in ours(n))


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
    if package(name)
    in ("methods", "backbones", "datasets", "calibrations", "shifts", "launchers", "recipes", "cli", "contracts")
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
    most = {p: 350 if SOURCE in p.parents else 400 for p in lines}
    assert {str(p.relative_to(ROOT)): n for p, n in lines.items() if n > most[p]} == {}
    assert statistics.median(n for p, n in lines.items() if SOURCE in p.parents) <= 100


def test_functions_are_small() -> None:
    long = []
    for path in python_files():
        most = 50 if SOURCE in path.parents else 60
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                if node.end_lineno - node.lineno + 1 > most:
                    long.append(f"{path.relative_to(ROOT)}: {node.name}")
    assert long == []


def test_no_vague_names() -> None:
    vague = {"utils", "util", "helpers", "helper", "misc", "common", "cfg", "net"}
    assert [p for p in python_files() if p.stem.strip("_") in vague] == []

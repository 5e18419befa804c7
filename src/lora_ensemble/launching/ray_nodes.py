"""Every node of a Ray cluster is asked, before anything runs, for the package and for the folders."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lora_ensemble.disk.files import atomic_write_text
from lora_ensemble.errors import UserError, first_line
from lora_ensemble.launching.parcel import version
from lora_ensemble.launching.work import Work

SECONDS = 120.0
"""In which a node must answer."""


def check_nodes(work: Work, resources: Mapping[str, float]) -> None:
    """Raises UserError, naming node and reason, for nodes without the package or with another version of it, for
    folders that they do not see, and where no node is large enough for a task."""
    import ray

    nodes = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call, unused-ignore]
    _check_size(nodes, resources)
    token = secrets.token_hex(8)
    work.folder.mkdir(parents=True, exist_ok=True)
    mark = work.folder.resolve() / f".{token}.shared"
    atomic_write_text(mark, token)
    try:
        reads = [str(path.resolve()) for path in work.reads]
        found = _asked(nodes, [str(Path.cwd()), *reads], str(mark))
    finally:
        mark.unlink(missing_ok=True)
    wrong = {name: problem for name, said in found.items() if (problem := _problem(said, work, token))}
    if problems := [f"node {name}: {problem}" for name, problem in wrong.items()]:
        raise UserError("; ".join(problems))


def _check_size(nodes: list[dict[str, Any]], resources: Mapping[str, float]) -> None:
    names = {"num_cpus": "CPU", "num_gpus": "GPU", "memory": "memory"}
    asked = {names[name]: amount for name, amount in resources.items() if amount}
    if not any(all(node["Resources"].get(n, 0) >= a for n, a in asked.items()) for node in nodes):
        wanted = ", ".join(f"{amount:g} {name}" for name, amount in asked.items())
        there = "; ".join(", ".join(f"{node['Resources'].get(n, 0):g} {n}" for n in asked) for node in nodes)
        raise UserError(f"a run asks for {wanted}, and no node has that: there are {there or 'no nodes'}")


def _asked(nodes: list[dict[str, Any]], paths: list[str], mark: str) -> dict[str, dict[str, Any]]:
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    ask = ray.remote(num_cpus=0, max_retries=0)(_probe())
    here = [NodeAffinitySchedulingStrategy(node["NodeID"], soft=False) for node in nodes]
    answers = [ask.options(scheduling_strategy=there).remote(paths, mark) for there in here]
    found = {}
    for node, answer in zip(nodes, answers, strict=True):
        name = f"{node['NodeManagerHostname']} ({node['NodeID'][:8]})"
        try:
            found[name] = ray.get(answer, timeout=SECONDS)
        except ray.exceptions.RayError as error:
            found[name] = {"failed": first_line(error)}
    return found


def _probe() -> Callable[[list[str], str], dict[str, Any]]:
    """A function inside a function travels by value: it runs also where this package is not installed."""

    def probe(paths: list[str], mark: str) -> dict[str, Any]:
        import os

        try:
            from lora_ensemble import __version__ as found
        except Exception as error:
            return {"failed": f"lora_ensemble cannot be imported ({type(error).__name__}: {error})"}
        try:
            with open(mark, encoding="utf-8") as file:
                token = file.read()
        except OSError:
            token = ""
        return {"version": found, "token": token, "missing": [path for path in paths if not os.path.exists(path)]}

    return probe


def _problem(said: Mapping[str, Any], work: Work, token: str) -> str | None:
    if "failed" in said:
        return str(said["failed"])
    if said["version"] != version():
        return f"lora-ensemble {said['version']} is installed, {version()} here"
    if said["token"] != token:
        return f"does not see the folder {work.folder.resolve()}; give one on storage that all nodes share"
    if said["missing"]:
        return f"does not see {', '.join(said['missing'])}; put it on storage that all nodes share"
    return None

"""A Ray cluster: a task for each run, and a run whose worker or node died goes on elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lora_ensemble.contracts import Launcher

if TYPE_CHECKING:
    from lora_ensemble.launching.work import Work


@dataclass(frozen=True)
class Ray(Launcher):
    """Ray Core tasks. Run folders and data must be on storage that every node sees under the same path."""

    address: str | None = None
    """HOST:PORT of a cluster of which this machine is a node, or auto for the one that runs here. Default: a cluster of
    this machine alone, for as long as the command takes."""
    cpus: float = 1
    """CPUs of each run; it computes with so many threads."""
    gpus: float = 0
    """GPUs of each run, or a share of one."""
    memory_gb: float | None = None
    """Memory that each run is to find free on its node, in gigabytes."""
    retries: int = 5
    """How often a run may lose its worker or node; it goes on from its last checkpoint each time."""

    def problems(self) -> list[str]:
        least = {"cpus": 0.01, "gpus": 0.0, "memory_gb": 0.01, "retries": 0}
        given = {name: getattr(self, name) for name in least}
        return [f"{n} = {v}: must be at least {least[n]:g}" for n, v in given.items() if v is not None and v < least[n]]

    def resources(self) -> dict[str, float]:
        """What a run asks of a node, as Ray's options say it."""
        memory = {} if self.memory_gb is None else {"memory": self.memory_gb * 2**30}
        return {"num_cpus": self.cpus, "num_gpus": self.gpus, **memory}

    def launch(self, work: Work) -> Iterator[tuple[int, bool, Any]]:
        from lora_ensemble.launching.ray_cluster import connected
        from lora_ensemble.launching.ray_nodes import check_nodes
        from lora_ensemble.launching.ray_tasks import follow

        with connected(self.address):
            check_nodes(work, self.resources())
            yield from follow(work, self.resources(), self.retries)

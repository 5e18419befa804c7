"""A SLURM cluster: array jobs through submitit, followed, and submitted again after time-outs and pre-emption."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from lora_ensemble.contracts import Launcher

if TYPE_CHECKING:
    from lora_ensemble.launching.work import Work


@dataclass(frozen=True)
class Slurm(Launcher):
    """Given on a login node, in a folder that the compute nodes see. A job that is about to end saves what it has."""

    partition: str | None = None
    """Where the jobs go; the cluster's default if none."""
    account: str | None = None
    """Who is charged."""
    qos: str | None = None
    """Quality of service."""
    minutes: int = 60
    """Time limit of each job; 90 seconds before it the run saves what it has, and goes on in another job."""
    cpus: int = 1
    """CPUs of each run; it computes with so many threads."""
    gpus: int = 0
    """GPUs of each run."""
    memory_gb: float | None = None
    """Memory of each run, in gigabytes; the cluster's default if none."""
    retries: int = 10
    """How often a run may lose its job; it goes on from its last checkpoint each time."""
    dry_run: bool = False
    """Print the script of the array job, and do nothing."""
    executor: Literal["slurm", "local"] = "slurm"
    """local: submitit's processes on this machine in place of jobs, to try a command out."""

    def problems(self) -> list[str]:
        least = {"minutes": 1, "cpus": 1, "gpus": 0, "memory_gb": 0.01, "retries": 0}
        given = {name: getattr(self, name) for name in least}
        return [f"{n} = {v}: must be at least {least[n]:g}" for n, v in given.items() if v is not None and v < least[n]]

    def parameters(self, workers: int | None) -> dict[str, Any]:
        """What a job asks for, by the names of sbatch. workers: jobs of an array at a time."""
        memory = {} if self.memory_gb is None else {"mem": f"{round(self.memory_gb * 1024)}MB"}
        places = {name: value for name in ("partition", "account", "qos") if (value := getattr(self, name)) is not None}
        gpus = {"gpus_per_node": self.gpus} if self.gpus else {}
        common = {"job_name": "lora-ensemble", "time": self.minutes, "cpus_per_task": self.cpus}
        return {**common, **places, **gpus, **memory, "array_parallelism": workers or 256}

    def launch(self, work: Work) -> Iterator[tuple[int, bool, Any]]:
        from lora_ensemble.launching.sbatch import script
        from lora_ensemble.launching.slurm_jobs import HOME, Jobs, follow

        if self.dry_run:
            print(script((work.folder / HOME).resolve(), self.parameters(work.workers), len(work.tasks)), end="")
            raise SystemExit(0)
        jobs = Jobs(work, self.parameters(work.workers), here=self.executor == "local")
        yield from follow(jobs, self.retries)

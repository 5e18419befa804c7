"""Jobs of submitit, followed to their end; what a job left unfinished goes on in another one."""

from __future__ import annotations

import importlib.util
import pickle
import secrets
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lora_ensemble.errors import UserError, first_line
from lora_ensemble.launching.parcel import Parcel
from lora_ensemble.launching.slurm_task import SlurmTask
from lora_ensemble.launching.work import Work

HOME = ".slurm"
"""Logs and pickles of the jobs, in the folder of the work."""
SECONDS = {True: 0.25, False: 5.0}
"""Between two looks at the jobs, on this machine and on a cluster."""


class Jobs:
    """Hands tasks over. Raises UserError where submitit or SLURM is missing, and for jobs that SLURM rejects."""

    def __init__(self, work: Work, parameters: Mapping[str, Any], here: bool):
        self.work, self.here, self.home = work, here, (work.folder / HOME).resolve()
        self.token = secrets.token_hex(4)  # commands of one folder may run at the same time
        self.threads = int(parameters["cpus_per_task"])
        if importlib.util.find_spec("submitit") is None:
            raise UserError("--on slurm needs the package submitit: pip install 'lora-ensemble[slurm]'")
        import submitit

        try:
            if here:
                self.executor: Any = submitit.LocalExecutor(self.home)
                self.executor.update_parameters(timeout_min=parameters["time"], signal_delay_s=30)
            else:
                self.executor = submitit.SlurmExecutor(self.home)
                self.executor.update_parameters(**parameters)
        except RuntimeError as error:
            hint = "give the command on a login node, or look at the script with --dry-run"
            raise UserError(f"--on slurm: {first_line(error)} {hint}") from error

    def submit(self, numbers: Sequence[int]) -> dict[int, Any]:
        """A job for each of some tasks, by their number; an array on a cluster."""
        from submitit.core import utils

        tasks = [SlurmTask(Parcel.of(self.work, n), self.said(n), self.threads) for n in numbers]
        try:
            with self.executor.batch():
                jobs = [self.executor.submit(task) for task in tasks]
        except (utils.FailedJobError, utils.FailedSubmissionError) as error:
            why = [line for line in str(error).splitlines() if "error" in line.lower()]
            raise UserError(f"SLURM rejects the jobs: {why[0] if why else first_line(error)}") from error
        return dict(zip(numbers, jobs, strict=True))

    def said(self, number: int) -> Path:
        """The file of what a task said last."""
        return self.home / f"said-{self.token}-{number}.pkl"


def follow(jobs: Jobs, retries: int) -> Iterator[tuple[int, bool, Any]]:
    """See `contracts.Launcher.launch`. Raises UserError for a task that lost more jobs than `retries`. What is left
    when nobody listens any more is cancelled."""
    count = len(jobs.work.tasks)
    waiting, running, lost = list(range(count)), dict[int, Any](), Counter[int]()
    heard: dict[int, int] = {}
    try:
        while waiting or running:
            room = (jobs.work.workers or count) - len(running) if jobs.here else count
            if batch := waiting[:room]:
                waiting = waiting[room:]
                running |= jobs.submit(batch)
            time.sleep(SECONDS[jobs.here])
            for number in [n for n in running if _news(jobs.said(n), n, heard)]:
                yield number, False, pickle.loads(jobs.said(number).read_bytes())
            for number in [n for n, job in running.items() if job.done()]:
                kind, value = _received(running.pop(number))
                if kind == "error":
                    raise value
                if kind == "done":
                    yield number, True, value
                else:
                    _lose(jobs.work.names[number], value, lost, number, retries)
                    waiting.append(number)
    finally:
        for job in running.values():
            job.cancel(check=False)
        for number in range(count):
            jobs.said(number).unlink(missing_ok=True)


def _news(path: Path, number: int, heard: dict[int, int]) -> bool:
    """Whether a file was written since the last look."""
    before = heard.get(number)
    heard[number] = path.stat().st_mtime_ns if path.is_file() else 0
    return heard[number] not in (before, 0)


def _received(job: Any) -> tuple[str, Any]:
    from submitit.core import utils

    try:
        kind, value = job.result()
    except utils.UncompletedJobError as error:
        return "stopped", f"its job ended ({first_line(error)})"
    except utils.FailedJobError as error:
        return "error", RuntimeError(f"in a job:\n{error}")
    return kind, value


def _lose(name: str, why: str, lost: Counter[int], number: int, retries: int) -> None:
    lost[number] += 1
    if lost[number] > retries:
        raise UserError(f"{name}: {why}; it lost {lost[number]} jobs, --retries is {retries}")
    warnings.warn(f"{name}: {why}; it goes on in another job", stacklevel=3)

"""Tasks on a Ray cluster, followed to their end; what a worker or node took with it is done again."""

from __future__ import annotations

import warnings
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from lora_ensemble.errors import UserError, first_line
from lora_ensemble.launching.outcome import Outcome, outcome
from lora_ensemble.launching.parcel import Parcel
from lora_ensemble.launching.work import Work

SECONDS = 0.25
"""Between two looks at what tasks have said."""


class Said:
    """What tasks said last, by their number; an actor on the node of the process that follows them."""

    def __init__(self) -> None:
        self.last: dict[int, Any] = {}

    def say(self, number: int, value: Any) -> None:
        self.last[number] = value

    def heard(self) -> dict[int, Any]:
        """Everything since the last call."""
        last, self.last = self.last, {}
        return last


def done(parcel: Parcel, number: int, threads: int, said: Any) -> Outcome:
    """Runs in a worker."""
    import torch

    torch.set_num_threads(threads)
    return outcome(lambda: parcel.do(lambda value: said.say.remote(number, value)))


def follow(work: Work, resources: Mapping[str, float], retries: int) -> Iterator[tuple[int, bool, Any]]:
    """Do all tasks; see `contracts.Launcher.launch`. Raises UserError for a task that lost more workers than
    `retries`."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    said: Any = ray.remote(Said).options(num_cpus=0, scheduling_strategy=here).remote()
    crew = _Crew(work, resources, retries, said)
    try:
        while crew.waiting or crew.running:
            crew.fill()
            ready, _ = ray.wait(list(crew.running), num_returns=1, timeout=SECONDS)
            for number, value in dict[int, Any](ray.get(said.heard.remote())).items():
                yield number, False, value
            for reference in ready:
                yield from crew.received(reference)
    finally:
        for reference in crew.running:
            ray.cancel(reference, force=True)
        ray.kill(said)


@dataclass
class _Crew:
    work: Work
    resources: Mapping[str, float]
    retries: int
    said: Any
    running: dict[Any, int] = field(default_factory=dict)
    """Number of the task by Ray's reference to its outcome."""
    lost: Counter[int] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        import ray

        self.waiting = deque(range(len(self.work.tasks)))
        self.call = ray.remote(done).options(max_retries=0, **self.resources)

    def fill(self) -> None:
        """Hand tasks over, as many at a time as are asked for; Ray itself waits for room on a node."""
        threads = max(1, int(self.resources["num_cpus"]))
        while self.waiting and len(self.running) < (self.work.workers or len(self.work.tasks)):
            number = self.waiting.popleft()
            reference = self.call.remote(Parcel.of(self.work, number), number, threads, self.said)
            self.running[reference] = number

    def received(self, reference: Any) -> Iterator[tuple[int, bool, Any]]:
        """The value of a task; one that lost its worker waits to be done again, before those that were not begun."""
        import ray

        number = self.running.pop(reference)
        try:
            kind, value = ray.get(reference)
        except ray.exceptions.RayTaskError:
            raise
        except ray.exceptions.RayError as error:
            kind, value = "stopped", f"its worker died ({first_line(error).split('. ')[0]})"
        if kind == "error":
            raise value
        if kind == "done":
            yield number, True, value
            return
        self.lost[number] += 1
        name = self.work.names[number]
        if self.lost[number] > self.retries:
            raise UserError(f"{name}: {value}; it lost {self.lost[number]} workers, --retries is {self.retries}")
        warnings.warn(f"{name}: {value}; it goes on from its last checkpoint", stacklevel=2)
        self.waiting.appendleft(number)

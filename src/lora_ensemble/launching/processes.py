"""Independent tasks in a few processes of few threads each: with small networks faster than many threads in one."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from lora_ensemble.launching.outcome import portable
from lora_ensemble.launching.work import Say


def in_processes(
    function: Callable[[Any, Say], Any], tasks: Sequence[Any], workers: int, threads: int = 1
) -> Iterator[tuple[int, bool, Any]]:
    """Call `function(task, say)` for every task, in `workers` processes of `threads` threads; yields (number of the
    task, done, value) as things happen: done is False for what a task says, True for what it returns.

    An exception of a task is raised here, after its traceback; the other processes end with this one. Function, tasks
    and values must survive pickling.
    """
    context = multiprocessing.get_context("spawn")
    waiting, news = context.Queue(), context.Queue()
    for number, task in enumerate(tasks):
        waiting.put((number, task))
    crew = [
        context.Process(target=_work, args=(function, waiting, news), daemon=True)
        for _ in range(min(workers, len(tasks)))
    ]
    with _computing_with(threads):
        for process in crew:
            process.start()
    try:
        left = len(tasks)
        while left:
            number, kind, value = _next(news, crew)
            if kind == "error":
                raise value
            left -= kind == "done"
            yield number, kind == "done", value
    finally:
        for process in crew:
            process.terminate()


@contextmanager
def _computing_with(threads: int) -> Iterator[None]:
    """Processes that are started inside the block compute with so many threads."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = str(threads)
    try:
        yield
    finally:
        os.environ.pop("OMP_NUM_THREADS")
        if before is not None:
            os.environ["OMP_NUM_THREADS"] = before


def _next(news: Any, crew: Sequence[Any]) -> tuple[int, str, Any]:
    """The next message; RuntimeError when a process died without one (killed for memory, say)."""
    while True:
        try:
            message: tuple[int, str, Any] = news.get(timeout=1.0)
            return message
        except queue.Empty:
            codes = [process.exitcode for process in crew if process.exitcode]
            if codes:
                raise RuntimeError(f"a worker process ended with exit code {codes[0]}") from None


def _work(function: Callable[[Any, Say], Any], waiting: Any, news: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends this process
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        try:
            number, task = waiting.get(timeout=1.0)
        except queue.Empty:
            return
        try:
            value = function(task, partial(_say, news, number))
        except Exception as error:
            news.put((number, "error", portable(error)))
            return
        news.put((number, "done", value))


def _end_with_parent() -> None:
    """A parent that is killed cannot end its processes; without it their results would be lost."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _say(news: Any, number: int, value: Any) -> None:
    news.put((number, "said", value))

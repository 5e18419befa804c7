"""Tasks in processes: values, messages, mistakes, deaths, interruption."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from lora_ensemble import UserError
from lora_ensemble.errors import ConfigurationError
from lora_ensemble.launching.processes import in_processes


def square(task, say):
    say(f"squaring {task}")
    return task * task


def mistake(task, say):
    raise ConfigurationError(["first problem", "second problem"])


def bug(task, say):
    return 1 / task


def killed(task, say):
    os.kill(os.getpid(), signal.SIGKILL)


def test_values_and_messages_of_every_task():
    news = list(in_processes(square, [3, 4, 5], workers=2))
    assert {number: value for number, done, value in news if done} == {0: 9, 1: 16, 2: 25}
    said = [(number, value) for number, done, value in news if not done]
    assert sorted(said) == [(0, "squaring 3"), (1, "squaring 4"), (2, "squaring 5")]


def test_a_users_mistake_arrives_in_its_own_words():
    with pytest.raises(UserError, match=r"^first problem; second problem$"):
        list(in_processes(mistake, [1], workers=1))


def test_a_bug_arrives_with_its_traceback():
    with pytest.raises(RuntimeError, match=r"in bug\n(.*\n)+ZeroDivisionError: division by zero"):
        list(in_processes(bug, [0], workers=1))


def test_a_killed_process_is_noticed():
    with pytest.raises(RuntimeError, match=r"a worker process ended with exit code -9"):
        list(in_processes(killed, [1], workers=1))


PARENT = """
import os, sys, time
from lora_ensemble.launching.processes import in_processes

def waiting(task, say):
    say(os.getpid())
    time.sleep(600)

if __name__ == "__main__":
    for _, _, pid in in_processes(waiting, [0], 1):
        print(pid, flush=True)
"""


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_processes_end_with_a_parent_that_is_killed(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as parent:
        child = int(parent.stdout.readline())
        assert alive(child)
        parent.kill()
    deadline = time.monotonic() + 30
    while alive(child) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not alive(child)


def test_no_process_is_left_behind():
    import multiprocessing

    steps = in_processes(square, list(range(50)), workers=2)
    next(steps)
    steps.close()
    for process in multiprocessing.active_children():
        process.join(timeout=10)
    assert not multiprocessing.active_children()

"""A Ray cluster to work on: one that runs, or one of this machine alone."""

from __future__ import annotations

import importlib.util
import os
import re
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any

from lora_ensemble.errors import UserError, first_line

STORE = 2**27
"""Bytes of shared memory of a cluster of one's own: what tasks return is small, and Ray's default is not."""


@contextmanager
def connected(address: str | None) -> Iterator[None]:
    """Inside the block this process belongs to a cluster; where it already did, it still does afterwards.

    address: HOST:PORT, auto, or None for a cluster of this machine. Raises UserError where Ray is not installed, for an
    address that is none, and where no cluster answers."""
    if importlib.util.find_spec("ray") is None:
        raise UserError("--on ray needs the package ray: pip install 'lora-ensemble[ray]'")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # what Ray is about to do anyway; it warns
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    if ray.is_initialized():
        yield
        return
    _start(address)
    try:
        with redirect_stdout(sys.stderr):  # Ray prints what it has to say; the standard output is for results
            yield
    finally:
        ray.shutdown()


def _start(address: str | None) -> None:
    import ray

    given: dict[str, Any] = {"include_dashboard": False, "log_to_driver": False, "logging_level": "error"}
    if address is None:
        ray.init(address="local", object_store_memory=STORE, **given)
        return
    if address != "auto":
        _check_answers(address)
    try:
        ray.init(address=address, **given)
    except (ConnectionError, RuntimeError, ValueError) as error:
        hint = "`ray start --head` starts one; leave --address out for one of this machine alone"
        raise UserError(f"--address {address}: no Ray cluster answers there ({first_line(error)}); {hint}") from error


def _check_answers(address: str) -> None:
    """Ray itself would ask for a minute."""
    place = re.fullmatch(r"\[?([^\[\]/]+?)\]?:(\d+)", address)
    if place is None:
        why = " (a client outside the cluster cannot be followed)" if address.startswith("ray://") else ""
        raise UserError(f"--address {address}: expected HOST:PORT of a cluster's head node, or auto{why}")
    try:
        socket.create_connection((place[1], int(place[2])), timeout=10).close()
    except (OSError, OverflowError) as error:
        why = f"no Ray cluster answers there ({first_line(error)}); `ray start --head` starts one"
        raise UserError(f"--address {address}: {why}") from error

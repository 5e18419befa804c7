"""Run folders that may not be written to are evaluated; what may not be read is one line."""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from test_trust import finished  # noqa: F401  a fixture

from lora_ensemble.cli.program import main


@contextmanager
def without_privileges() -> Iterator[None]:
    """Inside, root is refused what anybody else is refused: two capabilities of this thread are given up meanwhile."""
    if os.geteuid() != 0:
        yield
        return
    if sys.platform != "linux":
        pytest.skip("root may do everything here")
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    held, fewer = (ctypes.c_uint32 * 6)(), (ctypes.c_uint32 * 6)()
    assert libc.capget(header, held) == 0
    fewer[:] = held[:]
    fewer[0] &= ~(1 << 1 | 1 << 2)  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    assert libc.capset(header, fewer) == 0
    try:
        yield
    finally:
        assert libc.capset(header, held) == 0


def test_a_run_that_may_only_be_read_is_evaluated(
    finished: Path,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["evaluate", str(finished)]) == 0
    expected = capsys.readouterr().out
    folder = tmp_path / "copy"
    shutil.copytree(finished, folder)
    shutil.rmtree(folder / "predictions")
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        with without_privileges(), pytest.warns(UserWarning, match="predictions are not kept: .* cannot be written to"):
            assert main(["evaluate", str(folder)]) == 0
        assert capsys.readouterr().out == expected
        assert not (folder / "predictions").exists()
        with without_privileges(), pytest.warns(UserWarning, match="predictions are not kept"):
            assert main(["report", str(folder), "--output", str(tmp_path / "elsewhere.html")]) == 0
    finally:
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o755)


@pytest.mark.parametrize(
    "name",
    ["", "run.json", "finished.json", "ensemble", "ensemble/ensemble.json", "predictions", "ensemble/member-000"],
)
@pytest.mark.parametrize("command", ["evaluate", "predict", "report", "export", "verify"])
def test_what_may_not_be_read_is_one_line(
    finished: Path,  # noqa: F811
    tmp_path: Path,
    name: str,
    command: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(finished, folder)
    (folder / name).chmod(0)
    output = ["--output", str(tmp_path / "out")] if command in ("report", "export") else []
    try:
        with without_privileges(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            code = main([command, str(folder), *output])
    finally:
        (folder / name).chmod(0o755)
    assert code in (0, 2)
    assert code == 0 or capsys.readouterr().err.splitlines()[-1].startswith("lora-ensemble: ")

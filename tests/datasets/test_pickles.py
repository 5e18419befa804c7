"""CIFAR's pickles are read whatever wrote them; what would run code is refused and not run."""

from __future__ import annotations

import contextlib
import os
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lora_ensemble.errors import DataError
from lora_ensemble.sources.pickles import read_pickle

PIXELS = np.arange(2 * 3072, dtype=np.int64).astype(np.uint8).reshape(2, 3072)


class Command:
    """Unpickled, it makes a file or a folder."""

    def __init__(self, victim: Path):
        self.victim = victim

    def __reduce__(self):
        return os.system, (f"touch {self.victim}",)


class Evaluated(Command):
    def __reduce__(self):
        return eval, (f"__import__('os').mkdir({str(self.victim)!r})",)


def python_2(pixels: np.ndarray) -> bytes:
    """What Python 2 and NumPy 1 wrote, opcode by opcode: {"labels": [6, 9], "data": pixels}."""
    rows, columns = pixels.shape
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR"
    dtype = b"cnumpy\ndtype\n(U\x02u1K\x00K\x01tR(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    shape = b"K" + bytes([rows]) + b"M" + struct.pack("<H", columns) + b"\x86"
    data = b"T" + struct.pack("<i", pixels.nbytes) + pixels.tobytes()
    return b"\x80\x02}(U\x06labels](K\x06K\x09eU\x04data" + array + b"(K\x01" + shape + dtype + b"\x89" + data + b"tbu."


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("pixels", [PIXELS, np.asfortranarray(PIXELS), PIXELS[:, ::2]], ids=["C", "Fortran", "strided"])
def test_what_python_3_writes(tmp_path, protocol, pixels):
    values = {b"data": pixels, "labels": [6, 9], b"numbers": np.array([1, -2]), "rest": [b"a", {"b": [None, 1.5]}]}
    (tmp_path / "batch").write_bytes(pickle.dumps(values, protocol))
    read = read_pickle(tmp_path / "batch")
    np.testing.assert_array_equal(read["data"], pixels)
    np.testing.assert_array_equal(read["numbers"], [1, -2])
    assert read["data"].dtype == np.uint8
    assert read["labels"] == [6, 9]
    assert read["rest"] == [b"a", {"b": [None, 1.5]}]


def test_what_python_2_wrote(tmp_path):
    (tmp_path / "batch").write_bytes(python_2(PIXELS))
    read = read_pickle(tmp_path / "batch")
    np.testing.assert_array_equal(read["data"], PIXELS)
    assert read["labels"] == [6, 9]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("kind", [Command, Evaluated])
def test_a_pickle_that_would_run_code_is_refused_and_not_run(tmp_path, kind, protocol):
    victim = tmp_path / "victim"
    written = pickle.dumps({b"data": PIXELS, b"labels": [1, kind(victim)]}, protocol)
    (tmp_path / "batch").write_bytes(written)
    with pytest.raises(DataError, match=r"batch is refused: reading it would run \w+\.(system|eval); expected only"):
        read_pickle(tmp_path / "batch")
    assert not victim.exists()
    pickle.loads(written)  # it does what it was refused for
    assert victim.exists()


@pytest.mark.parametrize(
    "opcodes",
    [
        b"(S'touch {}'\nios\nsystem\n.",
        b"cbuiltins\ngetattr\n(cnumpy\nndarray\nS'tofile'\ntR.",
        b"cnumpy\nload\n(S'{}'\ntR.",
        b"c__main__\nCommand\n.",
    ],
    ids=["instance", "getattr", "numpy.load", "class"],
)
def test_other_ways_to_run_code(tmp_path, opcodes):
    (tmp_path / "batch").write_bytes(opcodes.replace(b"{}", str(tmp_path / "victim").encode()))
    with pytest.raises(DataError, match="is refused: reading it would run"):
        read_pickle(tmp_path / "batch")
    assert not (tmp_path / "victim").exists()


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (pickle.dumps([1, 2]), "holds a list: expected a dict"),
        (pickle.dumps({"data": np.array([1.5])}), "expected whole numbers"),
        (pickle.dumps({"data": np.array([None, {}])}, 2), "expected whole numbers"),
        (pickle.dumps({"data": PIXELS})[:-100], "is no readable pickle"),
        (b"", "is no readable pickle: EOFError"),
        (b"Pa\nQ.", "is no readable pickle"),
        (b"}(U\x04self}U\x01x2ss.", "is no readable pickle"),
    ],
    ids=["list", "floats", "objects", "truncated", "empty", "persistent id", "nonsense"],
)
def test_what_is_no_such_pickle(tmp_path, written, message):
    (tmp_path / "batch").write_bytes(written)
    with pytest.raises(DataError, match=message):
        read_pickle(tmp_path / "batch")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 300), st.binary(max_size=8))
def test_damage_is_a_data_error_or_harmless(tmp_path, place, damage):
    whole = python_2(PIXELS[:, :16])
    (tmp_path / "batch").write_bytes(whole[:place] + damage + whole[place + len(damage) :])
    with contextlib.suppress(DataError):
        assert isinstance(read_pickle(tmp_path / "batch"), dict)

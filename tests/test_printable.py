"""Text from elsewhere acts on no terminal, and printing never fails."""

from __future__ import annotations

import io
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_ensemble.printable import never_fail_to_print, printable


@given(st.text())
def test_nothing_that_acts_is_left(text: str) -> None:
    shown = printable(text)
    assert not any(ord(sign) < 32 or 0x7F <= ord(sign) < 0xA0 or 0xD800 <= ord(sign) < 0xE000 for sign in shown)
    assert printable(shown) == shown
    shown.encode("utf-8")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Käse 模型 | ±", "Käse 模型 | ±"),
        ("\x1b[2Jgone", r"\x1b[2Jgone"),
        ("two\nlines\t", r"two\nlines\t"),
        ("a\u202eb", r"a\u202eb"),
        ("\ud800", r"\ud800"),
        ("a\u00a0b\u3000", "a\u00a0b\u3000"),
    ],
)
def test_escapes(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize(
    ("encoding", "shown"), [("cp1252", "nll v ±1"), ("ascii", "nll v +/-1"), ("utf-8", "nll ↓ ±1")]
)
def test_what_an_encoding_lacks_is_written_plainer(encoding: str, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=encoding))
    never_fail_to_print()
    print("nll ↓ ±1", end="", flush=True)
    assert written.getvalue().decode(encoding) == shown

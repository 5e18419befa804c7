"""Digests see every change, and nothing but changes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lora_ensemble.disk.digests import (
    check_file,
    check_files,
    check_seal,
    digest_of_bytes,
    digest_of_file,
    digest_of_tensors,
    digests_in,
    inside,
    sealed,
)
from lora_ensemble.errors import FileFormatError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def test_digest_of_a_file_is_what_sha256sum_says(tmp_path: Path) -> None:
    data = bytes(range(256)) * 5000
    (tmp_path / "file").write_bytes(data)
    assert digest_of_file(tmp_path / "file") == "sha256:" + hashlib.sha256(data).hexdigest()
    assert digest_of_bytes(data[:1000], data[1000:]) == digest_of_file(tmp_path / "file")


@given(position=st.integers(0, 999), bit=st.integers(0, 7))
def test_one_flipped_bit_is_seen(tmp_path_factory: pytest.TempPathFactory, position: int, bit: int) -> None:
    path = tmp_path_factory.getbasetemp() / "flipped"
    data = bytearray(i % 251 for i in range(1000))
    path.write_bytes(data)
    digest = digest_of_file(path)
    check_file(path, digest)
    data[position] ^= 1 << bit
    path.write_bytes(data)
    with pytest.raises(FileFormatError, match="damaged"):
        check_file(path, digest)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64, torch.bool, torch.uint8])
def test_tensors_by_name_shape_type_and_content(dtype: torch.dtype) -> None:
    a, b = torch.arange(6).to(dtype).reshape(2, 3), torch.tensor(1).to(dtype)
    digest = digest_of_tensors({"a": a, "b": b}, "text")
    assert digest == digest_of_tensors({"b": b, "a": a.t().contiguous().t()}, "text")
    others = [
        digest_of_tensors({"a": a.reshape(3, 2), "b": b}, "text"),
        digest_of_tensors({"a": a, "c": b}, "text"),
        digest_of_tensors({"a": a.to(torch.float64), "b": b}, "text"),
        digest_of_tensors({"a": a.flip(1), "b": b}, "text"),
        digest_of_tensors({"a": a, "b": b}, "te", "xt"),
        digest_of_tensors({"a": a, "b": b, "empty": a[:0]}, "text"),
    ]
    assert len({digest, *others}) == 7


@given(record=st.dictionaries(st.text().filter(lambda name: name != "digest"), JSON, max_size=5))
def test_a_sealed_record_comes_back_from_json(record: dict[str, object]) -> None:
    check_seal(Path("record.json"), json.loads(json.dumps(sealed(record))))


def test_a_changed_record_is_refused_and_one_without_digest_is_not() -> None:
    record = sealed({"rank": 8, "classes": ("a", "b"), "by": {1: 2}})
    check_seal(Path("record.json"), {"rank": 9})
    with pytest.raises(FileFormatError, match=r"record\.json was changed"):
        check_seal(Path("record.json"), {**record, "rank": 9})
    with pytest.raises(FileFormatError, match="changed"):
        check_seal(Path("record.json"), {**record, "more": 1})


def test_files_of_a_folder(tmp_path: Path) -> None:
    for name in ("manifest.json", "member-000/a", "member-001/a"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    digests = digests_in(tmp_path, without=["manifest.json"])
    assert list(digests) == ["member-000/a", "member-001/a"]
    check_files(tmp_path, digests)
    check_files(tmp_path, None)
    (tmp_path / "member-001/a").write_text("member-000/a")
    with pytest.raises(FileFormatError, match=r"member-001/a is damaged"):
        check_files(tmp_path, digests)
    (tmp_path / "member-000/a").unlink()
    with pytest.raises(FileFormatError, match=r"there is no file .*member-000/a"):
        check_files(tmp_path, digests)


@pytest.mark.parametrize("digests", [["a"], {"a": 1}, "a", {"../a": "sha256:0"}, {"/a": "sha256:0"}, {"a": "md5:0"}])
def test_digests_of_another_kind_are_refused(tmp_path: Path, digests: object) -> None:
    (tmp_path / "a").touch()
    with pytest.raises(FileFormatError):
        check_files(tmp_path, digests)


@pytest.mark.parametrize("name", ["", "../a", "a/../../b", "/etc/passwd", "a\0b"])
def test_paths_that_lead_out_of_a_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(FileFormatError, match="no path inside"):
        inside(tmp_path, name)
    assert inside(tmp_path, "member-000/a") == tmp_path / "member-000" / "a"


def test_a_folder_in_the_place_of_a_file(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="cannot be read: Is a directory"):
        digest_of_file(tmp_path)

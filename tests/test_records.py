"""JSON records: whatever is wrong with a file is one line that names it."""

from __future__ import annotations

from pathlib import Path

import pytest

from lora_ensemble.disk.records import check_types, read_object, read_record, write_record
from lora_ensemble.errors import FileFormatError

BROKEN = {
    "empty": b"",
    "no JSON": b"{",
    "no object": b"[1, 2]",
    "a text": b'"text"',
    "no UTF-8": b'{"a": "\xff"}',
    "nested": b"[" * 100_000,
    "nested objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "a long number": b'{"a": ' + b"9" * 5_000 + b"}",
    "zeros": b"\0" * 100,
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN.keys())
def test_what_is_no_json_object(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "record.json").write_bytes(data)
    with pytest.raises(FileFormatError, match=r"record\.json") as caught:
        read_object(tmp_path / "record.json")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300 + len(str(tmp_path))


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match=r"has no record\.json"):
        read_object(tmp_path / "record.json")
    with pytest.raises(FileFormatError, match="cannot be read"):
        read_object(tmp_path)


def test_round_trip_and_an_edit(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    write_record(path, {"rank": 8, "names": ("ä", "\x1b[31m"), "none": None})
    assert read_record(path, {"rank": int})["names"] == ["ä", "\x1b[31m"]
    path.write_text(path.read_text().replace("8", "9", 1))
    with pytest.raises(FileFormatError, match="was changed after it was written"):
        read_record(path)


def test_records_of_older_versions_have_no_digest(tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text('{"rank": 8}')
    assert read_record(tmp_path / "old.json") == {"rank": 8}


@pytest.mark.parametrize("value", [None, True, "8", [8], {"a": 8}, 8.5])
def test_wrong_types_name_file_and_field(value: object) -> None:
    with pytest.raises(FileFormatError, match=r"run\.json: rank is .*, expected a whole number"):
        check_types(Path("run.json"), {"rank": value}, {"rank": int})
    check_types(Path("run.json"), {"rank": 8, "seconds": 8}, {"rank": int, "seconds": (float, type(None))})
    with pytest.raises(FileFormatError, match="lacks rank"):
        check_types(Path("run.json"), {}, {"rank": int})

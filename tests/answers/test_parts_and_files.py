"""Finished parts of answers: kept over a kill, made anew for anything else, joined in any format."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from lora_ensemble.answers import files
from lora_ensemble.answers.parts import Parts
from lora_ensemble.errors import FileFormatError, UserError

FIRST = pd.DataFrame({"id": ["a", "b"], "prediction": ["cat", "dog"], "total": [0.25, 0.5]})
SECOND = pd.DataFrame({"id": ["c"], "prediction": ["dog"], "total": [0.125], "label": ["cat"]})


def two(output: Path) -> Parts:
    parts = Parts(output, {"run": "1"})
    for part in (FIRST, SECOND):
        parts.add(part)
    return parts


@pytest.mark.parametrize(
    ("ending", "read"),
    [
        (".parquet", pd.read_parquet),
        (".csv", pd.read_csv),
        (".jsonl", lambda path: pd.DataFrame([json.loads(line) for line in path.read_text().splitlines()])),
    ],
)
def test_parts_with_and_without_labels_become_one_file(ending: str, read, tmp_path: Path) -> None:
    output = tmp_path / f"answers{ending}"
    assert files.write(two(output), output, {"run": "1"}) == 3
    found = read(output)
    assert list(found) == ["id", "prediction", "total", "label"]
    assert found[["id", "prediction", "total"]].equals(pd.concat([FIRST, SECOND], ignore_index=True)[list(FIRST)])
    assert found["label"].isna().tolist() == [True, True, False]
    about = json.loads(files.about_file(output).read_text())
    assert (about["rows"], about["run"]) == (3, "1")


def test_a_second_start_finds_what_is_finished(tmp_path: Path) -> None:
    output = tmp_path / "answers.csv"
    two(output)
    assert len(Parts(output, {"run": "1"}).files) == 2
    assert len(Parts(output, {"run": "2"}).files) == 0  # of another run: made anew


def test_a_half_written_part_is_none(tmp_path: Path) -> None:
    output = tmp_path / "answers.csv"
    parts = two(output)
    (parts.folder / "waiting-000002.parquet").write_bytes(b"PAR1")
    (parts.folder / ".part.tmp").write_bytes(b"PAR1")
    assert len(Parts(output, {"run": "1"}).files) == 2


def test_a_gap_ends_the_parts(tmp_path: Path) -> None:
    parts = two(tmp_path / "answers.csv")
    parts.files[0].unlink()
    assert parts.files == []


@pytest.mark.parametrize("at", [4, -12])
def test_a_damaged_part_is_named(at: int, tmp_path: Path) -> None:
    output = tmp_path / "answers.csv"
    parts = two(output)
    content = bytearray(parts.files[1].read_bytes())
    content[at] ^= 1
    parts.files[1].write_bytes(content)
    with pytest.raises((FileFormatError, UserError), match=r"part-000001"):
        files.write(parts, output, {})
    assert not output.exists()


def test_the_name_says_the_format(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"must end in \.parquet, \.csv or \.jsonl\. Did you mean '\.parquet'"):
        files.check_ending(tmp_path / "answers.parque")

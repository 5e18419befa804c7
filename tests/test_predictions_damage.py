"""A predictions file that is not as it was written is refused, whatever happened to it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from lora_ensemble.errors import FileFormatError
from lora_ensemble.predictions import Predictions


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    labels = torch.arange(6) % 4
    p = Predictions(torch.randn(2, 6, 4), labels, [f"row {b}" for b in range(6)], {"classes": list("wxyz"), "seed": 3})
    p.save(tmp_path / "test.safetensors")
    return tmp_path / "test.safetensors"


def same(one: Predictions, other: Predictions) -> bool:
    assert one.labels_B is not None
    assert other.labels_B is not None
    equal = torch.equal(one.logits_MBC, other.logits_MBC) and torch.equal(one.labels_B, other.labels_B)
    return equal and one.ids == other.ids and one.meta == other.meta


def test_every_flipped_bit_is_an_error_or_changes_nothing(saved: Path) -> None:
    whole, before = saved.read_bytes(), Predictions.load(saved)
    refused = []
    for position in range(len(whole)):
        data = bytearray(whole)
        data[position] ^= 1 << position % 8
        saved.write_bytes(data)
        try:
            assert same(Predictions.load(saved), before), position
        except FileFormatError as error:
            refused.append(str(error))
    assert all(str(saved) in line for line in refused)
    assert len(refused) > 0.9 * len(whole)  # what remains is padding, and the names of metadata fields


def test_zeros_in_the_place_of_logits(saved: Path) -> None:
    data = bytearray(saved.read_bytes())
    data[-96:] = bytes(96)
    saved.write_bytes(data)
    with pytest.raises(FileFormatError, match="is damaged: its contents are not what was written"):
        Predictions.load(saved)


def test_files_of_older_versions_have_no_digest(saved: Path) -> None:
    before = Predictions.load(saved)
    with safe_open(saved, framework="pt") as file:
        metadata = {name: value for name, value in file.metadata().items() if name != "digest"}
    save_file(load_file(saved), saved, metadata)
    assert same(Predictions.load(saved), before)


@pytest.mark.parametrize("meta", ["[" * 100_000, '{"classes": 5}', "[]"])
def test_meta_of_wrong_types(saved: Path, meta: str) -> None:
    save_file(
        {"logits_MBC": torch.zeros(1, 2, 4)},
        saved,
        {"format": "lora-ensemble-predictions", "version": "1", "ids": "null", "meta": meta},
    )
    with pytest.raises(FileFormatError, match="holds no usable predictions"):
        Predictions.load(saved)


def test_much_metadata(tmp_path: Path) -> None:
    """More than the 131,072 characters that readers of tables stop at."""
    p = Predictions(torch.zeros(1, 3, 2), ids=["a" * 200_000, "b" * 200_000, "../c"], meta={"note": "x" * 300_000})
    p.save(tmp_path / "p.safetensors")
    back = Predictions.load(tmp_path / "p.safetensors")
    assert back.ids == p.ids
    assert back.meta == p.meta

"""Kept features are those that would be computed; a file that cannot be trusted is made anew."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from lora_ensemble.audio.cache import VARIABLE, CachedFilterBanks, cache_folder
from lora_ensemble.audio.filterbanks import FilterBanks
from lora_ensemble.errors import DataError

BANKS = FilterBanks(frames=20, bins=16)


def waves(number: int) -> list[np.ndarray]:
    return list(np.random.default_rng(0).normal(0, 0.1, (number, 3000)).astype(np.float32))


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def forbidden(monkeypatch):
    """Call it, and nothing can be computed any more."""

    def compute(self, waveform):
        raise AssertionError("computed anew")

    return lambda: monkeypatch.setattr(FilterBanks, "__call__", compute)


def test_what_is_kept_is_what_would_be_computed(tmp_path, forbidden):
    cached, clips = CachedFilterBanks(BANKS, tmp_path), waves(3)
    expected = [BANKS(wave) for wave in clips]
    for _ in range(2):
        assert all(torch.equal(cached(wave), features) for wave, features in zip(clips, expected, strict=True))
        forbidden()
    assert len(files(tmp_path)) == 3


def test_other_parameters_and_other_samples_have_files_of_their_own(tmp_path):
    (wave,) = waves(1)
    other = wave.copy()
    other[-1] += 1e-3
    for banks, clip in [(BANKS, wave), (BANKS, other), (FilterBanks(20, 17), wave), (FilterBanks(21, 16), wave)]:
        assert torch.equal(CachedFilterBanks(banks, tmp_path)(clip), banks(clip))
    assert len(files(tmp_path)) == 4


def replace_with_other_parameters(file: Path) -> None:
    other = CachedFilterBanks(FilterBanks(frames=20, bins=16 + 1), file.parents[1] / "other")
    other(waves(1)[0])
    shutil.copy(files(file.parents[1] / "other")[0], file)
    shutil.rmtree(file.parents[1] / "other")


def replace_with_other_samples(file: Path) -> None:
    CachedFilterBanks(BANKS, file.parents[1] / "other")(waves(2)[1])
    shutil.copy(files(file.parents[1] / "other")[0], file)
    shutil.rmtree(file.parents[1] / "other")


def flip_a_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-100] ^= 1
    file.write_bytes(content)


DAMAGES = {
    "other parameters": replace_with_other_parameters,
    "other samples": replace_with_other_samples,
    "a bit": flip_a_bit,
    "half": lambda file: os.truncate(file, file.stat().st_size // 2),
    "empty": lambda file: os.truncate(file, 0),
    "no features": lambda file: file.write_bytes(b"something else entirely"),
    "another tensor": lambda file: save_file({"other": torch.zeros(2)}, file),
    "no metadata": lambda file: save_file({"features": torch.zeros(20, 16)}, file),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_file_that_cannot_be_trusted_is_made_anew(tmp_path, damage, forbidden):
    (wave,), cached = waves(1), CachedFilterBanks(BANKS, tmp_path)
    features = cached(wave)
    (file,) = files(tmp_path)
    DAMAGES[damage](file)
    assert torch.equal(cached(wave), features)
    forbidden()
    assert torch.equal(cached(wave), features)  # the file is whole again
    assert files(tmp_path) == [file]


def test_many_may_write_at_once(tmp_path):
    clips = waves(6)
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(CachedFilterBanks(BANKS, tmp_path), clips * 8))
    for wave, features in zip(clips * 8, made, strict=True):
        assert torch.equal(features, BANKS(wave))
    assert len(files(tmp_path)) == 6


def test_a_folder_that_cannot_be_written_to_costs_the_cache_alone(tmp_path):
    (tmp_path / "file").touch()
    (wave,) = waves(1)
    with pytest.warns(UserWarning, match=r"features are not kept: .*inside cannot be written to \(.*\)$"):
        made = CachedFilterBanks(BANKS, tmp_path / "file" / "inside")(wave)
    assert torch.equal(made, BANKS(wave))


def test_what_the_filter_banks_refuse_is_refused(tmp_path):
    with pytest.raises(DataError, match="expected at least 400"):
        CachedFilterBanks(BANKS, tmp_path)(np.zeros(9, np.float32))
    assert files(tmp_path) == []


def test_where_features_are_kept(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    assert cache_folder() == CachedFilterBanks(BANKS).folder == tmp_path / "features"
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    assert cache_folder() == tmp_path / "caches" / "lora-ensemble" / "features"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "lora-ensemble" / "features"


@pytest.mark.parametrize("off", ["off", "OFF", "0"])
def test_the_cache_can_be_switched_off(monkeypatch, off, tmp_path):
    monkeypatch.setenv(VARIABLE, off)
    monkeypatch.chdir(tmp_path)
    assert cache_folder() is None
    (wave,) = waves(1)
    assert torch.equal(CachedFilterBanks(BANKS)(wave), BANKS(wave))
    assert files(tmp_path) == []

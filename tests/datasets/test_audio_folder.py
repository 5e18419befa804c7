"""A folder of recordings: classes are folders, splits follow from names, groups stay together."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from audio_sources import FORMATS, encoded, sounds, write_parquet, write_sound, write_table

from lora_ensemble.contracts import Split
from lora_ensemble.datasets.audio_folder import AudioFolder
from lora_ensemble.datasets.audio_table import AudioTable
from lora_ensemble.errors import DataError, UnknownNameError

SUFFIXES = list(FORMATS)


def written(folder: Path, number: int = 40, **classes: int) -> Path:
    """Recordings of each class in all formats, at several rates, mono and stereo, from ten speakers."""
    for name, more in (classes or {"dog": 0, "rain": 0, "train": 0}).items():
        for i, sound in enumerate(sounds(number + more, samples=1500, seed=len(name))):
            stereo = np.stack([sound, sound], 1) if i % 3 == 0 else sound
            path = folder / name / f"speaker{i % 10}" / f"{i}{SUFFIXES[i % 4]}"
            write_sound(path, stereo, rate=(16000, 44100, 48000)[i % 3])
    (folder / "notes.txt").write_text("no sound")
    return folder


def loaded(data: AudioFolder) -> dict[str, Split]:
    return {split: data.load(split) for split in data.splits}


def test_classes_are_folders_and_splits_are_stratified(tmp_path):
    splits = loaded(AudioFolder(str(written(tmp_path))))
    assert {name: len(split) for name, split in splits.items()} == {"train": 86, "validation": 10, "test": 24}
    ids = [name for split in splits.values() for name in split.ids]
    assert sorted(ids) == sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.glob("*/*/*"))
    for split in splits.values():
        assert split.classes == ["dog", "rain", "train"]
        assert [split.classes[label] for label in split.labels] == [name.split("/")[0] for name in split.ids]
        assert np.ptp(np.bincount(split.labels)) <= 2
        assert list(split.ids) == sorted(split.ids)
        assert {e["audio"].dtype for e in split.examples} == {np.dtype(np.float32)}
    assert splits["train"].augment is not None
    assert splits["test"].augment is None


def test_new_seeds_draw_new_splits(tmp_path):
    written(tmp_path)
    one, same, other = (AudioFolder(str(tmp_path), split_seed=seed).load("test").ids for seed in (0, 0, 1))
    assert one == same != other


def test_groups_stay_together(tmp_path):
    splits = loaded(AudioFolder(str(written(tmp_path)), group="speaker[0-9]+"))
    of_split = [{name.split("/")[1] for name in split.ids} for split in splits.values()]
    assert all(one.isdisjoint(other) for one, other in combinations(of_split, 2))
    assert sorted(set().union(*of_split)) == [f"speaker{i}" for i in range(10)]
    by_file = loaded(AudioFolder(str(tmp_path)))
    assert any(name.split("/")[1] in of_split[2] for name in by_file["train"].ids)
    with pytest.raises(DataError, match=r"group = 'take\[0-9\]': is nowhere in 'dog/speaker0/"):
        AudioFolder(str(tmp_path), group="take[0-9]").load("train")
    assert (
        AudioFolder(group="speaker[").problems()[0].startswith("dataset.group = 'speaker[': is no regular expression")
    )


@pytest.mark.parametrize("validation", [True, False])
def test_a_folder_that_is_split_already(tmp_path, validation):
    for part in ("train", "test", *(["validation"] if validation else [])):
        written(tmp_path / part, number=20, dog=0, rain=10)
    splits = loaded(AudioFolder(str(tmp_path)))
    assert all(name.startswith("test/") for name in splits["test"].ids)
    assert len(splits["test"]) == 50
    held_out = "validation/" if validation else "train/"
    assert all(name.startswith(held_out) for name in splits["validation"].ids)
    assert [len(splits["train"]), len(splits["validation"])] == ([50, 50] if validation else [45, 5])
    assert set(splits["train"].ids).isdisjoint(splits["validation"].ids)


def test_the_rarest_class_is_learnt(tmp_path):
    data = AudioFolder(str(written(tmp_path, number=1, dog=30, rain=0)))
    assert 1 in data.load("train").labels


def test_what_is_no_folder_of_classes(tmp_path):
    with pytest.raises(DataError, match=r"nowhere'?: expected a folder with one subfolder for each class"):
        AudioFolder(str(tmp_path / "nowhere")).load("train")
    written(tmp_path, number=3, dog=0)
    with pytest.raises(DataError, match="has 1 folders of recordings; expected one for each class, at least two"):
        AudioFolder(str(tmp_path)).load("train")
    written(tmp_path, number=2, rain=0)
    with pytest.raises(DataError, match="of 5 clips there is none for the validation split"):
        AudioFolder(str(tmp_path)).load("validation")
    with pytest.raises(UnknownNameError, match=r"'tset'\. Did you mean 'test'"):
        AudioFolder(str(tmp_path)).load("tset")
    for part in ("train", "test"):
        write_sound(tmp_path / "given" / part / part / "a.wav", sounds(1)[0])
        write_sound(tmp_path / "given" / part / "both" / "b.wav", sounds(1)[0])
    with pytest.raises(DataError, match="has no clip to train on for 1 of 3 classes: test"):
        AudioFolder(str(tmp_path / "given")).load("train")


@pytest.mark.parametrize("name", ["val", "valid", "dev"])
def test_other_names_of_splits(tmp_path, name):
    for part in ("train", name, "test"):
        written(tmp_path / part, number=10)
    splits = loaded(AudioFolder(str(tmp_path)))
    for part, split in zip(("train", name, "test"), splits.values(), strict=True):
        assert len(split) == 30
        assert all(i.startswith(f"{part}/") for i in split.ids)
    written(tmp_path / "validation", number=1)
    with pytest.raises(DataError, match="has two folders for the validation split"):
        AudioFolder(str(tmp_path)).load("train")


def test_a_test_split_that_is_missing_is_drawn(tmp_path):
    for part in ("train", "val"):
        written(tmp_path / part, number=10)
    splits = loaded(AudioFolder(str(tmp_path)))
    assert {name: len(split) for name, split in splits.items()} == {"train": 24, "validation": 30, "test": 6}
    (tmp_path / "train").rename(tmp_path / "testing")
    with pytest.raises(DataError, match="has no folder to train on, only test and validation"):
        AudioFolder(str(tmp_path)).load("train")


@pytest.mark.filterwarnings("ignore:.* too few rows of some classes", "ignore:.* copies of other rows")
def test_by_content_new_recordings_move_no_old_one(tmp_path):
    before = loaded(AudioFolder(str(written(tmp_path, number=30)), split_by="content"))
    written(tmp_path, number=30, owl=10)
    after = loaded(AudioFolder(str(tmp_path), split_by="content"))
    assert all(set(before[name].ids) <= set(after[name].ids) for name in before)


@pytest.mark.parametrize("form", ["folder", "table", "parquet"])
@pytest.mark.filterwarnings("ignore:.* too few rows of some classes")
def test_tables(tmp_path, form):
    root = written(tmp_path / "sounds", number=20)
    files = sorted(p for p in root.rglob("*.*") if p.suffix != ".txt")
    names = [p.relative_to(root).as_posix() for p in files]
    rows = [{"filename": name, "kind": name.split("/")[0], "who": name.split("/")[1]} for name in names]
    if form == "parquet":
        write_parquet(tmp_path / "t.parquet", rows, [p.read_bytes() for p in files])
        data = AudioTable(str(tmp_path / "t.parquet"), label_column="kind", group_column="who")
    else:
        write_table(root / "metadata.csv", rows)
        fields = {"label_column": "kind", "group_column": "who"}
        data = (
            AudioFolder(str(root), **fields) if form == "folder" else AudioTable(str(root / "metadata.csv"), **fields)
        )
    splits = loaded(data)
    assert sum(map(len, splits.values())) == 60
    for split in splits.values():
        assert split.classes == ["dog", "rain", "train"]
        assert {e["audio"].dtype for e in split.examples} == {np.dtype(np.float32)}
    if form != "parquet":
        homes = [{name.split("/")[1] for name in split.ids} for split in splits.values()]
        assert all(one.isdisjoint(other) for one, other in combinations(homes, 2))


def test_a_flat_folder_as_an_out_of_distribution_set(tmp_path):
    for i, sound in enumerate(sounds(3)):
        write_sound(tmp_path / f"{i}.wav", sound)
    data = AudioFolder(str(tmp_path), carve=False)
    assert data.splits == ("test",)
    assert (len(data.load("test")), data.load("test").labels) == (3, None)


def test_broken_recordings_are_left_out_when_asked(tmp_path):
    written(tmp_path, number=20)
    (tmp_path / "dog" / "broken.wav").write_bytes(b"RIFF")
    (tmp_path / "stray.wav").write_bytes(b"RIFF")
    with (
        pytest.warns(UserWarning, match="1 of 61 clips of audio-folder .*broken.wav .* left out"),
        pytest.warns(UserWarning, match="1 recordings in no folder of a class are left out"),
    ):
        split = AudioFolder(str(tmp_path), skip_unreadable=True).load("train")
    assert "dog/broken.wav" not in split.ids


def test_recordings_in_formats_that_cannot_be_read_are_not_left_out(tmp_path):
    written(tmp_path, number=3)
    (tmp_path / "rain" / "phone.m4a").write_bytes(b"")
    (tmp_path / "rain" / "._0.wav").write_bytes(b"")  # of a Mac's archives
    with pytest.raises(DataError, match=r"1 of 10 rows of .*: rain/phone\.m4a is in a format that cannot be"):
        AudioFolder(str(tmp_path)).load("train")


def test_every_recording_that_cannot_be_used_is_listed(tmp_path):
    written(tmp_path, number=20, dog=0, rain=0)
    broken = ["dog/speaker0/0.wav", "rain/speaker7/7.mp3"]
    for name in broken:
        (tmp_path / name).write_bytes(encoded(sounds(1)[0])[:30])
    with pytest.raises(DataError, match=r"^2 of 40 clips of audio-folder cannot be used: ") as caught:
        AudioFolder(str(tmp_path)).load("train")
    assert all(f"{name} cannot be read" in str(caught.value) for name in broken)

"""ESC-50 and ESC-10 are the same from every form; folds share no clip, inner splits no recording."""

from __future__ import annotations

import csv
import shutil
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from audio_sources import encoded, floats, sounds, write_parquet, write_sound, write_table

from lora_ensemble import Experiment
from lora_ensemble.audio.esc_rows import CLASSES, FOLDS
from lora_ensemble.contracts import Split
from lora_ensemble.datasets import esc10
from lora_ensemble.datasets.esc10 import Esc10
from lora_ensemble.datasets.esc50 import Esc50
from lora_ensemble.errors import ConfigurationError, DataError, UnknownNameError
from lora_ensemble.recipes import esc10 as recipes

pytestmark = pytest.mark.usefixtures("cache")

TAKES = {"A": 0, "B": 0, "C": 1, "D": 2}
"""Each class of ESC-10 has in each fold two clips of one recording and one each of two others; the rest has less."""

ROWS = [
    {
        "filename": f"{fold}-{1000 * fold + 10 * target + recording}-{take}-{target}.wav",
        "fold": fold,
        "target": target,
        "category": name,
        "esc10": name in esc10.CLASSES,
        "src_file": 1000 * fold + 10 * target + recording,
        "take": take,
    }
    for fold in FOLDS
    for target, name in enumerate(CLASSES)
    for take, recording in TAKES.items()
    if name in esc10.CLASSES or (fold == 4 and recording < 2) or take == "A"
]
SOUNDS = sounds(len(ROWS), samples=400)
BY_ID = {row["filename"].removesuffix(".wav"): (row, sound) for row, sound in zip(ROWS, SOUNDS, strict=True)}


def original(folder: Path, suffix: str = ".wav", audio: str = "audio", meta: str = "meta/esc50.csv") -> Path:
    write_table(folder / meta, ROWS)
    for row, sound in zip(ROWS, SOUNDS, strict=True):
        write_sound(folder / audio / Path(row["filename"]).with_suffix(suffix), sound)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return original(tmp_path_factory.mktemp("ESC-50"))


@pytest.fixture(scope="module")
def forms(folder, tmp_path_factory) -> list[Path]:
    place = tmp_path_factory.mktemp("forms")
    mixed = original(place / "mixed", ".flac")
    write_sound(mixed / "audio" / ROWS[0]["filename"], SOUNDS[0])  # as listed, so it goes before the other
    write_sound(mixed / "audio" / Path(ROWS[0]["filename"]).with_suffix(".flac"), SOUNDS[1])
    order = np.random.default_rng(0).permutation(len(ROWS))
    rows, recordings = [ROWS[i] for i in order], [encoded(SOUNDS[i], ".flac") for i in order]
    for part in range(2):
        write_parquet(place / "hub" / f"data/train-0000{part}-of-00002.parquet", rows[part::2], recordings[part::2])
    original(place / "unpacked" / "ESC-50-master")
    return [folder, mixed, original(place / "flat", audio="clips", meta="esc50.csv"), place / "unpacked", place / "hub"]


def loaded(data: Esc50 | Esc10) -> dict[str, Split]:
    return {split: data.load(split) for split in data.splits}


def recordings(split: Split) -> set[int]:
    return {BY_ID[name][0]["src_file"] for name in split.ids}


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (Esc10, {"fold": 2}),
        (Esc10, {"protocol": "published"}),
        (Esc10, {"inside_fold": 1}),
        (Esc50, {"inside_fold": 4}),
    ],
    ids=str,
)
def test_every_form_gives_the_same_splits(forms, kind, fields):
    first, *others = [loaded(kind(str(form), **fields)) for form in forms]
    for name, split in first.items():
        np.testing.assert_array_equal([e["audio"] for e in split.examples], [floats(BY_ID[i][1]) for i in split.ids])
        assert [split.classes[label] for label in split.labels] == [BY_ID[i][0]["category"] for i in split.ids]
        for other in others:
            assert other[name].ids == split.ids
            np.testing.assert_array_equal(other[name].labels, split.labels)
            for one, two in zip(other[name].examples, split.examples, strict=True):
                np.testing.assert_array_equal(one["audio"], two["audio"])


@pytest.mark.parametrize("protocol", ["validation", "published"])
def test_folds_share_no_clip_and_are_the_official_ones(folder, protocol):
    data = Esc10(str(folder))
    assert data.folds == (1, 2, 3, 4, 5)
    expected = {i for i, (row, _) in BY_ID.items() if row["category"] in esc10.CLASSES}
    tests = []
    for fold in data.folds:
        splits = loaded(Esc10(str(folder), fold=fold, protocol=protocol))
        assert sum(map(len, splits.values())) == len(set().union(*(s.ids for s in splits.values()))) == len(expected)
        tests.append(set(splits["test"].ids))
        assert {BY_ID[i][0]["fold"] for i in tests[-1]} == {fold}
        if protocol == "validation":
            assert recordings(splits["train"]).isdisjoint(recordings(splits["validation"]))
            assert len(splits["validation"]) == pytest.approx(len(expected) * 0.08, abs=len(expected) * 0.02)
    assert set().union(*tests) == expected
    assert sum(map(len, tests)) == len(expected)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kind", [Esc50, Esc10])
def test_within_a_fold_no_recording_is_in_two_splits_and_every_class_is_learnt(folder, kind, seed):
    data = kind(str(folder), inside_fold=4, split_seed=seed)
    clips = {i for i, (row, _) in BY_ID.items() if row["fold"] == 4 and row["category"] in kind.classes}
    assert data.folds == ()
    splits = loaded(data)
    assert {i for split in splits.values() for i in split.ids} == clips
    assert sum(map(len, splits.values())) == len(clips)
    for one, other in combinations(splits.values(), 2):
        assert recordings(one).isdisjoint(recordings(other))
    assert set(splits["train"].labels) == set(range(len(kind.classes)))
    assert 0.15 < len(splits["test"]) / len(clips) < 0.35
    published = loaded(kind(str(folder), inside_fold=4, split_seed=seed, protocol="published"))
    assert published.keys() == {"train", "test"}
    assert published["test"].ids == splits["test"].ids


def test_the_seed_draws_the_validation_split(folder):
    one, same, other = (set(Esc10(str(folder), split_seed=seed).load("validation").ids) for seed in (0, 0, 1))
    assert one == same != other


def test_only_training_clips_are_masked(folder):
    splits = loaded(Esc10(str(folder), frequency_mask=10, time_mask=20, mask_fill=0.5))
    assert [split.augment is not None for split in splits.values()] == [True, False, False]
    masking = splits["train"].augment
    assert (masking.bins, masking.frames, masking.fill) == (10, 20, 0.5)
    assert Esc10(str(folder), frequency_mask=0, time_mask=0).load("train").augment is None
    published = Esc50().masking()
    assert (published.bins, published.frames) == (24, 96)


@pytest.fixture
def copy(folder, tmp_path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def test_before_training_all_missing_and_damaged_clips_of_all_splits_are_listed(copy):
    used = [row["filename"] for row in ROWS if row["esc10"]]
    for name in used[::30]:
        (copy / "audio" / name).unlink()
    for name in used[1::30]:
        (copy / "audio" / name).write_bytes(b"no sound")
    with pytest.raises(DataError, match=r"^14 of 200 clips of esc10 cannot be used: ") as caught:
        Esc10(str(copy)).load("train")
    for name in used[::30]:
        assert f"{name.removesuffix('.wav')} is missing" in str(caught.value)
    for name in used[1::30]:
        assert f"{name.removesuffix('.wav')} cannot be read" in str(caught.value)


def test_only_the_clips_that_are_used_need_to_be_there(copy):
    for row in ROWS:
        if not row["esc10"] and row["fold"] != 4:
            (copy / "audio" / row["filename"]).unlink()
    assert len(Esc10(str(copy)).load("train")) > 0
    assert len(Esc50(str(copy), inside_fold=4).load("train")) > 0
    assert len(Esc50(str(copy), fold=4).load("test")) == 160
    with pytest.raises(DataError, match=r"^160 of 480 clips of esc50 cannot be used"):
        Esc50(str(copy)).load("train")
    there = [row for row in ROWS if row["esc10"] or row["fold"] == 4]
    write_table(copy / "meta" / "there.csv", there)
    assert set(Esc50(str(copy), meta="there.csv").load("train").labels) == set(range(50))
    with pytest.raises(DataError, match=r"there\.csv has no clip to train on for 40 of 50 classes: pig, cow"):
        Esc50(str(copy), meta="there.csv", fold=4).load("train")
    write_table(copy / "meta" / "fold.csv", [row for row in ROWS if row["fold"] == 4])
    with pytest.raises(DataError, match=r"fold\.csv has no clip of esc50 in fold 2, only in 4$"):
        Esc50(str(copy), meta="fold.csv", fold=2).load("test")
    with pytest.raises(DataError, match=r"fold\.csv: of 40 clips there is none for the train split"):
        Esc10(str(copy), meta="fold.csv", fold=4).load("train")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fold": 6}, r"esc50\.csv is no metadata of ESC-50: fold '6' of 1-1000-A-0\.wav \(expected 1 to 5\)"),
        ({"category": "dogs"}, r"category 'dogs' of 1-1000-A-0\.wav \(nearest: dog\)"),
        ({"target": "x"}, r"target 'x' of 1-1000-A-0\.wav \(expected 0 for dog\)"),
        ({"filename": ROWS[1]["filename"]}, "1-1000-B-0 twice"),
    ],
    ids=str,
)
def test_rows_that_are_not_of_esc_50(tmp_path, change, message):
    write_table(tmp_path / "meta" / "esc50.csv", [{**ROWS[0], **change}, *ROWS[1:]])
    with pytest.raises(DataError, match=message):
        Esc50(str(tmp_path)).load("train")


def test_what_is_no_esc_50(tmp_path, forms):
    with pytest.raises(DataError, match=r"no ESC-50 in this folder; expected meta/esc50\.csv with audio/, or parquet"):
        Esc50(str(tmp_path)).load("test")
    write_table(tmp_path / "meta" / "esc50.csv", ROWS)
    with pytest.raises(DataError, match=r"none of the 480 clips of .* is in .*; expected 1-1000-A-0\.wav and so on"):
        Esc50(str(tmp_path)).load("test")
    with pytest.raises(
        DataError, match=r"expected meta/esc10\.csv with audio/, or parquet files; there are esc50\.csv"
    ):
        Esc10(str(tmp_path), meta="esc10.csv").load("test")
    with pytest.raises(DataError, match=r"meta = 'mine\.csv': only a folder with a file of this name in meta/ has it"):
        Esc50(str(forms[-1]), meta="mine.csv").load("test")
    write_table(tmp_path / "meta" / "esc50.csv", [{"file": "a.wav", "fold": 1, "label": "dog"}])
    with pytest.raises(DataError, match=r"has no column filename, target, category, src_file, only file, fold, label$"):
        Esc50(str(tmp_path)).load("test")
    (tmp_path / "meta" / "esc50.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"esc50\.csv cannot be read"):
        Esc50(str(tmp_path)).load("test")


@pytest.mark.parametrize("field", ["fold", "inside_fold"])
@pytest.mark.parametrize(("fold", "nearest"), [(0, 1), (6, 5), (40, 5), (-2, 1)])
def test_a_fold_that_does_not_exist_names_the_nearest(folder, field, fold, nearest):
    data = Esc10(str(folder), **{field: fold})
    message = rf"^dataset\.{field} = {fold}: there are folds 1 to 5, the nearest is {nearest}$"
    with pytest.raises(DataError, match=message):
        data.load("test")
    recipe = recipes.lora()
    with pytest.raises(ConfigurationError, match=message):
        Experiment(recipe.backbone, recipe.method, data, recipe.training).check()


def test_an_unknown_split(folder):
    with pytest.raises(UnknownNameError, match=r"unknown split of esc10 'validation'\. Available: test, train"):
        Esc10(str(folder), protocol="published").load("validation")


@pytest.mark.data
def test_of_the_real_folds_none_share_a_clip_and_inner_splits_no_recording(data_dir):
    folder = data_dir / "esc50"
    with (folder / "meta" / "esc50.csv").open(encoding="utf-8") as file:
        source = {Path(row["filename"]).stem: row["src_file"] for row in csv.DictReader(file)}
    tests = [set(Esc10(str(folder), fold=fold).load("test").ids) for fold in FOLDS]
    assert list(map(len, tests)) == [80] * 5
    assert len(set().union(*tests)) == 400
    splits = loaded(Esc50(str(folder), inside_fold=4))
    assert sum(map(len, splits.values())) == 400
    assert set(splits["train"].labels) == set(range(50))
    for one, other in combinations(splits.values(), 2):
        assert {source[i] for i in one.ids}.isdisjoint(source[i] for i in other.ids)

"""HAM10000 is the same from every form; its splits are the published ones by name, and by lesion where asked."""

from __future__ import annotations

import csv
import shutil
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from image_sources import pictures, png, write_metadata, write_parquet
from sklearn.model_selection import train_test_split

from lora_ensemble.datasets.ham10000 import Ham10000
from lora_ensemble.errors import DataError, UnknownNameError
from lora_ensemble.images import ham10000 as _ham10000
from lora_ensemble.images.ham10000 import CLASSES, LONG_NAMES

pytestmark = pytest.mark.usefixtures("cache")

NUMBER = 140
IMAGES = pictures(NUMBER, shape=(6, 8))
LESIONS = np.random.default_rng(5).integers(0, 60, NUMBER)
NAMES = [f"ISIC_{(i * 37) % 1000:07d}" for i in range(NUMBER)]
METADATA = [
    {"lesion_id": f"HAM_{lesion:07d}", "image_id": name, "dx": CLASSES[lesion % 7], "age": "50"}
    for name, lesion in zip(NAMES, LESIONS, strict=True)
]


def original(folder: Path, *image_folders: str, metadata: str = "HAM10000_metadata.csv") -> Path:
    """Metadata, and the images in one folder or spread over several."""
    write_metadata(folder / metadata, METADATA, "\t" if metadata.endswith(".tab") else ",")
    for i, (name, image) in enumerate(zip(NAMES, IMAGES, strict=True)):
        place = folder / image_folders[i * len(image_folders) // NUMBER]
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{name}.png").write_bytes(png(image))
    return folder


def hub(folder: Path, rows: dict[str, np.ndarray]) -> Path:
    """Parquet files with the hub's long names of the classes."""
    long = {short: name.replace("nevi", "Nevi") for name, short in LONG_NAMES.items()}
    for file, chosen in rows.items():
        columns = {key: [METADATA[i][key] for i in chosen] for key in ("image_id", "lesion_id")}
        dx = [long[METADATA[i]["dx"]] for i in chosen]
        write_parquet(folder / file, IMAGES[chosen], "image", dx=dx, **columns)
    return folder


@pytest.fixture
def folder(tmp_path) -> Path:
    return original(tmp_path / "original", "images")


@pytest.fixture
def forms(tmp_path, folder) -> list[Path]:
    parts = "HAM10000_images_part_1", "HAM10000_images_part_2"
    shuffled = np.random.default_rng(0).permutation(NUMBER)
    overlapping = {"data/train-0.parquet": shuffled[:90], "data/validation-0.parquet": shuffled[80:]}
    with_metadata = hub(tmp_path / "with metadata", overlapping)
    shutil.copy(folder / "HAM10000_metadata.csv", with_metadata)
    (with_metadata / "preview.png").write_bytes(png(IMAGES[0]))
    return [
        folder,
        original(tmp_path / "parts", *parts, metadata="HAM10000_metadata.tab"),
        original(tmp_path / "beside", "."),
        with_metadata,
        hub(tmp_path / "flat", {"train.parquet": np.arange(NUMBER)}),
        hub(tmp_path / "hub", {**overlapping, "data/test-0.parquet": shuffled[30:50]}),
    ]


@pytest.mark.parametrize("fields", [{}, {"grouped": True}, {"protocol": "published"}], ids=str)
def test_every_form_gives_the_same_splits(forms, fields):
    in_order = forms if "protocol" not in fields else forms[:-1]
    first, *others = [Ham10000(str(form), **fields) for form in in_order]
    for name in first.splits:
        split = first.load(name)
        by_id = dict(zip(NAMES, IMAGES, strict=True))
        np.testing.assert_array_equal([e["image"] for e in split.examples], [by_id[name] for name in split.ids])
        for other in others:
            again = other.load(name)
            assert again.ids == split.ids
            np.testing.assert_array_equal(again.labels, split.labels)
            np.testing.assert_array_equal([e["image"] for e in again.examples], [e["image"] for e in split.examples])


@pytest.mark.parametrize("protocol", ["validation", "published"])
def test_grouped_splits_share_no_lesion(folder, protocol):
    lesion_of = {row["image_id"]: row["lesion_id"] for row in METADATA}
    data = Ham10000(str(folder), grouped=True, protocol=protocol)
    lesions = [{lesion_of[name] for name in data.load(split).ids} for split in data.splits]
    assert all(one.isdisjoint(other) for one, other in combinations(lesions, 2))
    assert set().union(*lesions) == set(lesion_of.values())
    by_image = Ham10000(str(folder), protocol=protocol)
    shared = [{lesion_of[name] for name in by_image.load(split).ids} for split in ("train", "test")]
    assert not shared[0].isdisjoint(shared[1])


def test_the_published_split_is_scikit_learns(folder):
    train, test = train_test_split(
        NAMES, test_size=0.2, random_state=42, stratify=[CLASSES.index(row["dx"]) for row in METADATA]
    )
    data = Ham10000(str(folder), protocol="published")
    assert data.splits == ("train", "test")
    assert data.load("train").ids == sorted(train)
    assert data.load("test").ids == sorted(test)
    with pytest.raises(UnknownNameError, match="Available: test, train"):
        data.load("validation")


def test_all_images_in_another_order_have_no_published_split(folder, monkeypatch):
    monkeypatch.setattr(_ham10000, "_WHOLE", NUMBER)
    with pytest.raises(DataError, match=r"the published split follows from the order of the original metadata"):
        Ham10000(str(folder), protocol="published").load("test")
    assert len(Ham10000(str(folder), protocol="published", grouped=True).load("test")) > 0
    assert len(Ham10000(str(folder)).load("test")) == 28


def test_only_training_images_are_augmented_and_rotated_undistorted(folder):
    data = Ham10000(str(folder))
    assert [data.load(split).augment is not None for split in data.splits] == [True, False, False]
    assert data.load("train").augment.aspect == 4 / 3


def test_before_training_all_missing_and_unreadable_images_of_all_splits_are_listed(folder):
    gone, broken = NAMES[::20], NAMES[1::20]
    for name in gone:
        (folder / "images" / f"{name}.png").unlink()
    for name in broken:
        (folder / "images" / f"{name}.png").write_bytes(b"no image")
    with pytest.raises(
        DataError, match=f"^{len(gone) + len(broken)} of 140 images of ham10000 cannot be used"
    ) as caught:
        Ham10000(str(folder)).load("train")
    for name in gone:
        assert f"{name} is missing" in str(caught.value)
    for name in broken:
        assert f"{name} cannot be read" in str(caught.value)


def test_a_split_that_is_not_trained_on_needs_its_own_images_alone(folder):
    data = Ham10000(str(folder))
    ids = {split: data.load(split).ids for split in data.splits}
    (folder / "images" / f"{ids['train'][0]}.png").unlink()
    assert data.load("test").ids == ids["test"]
    (folder / "images" / f"{ids['test'][5]}.png").unlink()
    with pytest.raises(DataError, match=f"^1 of 28 images of ham10000 cannot be used: {ids['test'][5]} is missing$"):
        data.load("test")


def test_a_row_without_its_image_in_the_hubs_form_is_named(tmp_path, folder):
    copy = hub(tmp_path / "hub", {"train.parquet": np.arange(NUMBER - 1)})
    shutil.copy(folder / "HAM10000_metadata.csv", copy)
    with pytest.raises(DataError, match=f"^1 of 140 images of ham10000 cannot be used: {NAMES[-1]} is missing$"):
        Ham10000(str(copy)).load("train")


def test_metadata_that_cannot_be_used(tmp_path, folder):
    table = folder / "HAM10000_metadata.csv"
    whole = table.read_text()
    table.write_text(whole.replace(",mel,", ",melanom,", 1))
    with pytest.raises(DataError, match=r"unknown dx 'melanom' of ISIC_\d+; expected one of bkl, nv"):
        Ham10000(str(folder)).load("test")
    table.write_text(whole.replace("lesion_id", "lesion"))
    with pytest.raises(DataError, match="has no column lesion_id, only lesion, image_id, dx, age"):
        Ham10000(str(folder)).load("test")
    table.write_text("")
    with pytest.raises(DataError, match="has no column image_id, lesion_id, dx, only"):
        Ham10000(str(folder)).load("test")


def test_data_that_are_nowhere(tmp_path, folder):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"no HAM10000 in this folder; expected HAM10000_metadata\.csv with the images"):
        Ham10000(str(tmp_path / "empty")).load("test")
    for file in (folder / "images").iterdir():
        file.rename(file.with_stem(f"x{file.stem}"))
    with pytest.raises(DataError, match=r"none of the 140 images of .* is in its folder or below"):
        Ham10000(str(folder)).load("test")


def test_too_few_images_for_the_published_split(folder):
    lines = (folder / "HAM10000_metadata.csv").read_text().splitlines()
    (folder / "HAM10000_metadata.csv").write_text("\n".join(lines[:4]))
    with pytest.raises(DataError, match="cannot be split as published"):
        Ham10000(str(folder), protocol="published").load("train")


@pytest.mark.data
def test_the_real_metadata_give_the_published_numbers(data_dir):
    table = data_dir / "ham10000" / "HAM10000_metadata.csv"
    rows = _ham10000.read(str(data_dir / "ham10000"), in_order=True)
    assert len(rows.ids) == len(set(rows.ids)) == 10015
    assert len(set(rows.lesions)) == 7470
    assert not rows.out_of_order()
    with table.open() as file:
        appeared = list(dict.fromkeys(row["dx"] for row in csv.DictReader(file)))
    assert appeared == list(CLASSES)
    assert np.bincount(rows.labels).tolist() == [1099, 6705, 115, 1113, 142, 514, 327]
    data = Ham10000(str(data_dir / "ham10000"), protocol="published")
    sizes = {split: len(data._rows(rows, split)) for split in data.splits}
    assert sizes == {"train": 8012, "test": 2003}

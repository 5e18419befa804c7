"""A user's own images: folders of classes, folders with a table, tables of paths or bytes."""

from __future__ import annotations

import csv
import shutil
import warnings
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from image_sources import pictures, png, write_parquet
from PIL import Image

from lora_ensemble.contracts import Split
from lora_ensemble.datasets.image_folder import ImageFolder
from lora_ensemble.datasets.image_table import ImageTable
from lora_ensemble.errors import DataError

PICTURES = pictures(60, shape=(6, 8))
CLASSES = ["cat", "dog", "owl"]
pytestmark = pytest.mark.filterwarnings(
    "ignore:images of image-(folder|table). (converted|differ)",
    "ignore:.* has too few rows of some classes",
)


def written(root: Path, number: int = 60, start: int = 0) -> Path:
    """Images of three classes, in many formats and nested."""
    for i in range(start, number):
        kind = ("png", "bmp", "tiff", "webp", "gif")[i % 5]
        file = root / CLASSES[i % 3] / ("deep/er" if i % 2 else "") / f"patient{i % 12}-{i}.{kind}"
        file.parent.mkdir(parents=True, exist_ok=True)
        options = {"lossless": True} if kind == "webp" else {}
        Image.fromarray(PICTURES[i][: 4 + i % 2]).save(file, **options)
    return root


def table(path: Path, rows: list[dict]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        out = csv.DictWriter(file, list(rows[0]))
        out.writeheader()
        out.writerows(rows)
    return path


def loaded(data: ImageFolder | ImageTable) -> dict[str, Split]:
    return {split: data.load(split) for split in data.splits}


def refused(data: ImageFolder | ImageTable, match: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(DataError, match=match) as caught:
            loaded(data)
    assert "\n" not in str(caught.value)


def test_classes_are_folders(tmp_path):
    splits = loaded(ImageFolder(str(written(tmp_path))))
    ids = [name for split in splits.values() for name in split.ids]
    assert sorted(ids) == sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.*"))
    for split in splits.values():
        assert list(split.classes) == CLASSES
        assert list(split.ids) == sorted(split.ids)
        assert [CLASSES[label] for label in split.labels] == [name.split("/")[0] for name in split.ids]
        for example, name in zip(split.examples, split.ids, strict=True):
            i = int(name.split("-")[1].split(".")[0])
            if not name.endswith("gif"):  # which has 256 colours
                np.testing.assert_array_equal(example["image"], PICTURES[i][: 4 + i % 2])


def test_new_images_move_no_old_one(tmp_path):
    before = loaded(ImageFolder(str(written(tmp_path, 40))))
    after = loaded(ImageFolder(str(written(tmp_path, 60, start=40))))
    assert all(set(before[name].ids) <= set(after[name].ids) for name in before)


@pytest.mark.parametrize(
    "names", [("train", "validation", "test"), ("training", "val", "testing"), ("train", "dev", "test")]
)
def test_folders_of_splits(tmp_path, names):
    for part, name in enumerate(names):
        written(tmp_path / name, 20 * (part + 1), start=20 * part)
    splits = loaded(ImageFolder(str(tmp_path)))
    for name, split in zip(names, splits.values(), strict=True):
        assert len(split) == 20
        assert all(i.startswith(f"{name}/") for i in split.ids)
    shutil.rmtree(tmp_path / names[1])
    carved = loaded(ImageFolder(str(tmp_path)))
    assert carved["test"].ids == splits["test"].ids
    assert sorted([*carved["train"].ids, *carved["validation"].ids]) == list(splits["train"].ids)
    shutil.rmtree(tmp_path / names[2])
    assert {n.split("/")[0] for s in loaded(ImageFolder(str(tmp_path))).values() for n in s.ids} == {names[0]}


def test_a_test_folder_without_classes_has_no_labels(tmp_path):
    written(tmp_path / "train", 40)
    (tmp_path / "test").mkdir()
    for i in range(40, 44):
        (tmp_path / "test" / f"{i}.png").write_bytes(png(PICTURES[i]))
    assert loaded(ImageFolder(str(tmp_path)))["test"].labels is None


def test_a_flat_folder_as_an_out_of_distribution_set(tmp_path):
    for i in range(4):
        (tmp_path / f"{i}.png").write_bytes(png(PICTURES[i]))
    split = ImageFolder(str(tmp_path), carve=False).load("test")
    assert (len(split), split.labels, split.classes) == (4, None, [])
    refused(ImageFolder(str(tmp_path)), "4 of 4 rows of .*: 0.png is in no folder of a class")


def test_groups_and_copies_stay_together(tmp_path):
    written(tmp_path)
    splits = loaded(ImageFolder(str(tmp_path), group="patient[0-9]+-"))
    homes = [{name.split("patient")[1].split("-")[0] for name in split.ids} for split in splits.values()]
    assert all(one.isdisjoint(other) for one, other in combinations(homes, 2))
    for path in [p for p in tmp_path.rglob("*.*") if p.suffix == ".png"]:
        shutil.copy(path, path.with_name(f"copy-of-{path.name}"))
    with pytest.warns(UserWarning, match="has 12 copies of other rows, each in one split"):
        splits = loaded(ImageFolder(str(tmp_path)))
    stems = [{name.split("patient")[1] for name in split.ids} for split in splits.values()]
    assert all(one.isdisjoint(other) for one, other in combinations(stems, 2))
    assert "is no regular expression" in ImageFolder(group="[").problems()[0]


@pytest.mark.parametrize("form", ["metadata.csv", "labels.csv", "table", "stems", "absolute", "parquet"])
def test_tables_of_files(tmp_path, form):
    root = written(tmp_path / "images")
    files = sorted(p for p in root.rglob("*.*"))
    rows = [{"file_name": p.relative_to(root).as_posix(), "animal": p.relative_to(root).parts[0]} for p in files]
    if form == "stems":
        rows = [{"image_id": p.stem, "diagnosis": row["animal"]} for p, row in zip(files, rows, strict=True)]
    if form == "absolute":
        rows = [{"path": str(p), "label": row["animal"]} for p, row in zip(files, rows, strict=True)]
    if form == "parquet":
        write_parquet(
            tmp_path / "t.parquet", [p.read_bytes() for p in files], "photo", kind=[row["animal"] for row in rows]
        )
        data = ImageTable(str(tmp_path / "t.parquet"))
    elif form in ("metadata.csv", "labels.csv"):
        data = ImageFolder(str(table(root / form, rows).parent))
    else:
        data = ImageTable(str(table((root if form == "table" else tmp_path) / "my.csv", rows)))
    splits = loaded(data)
    by_folder = loaded(ImageFolder(str(root))) if "csv" not in form else splits
    for name, split in splits.items():
        assert list(split.classes) == CLASSES
        theirs = {e["image"].tobytes() for e in by_folder[name].examples}
        assert {e["image"].tobytes() for e in split.examples} == theirs
    assert sum(map(len, splits.values())) == 60


def test_columns_of_a_table(tmp_path):
    root = written(tmp_path)
    rows = [
        {"file": p.relative_to(root).as_posix(), "a": p.parts[-1], "kind": p.relative_to(root).parts[0], "who": i % 20}
        for i, p in enumerate(sorted(root.rglob("*.*")))
    ]
    path = str(table(tmp_path / "t.csv", rows))
    refused(ImageTable(path), "which column is the label[?] file, a, kind, who; say so with dataset.label_column")
    refused(ImageTable(path, label_column="kin"), "has no column 'kin' .*Did you mean 'kind'[?]")
    splits = loaded(ImageTable(path, label_column="kind", group_column="who"))
    who = {row["file"]: row["who"] for row in rows}
    homes = [{who[name] for name in split.ids} for split in splits.values()]
    assert all(one.isdisjoint(other) for one, other in combinations(homes, 2))
    refused(
        ImageTable(str(table(tmp_path / "u.csv", [{"x": 1, "label": 2}]))), "which column has the files[?] x, label"
    )


def test_images_that_cannot_be_used(tmp_path):
    root = written(tmp_path)
    (root / "cat" / "broken.png").write_bytes(b"no image")
    (root / "cat" / "cut.png").write_bytes(png(PICTURES[0])[:-40])
    (root / "dog" / "lost.jpg").symlink_to(root / "nowhere.jpg")
    refused(
        ImageFolder(str(root)), r"^3 of 63 images of image-folder cannot be used: .*broken.png .*lost.jpg is missing"
    )
    with pytest.warns(UserWarning, match="3 of 63 images .* left out"):
        assert len(ImageFolder(str(root), skip_unreadable=True).load("train")) > 30
    (root / "dog" / "phone.heic").write_bytes(b"")
    (root / "stray.png").write_bytes(png(PICTURES[0]))
    refused(
        ImageFolder(str(root)), "^2 of 65 rows of .*stray.png is in no folder of a class.*phone.heic is in a format"
    )


def test_a_folder_without_a_readable_file(tmp_path):
    refused(ImageFolder(str(tmp_path)), r"has no images \(.jpg, .*\), but no file at all")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "notes.txt").touch()
    refused(ImageFolder(str(tmp_path)), "but 1 other files, such as a/notes.txt")
    for name in "ab":
        (tmp_path / name).mkdir(exist_ok=True)
        for i in range(30):
            (tmp_path / name / f"{i}.png").write_bytes(f"{name}{i}".encode())
    refused(ImageFolder(str(tmp_path), skip_unreadable=True), "60 of 60 images of image-folder cannot be used")
    refused(ImageFolder(str(tmp_path / "nowhere")), "expected a folder with one subfolder for each class")


@pytest.mark.filterwarnings("ignore:.* copies of other rows")
def test_folders_in_doubt(tmp_path):
    written(tmp_path / "train")
    written(tmp_path / "test", 10)
    written(tmp_path, 10)
    refused(ImageFolder(str(tmp_path)), "is split into test and train: 'cat' beside them is none")
    shutil.rmtree(tmp_path / "test")
    assert set(ImageFolder(str(tmp_path)).load("train").classes) == {*CLASSES, "train"}
    for name in ("cat", "dog", "owl"):
        shutil.rmtree(tmp_path / name)
    written(tmp_path / "val", 10)
    written(tmp_path / "valid", 10)
    refused(ImageFolder(str(tmp_path)), "has two folders for the validation split")


def test_one_class_and_ten_of_one_image(tmp_path):
    for i in range(30):
        file = tmp_path / "one" / "cat" / f"{i}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(png(PICTURES[i]))
    refused(ImageFolder(str(tmp_path / "one")), "has one class alone, 'cat': expected at least two")
    for i in range(10):
        file = tmp_path / "ten" / str(i) / "a.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(png(PICTURES[i]))
    refused(ImageFolder(str(tmp_path / "ten")), r"too few rows for a \w+ split: 10 in 10 classes, .* '0' \(1\)")


def test_the_hub_by_id(tmp_path, monkeypatch, cache):
    """The hub is a folder here; what reads it is the real thing."""
    import datasets

    for part, start in (("train", 0), ("test", 30)):
        images = [png(image) for image in PICTURES[start : start + 30]]
        write_parquet(
            tmp_path / "hub" / "data" / f"{part}-00000-of-00001.parquet",
            images,
            "image",
            fine=[i % 3 for i in range(30)],
        )
    real = datasets.load_dataset
    monkeypatch.setattr(datasets, "load_dataset", lambda data, config=None: real(str(tmp_path / "hub"), config))
    splits = loaded(ImageTable("owner/name", label_column="fine"))
    assert [len(splits["test"]), len(splits["train"]) + len(splits["validation"])] == [30, 30]
    assert splits["test"].classes == ["0", "1", "2"]

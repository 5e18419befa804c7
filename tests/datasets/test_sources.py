"""A field `data` is a folder or a hub id; the parquet files of a split are found by name."""

from __future__ import annotations

import pytest

from lora_ensemble.errors import DataError
from lora_ensemble.sources.rows import EncodedImages, local_folder, parquet_files


@pytest.mark.parametrize(
    "files",
    [
        ["test.parquet"],
        ["data/test-00000-of-00002-61e7cf54.parquet", "data/test-00001-of-00002-61e7cf54.parquet"],
        ["cropped/svhn-test.parquet"],
        ["plain_text/test/0000.parquet"],
    ],
    ids=lambda files: files[0],
)
def test_the_files_of_a_split(tmp_path, files):
    folder = tmp_path / "my test data"
    others = [file.replace("test", "train") for file in files] + ["attested.parquet", "README.md"]
    for file in [*files, *others]:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()
    assert parquet_files(folder, "test") == [folder / file for file in files]
    assert len(parquet_files(folder)) == 2 * len(files) + 1
    assert parquet_files(folder, "validation") == []


def test_folder_or_hub_id(tmp_path, monkeypatch):
    assert local_folder(str(tmp_path)) == tmp_path
    assert local_folder("uoft-cs/cifar10") is None
    (tmp_path / "owner" / "name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert local_folder("owner/name") is not None
    (tmp_path / "file").touch()
    for wrong in ("file", "cifar10", "a/b/c", "/nowhere", "./here", "../there", ""):
        with pytest.raises(DataError, match="expected a folder that exists, or a hub id"):
            local_folder(wrong)


def test_encoded_images_are_read_when_asked_for(tmp_path):
    from datasets import Dataset

    cells = [{"bytes": b"one", "path": None}, {"bytes": None, "path": "two.png"}]
    images = EncodedImages(Dataset.from_dict({"image": cells, "n": [1, 2]}), "image", [1, None, 0])
    assert [images[0].name, images[2]] == ["two.png", b"one"]
    with pytest.raises(FileNotFoundError):
        images[1]
    assert images.take([2, 2])[1] == b"one"

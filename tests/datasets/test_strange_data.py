"""Data that lie, or ask for too much: the right answer, or one line that says what is wrong."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct

import numpy as np
import pytest
from image_sources import pictures, png, write_metadata, write_parquet, write_pickle
from PIL import Image

from lora_ensemble.datasets.audio_folder import AudioFolder
from lora_ensemble.datasets.cifar10 import Cifar10
from lora_ensemble.datasets.ham10000 import Ham10000
from lora_ensemble.datasets.multiple_choice import MultipleChoice
from lora_ensemble.datasets.svhn import Svhn
from lora_ensemble.errors import DataError
from lora_ensemble.images.decoding import checked
from lora_ensemble.sources.folders import files_below
from lora_ensemble.sources.pickles import read_pickle
from lora_ensemble.sources.tables import rows


def refused(call, match: str) -> None:
    with pytest.raises(DataError, match=match) as caught:
        call()
    assert "\n" not in str(caught.value)


# images


def sixteen(values: np.ndarray, kind: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(values.astype(np.uint16)).save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.filterwarnings("ignore:images of photos. converted to RGB")
def test_sixteen_bits_are_scaled_and_not_cut(kind):
    values = np.array([[0, 100, 257], [32768, 65279, 65535]])
    read = checked([sixteen(values, kind)], ["a"], "photos")[0]["image"]
    np.testing.assert_array_equal(read, np.repeat((values / 257).round().astype(np.uint8)[..., None], 3, -1))
    assert len(np.unique(read)) == 5


@pytest.mark.filterwarnings("ignore:images of photos. converted to RGB")
def test_floats_are_scaled_or_refused():
    def tiff(values) -> bytes:
        file = io.BytesIO()
        Image.fromarray(np.array(values, np.float32)).save(file, "TIFF")
        return file.getvalue()

    np.testing.assert_array_equal(checked([tiff([[0, 0.5, 1]])], ["a"], "photos")[0]["image"][0, :, 0], [0, 128, 255])
    refused(lambda: checked([tiff([[0, 7.5]])], ["a"], "photos"), "mode F with values from 0 to 7.5: expected 0 to 1")


def bomb(width: int, height: int) -> bytes:
    """A PNG file whose header alone is there: decoding it would fail, and so would show."""
    import zlib

    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header)) + b"\0\0\0dIDAT"
    )


def test_a_decompression_bomb_is_refused_by_its_size():
    for size in [(100_000, 100_000), (12_000, 12_000), (9_000, 9_000)]:
        refused(
            lambda size=size: checked([bomb(*size)], ["a"], "photos"), "1 of 1 images of photos .*: a cannot be read"
        )
    refused(lambda: checked([bomb(9_000, 9_000)], ["a"], "photos"), "9000 x 9000 pixels, at most 80000000 are decoded")


def test_a_cell_without_bytes(tmp_path):
    import pyarrow
    import pyarrow.parquet

    cells = [{"bytes": png(pictures(1)[0]), "path": None}, {"bytes": None, "path": None}, None]
    pyarrow.parquet.write_table(pyarrow.table({"img": cells, "label": [0, 1, 2]}), tmp_path / "test.parquet")
    refused(
        lambda: Cifar10(str(tmp_path)).load("test"), r"2 of 3 images .*row 1 of test cannot be read \(the cell holds"
    )


# labels


@pytest.mark.parametrize("label", [99, -1, 10])
def test_cifar_labels_that_are_no_class(tmp_path, label):
    write_parquet(tmp_path / "test.parquet", pictures(3), "img", label=[0, label, 2])
    refused(lambda: Cifar10(str(tmp_path)).load("test"), rf"row 1: label {label}: expected a whole number from 0 to 9")
    write_pickle(tmp_path / "p" / "test_batch", pictures(2), [0, label], "labels")
    for i in range(1, 6):
        write_pickle(tmp_path / "p" / f"data_batch_{i}", pictures(1), [0], "labels")
    refused(lambda: Cifar10(str(tmp_path / "p")).load("test"), rf"test_batch, row 1: label {label}: expected")


@pytest.mark.parametrize("label", [1.5, 2.0, "cat", True, None])
def test_cifar_labels_of_another_type(tmp_path, label):
    write_pickle(tmp_path / "test_batch", pictures(2), [0, 0], "labels")
    values = {b"data": pictures(2).transpose(0, 3, 1, 2).reshape(2, -1), b"labels": [1, label]}
    (tmp_path / "test_batch").write_bytes(pickle.dumps(values))
    refused(lambda: Cifar10(str(tmp_path)).load("test"), rf"row 1: label {label!r}: expected a whole number")


@pytest.mark.parametrize("labels", [["one", "two"], ["1", "2"]])
def test_text_labels_of_tables(tmp_path, labels):
    write_parquet(tmp_path / "test.parquet", pictures(2), "img", label=labels)
    refused(lambda: Cifar10(str(tmp_path)).load("test"), rf"row 0: label '{labels[0]}': expected a whole number")
    refused(lambda: Svhn(str(tmp_path)).load("test"), rf"row 0: label '{labels[0]}': expected a whole number")


# folders


def test_links_are_followed_and_circles_end(tmp_path):
    root, far = tmp_path / "root", tmp_path / "far"
    for name in ("root/a/1.wav", "root/a/.hidden/2.wav", "far/b/3.wav", "far/b/deep/4.wav", "far/5.wav"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (root / "b").symlink_to(far / "b")
    (root / "a" / "linked.wav").symlink_to(far / "5.wav")
    (root / "a" / "again").symlink_to(root)
    (far / "b" / "deep" / "up").symlink_to(far / "b")
    (root / "a" / "lost.wav").symlink_to(tmp_path / "nowhere.wav")
    found = [path.relative_to(root).as_posix() for path in files_below(root)]
    assert sorted(found) == ["a/1.wav", "a/linked.wav", "a/lost.wav", "b/3.wav", "b/deep/4.wav"]


def test_a_linked_class_is_a_class(tmp_path):
    from audio_sources import sounds, write_sound

    for name, place in (("dog", "data"), ("cat", "data"), ("rain", "elsewhere")):
        for i, sound in enumerate(sounds(20, seed=len(name))):
            write_sound(tmp_path / place / name / f"{i}.wav", sound)
    (tmp_path / "data" / "rain").symlink_to(tmp_path / "elsewhere" / "rain")
    split = AudioFolder(str(tmp_path / "data")).load("train")
    assert split.classes == ["cat", "dog", "rain"]
    assert set(split.labels) == {0, 1, 2}


def test_linked_image_folders_of_ham10000(tmp_path):
    names = [f"ISIC_{i}" for i in range(70)]
    codes = ("bkl", "nv", "df", "mel", "vasc", "bcc", "akiec")
    table = [{"lesion_id": f"L{i}", "image_id": name, "dx": codes[i % 7]} for i, name in enumerate(names)]
    write_metadata(tmp_path / "data" / "HAM10000_metadata.csv", table)
    (tmp_path / "elsewhere").mkdir()
    for name, image in zip(names, pictures(70, shape=(6, 8)), strict=True):
        (tmp_path / "elsewhere" / f"{name}.png").write_bytes(png(image))
    (tmp_path / "data" / "HAM10000_images_part_1").symlink_to(tmp_path / "elsewhere")
    assert len(Ham10000(str(tmp_path / "data")).load("test")) == 14


@pytest.mark.parametrize("kind", [AudioFolder, Ham10000])
def test_a_folder_that_may_not_be_read(tmp_path, monkeypatch, kind):
    (tmp_path / "a").mkdir()
    write_metadata(tmp_path / "HAM10000_metadata.csv", [{"lesion_id": "1", "image_id": "I", "dx": "nv"}])
    real = os.scandir

    def denied(path):
        if str(path).endswith("/a"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", denied)
    refused(lambda: kind(str(tmp_path)).load("train"), r"folder '.*/a' cannot be read: Permission denied")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path):
    file = tmp_path / "train.jsonl"
    file.write_text("{}")
    file.chmod(0)
    refused(lambda: rows(file), "cannot be read: .*Permission denied")


@pytest.mark.parametrize("name", ["../ISIC_1", "a/b", "a\\b", "", "/etc/passwd"])
def test_ids_that_lead_out_of_the_folder(tmp_path, name):
    write_metadata(tmp_path / "HAM10000_metadata.csv", [{"lesion_id": "1", "image_id": name, "dx": "nv"}])
    (tmp_path / "x.jpg").touch()
    refused(lambda: Ham10000(str(tmp_path)).load("train"), "image_id .*: expected a name of letters, digits")


# tables of questions

GOOD = {"question": "Which?", "choices": ["this", "that"], "answer": 0}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        ('{"question": "Which \\ud800?", "choices": ["a", "b"], "answer": 0}', "a text with a lone surrogate"),
        ('{"question": "Which?", "choices": ["a", "b\\udfff"], "answer": 0}', "a text with a lone surrogate"),
        ('{"question": "Which?", "choices": ["a", "b"], "answer": ' + "9" * 5000 + "}", "Exceeds the limit"),
        ('{"question": "Which?", "choices": ["a", "b"], "answer": "' + "9" * 5000 + '"}', "answer '999.* is not among"),
        ('{"question": "Which?", "choices": "' + "[" * 100_000 + '", "answer": 1}', "expected a JSON list of texts"),
    ],
    ids=["lists", "objects", "surrogate", "surrogate in a choice", "number", "digits", "nested choices"],
)
def test_questions_that_no_program_would_write(tmp_path, text, said):
    (tmp_path / "q.jsonl").write_text(json.dumps(GOOD) + "\n" + text + "\n")
    refused(lambda: MultipleChoice(str(tmp_path / "q.jsonl")).load("train"), f"(line 2.*{said}|{said}.*)")
    (tmp_path / "q.json").write_text(f"[{json.dumps(GOOD)}, {text}]")
    refused(lambda: MultipleChoice(str(tmp_path / "q.json")).load("train"), said)


def test_a_pair_of_surrogates_is_a_character(tmp_path):
    (tmp_path / "q.jsonl").write_text('{"a": "\\ud83d\\ude00"}')
    assert rows(tmp_path / "q.jsonl")[0][1] == {"a": "\N{GRINNING FACE}"}


def test_a_cell_of_a_million_characters(tmp_path):
    (tmp_path / "t.csv").write_text("text,label\n" + "x" * 10**6 + ",1\n")
    assert len(rows(tmp_path / "t.csv")[0][1]["text"]) == 10**6


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl"])
def test_another_encoding(tmp_path, name):
    (tmp_path / name).write_bytes('{"text": "café"}\n'.encode("latin-1"))
    refused(lambda: rows(tmp_path / name), r"is not UTF-8 \(.*name the encoding of the file")
    refused(
        lambda: rows(tmp_path / name, "klingon"), "encoding = 'klingon': unknown encoding: klingon; expected a name"
    )


def test_delimiters_and_quotes(tmp_path):
    (tmp_path / "a.csv").write_text('text;label\n"one; two";a\nthree, four;b\n')
    assert [row for _, row in rows(tmp_path / "a.csv")] == [
        {"text": "one; two", "label": "a"},
        {"text": "three, four", "label": "b"},
    ]
    (tmp_path / "b.tsv").write_text('text\tlabel\n"one\ttwo"\ta\n')
    assert rows(tmp_path / "b.tsv")[0][1] == {"text": "one\ttwo", "label": "a"}
    (tmp_path / "c.tsv").write_text('text\tlabel\n"Oh" he said\ta\n"never closed\tb\n')
    assert [row["text"] for _, row in rows(tmp_path / "c.tsv")] == ['"Oh" he said', '"never closed']
    (tmp_path / "d.csv").write_text("a,b,a\n1,2,3\n")
    refused(lambda: rows(tmp_path / "d.csv"), "has the column 'a' twice")


# pickles


@pytest.mark.parametrize(
    "opcodes",
    [
        b"\x80\x02}r" + struct.pack("<I", 0x7FFFFFFF) + b".",
        b"\x80\x04}p2000000000\n.",
        b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40) + b"x.",
        b"\x80\x04\x96" + struct.pack("<Q", 1 << 33) + b"x.",
        b"\x80\x02T" + struct.pack("<i", 0x7FFFFFFF) + b"x.",
    ],
    ids=["memo", "text memo", "bytes", "bytearray", "string"],
)
def test_a_pickle_that_asks_for_gigabytes(tmp_path, opcodes):
    import tracemalloc

    (tmp_path / "batch").write_bytes(opcodes)
    tracemalloc.start()
    refused(lambda: read_pickle(tmp_path / "batch"), "is no readable pickle")
    assert tracemalloc.get_traced_memory()[1] < 10 << 20
    tracemalloc.stop()


def test_a_pickle_whose_lists_hold_each_other(tmp_path):
    value: list = [1]
    for _ in range(60):
        value = [value, value]
    circle: list = []
    circle.append(circle)
    (tmp_path / "batch").write_bytes(pickle.dumps({"a": value, "b": circle}))
    assert set(read_pickle(tmp_path / "batch")) == {"a", "b"}


def test_a_pickle_that_encodes_one_text_again_and_again(tmp_path):
    text = "\xff" * 1000
    call = b"c_codecs\nencode\n"
    again = b"".join(call + b"h\x00X\x06\x00\x00\x00latin1\x86R" for _ in range(1000))
    data = text.encode()
    (tmp_path / "batch").write_bytes(
        b"\x80\x02}X\x01\x00\x00\x00a(lX" + struct.pack("<I", len(data)) + data + b"q\x000(" + again + b"tas."
    )
    refused(
        lambda: read_pickle(tmp_path / "batch"), "is no readable pickle: UnpicklingError: it asks for several times"
    )

"""Rows to be answered: every form, in order, chunk by chunk, labels where they are known."""

from __future__ import annotations

import io
import json
import sys
import tracemalloc

import numpy as np
import pytest
from audio_sources import floats, sounds, write_sound
from image_sources import pictures, png

from lora_ensemble.datasets.text_table import TextTable
from lora_ensemble.errors import DataError, UnknownNameError
from lora_ensemble.sources.incoming import UNKNOWN, Options, read

PICTURES = pictures(10, shape=(5, 6))


def together(path, modality, **options):
    """Ids, examples and labels of all chunks."""
    splits = list(read(path, modality, Options(**options)))
    assert all(split.modality == modality for split in splits)
    ids = [i for split in splits for i in split.ids]
    examples = [e for split in splits for e in split.examples]
    labels = [None if s.labels is None else s.labels[i] for s in splits for i in range(len(s))]
    return ids, examples, labels


def images(root, names):
    for name, image in zip(names, PICTURES, strict=False):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(png(image))
    return root


@pytest.mark.parametrize("chunk", [1, 3, 100])
def test_a_flat_folder_and_a_tree(tmp_path, chunk):
    root = images(tmp_path / "flat", [f"{i}.png" for i in range(10)])
    (root / "notes.txt").touch()
    ids, examples, labels = together(root, "image", chunk=chunk, classes=("a", "b"))
    assert ids == [f"{i}.png" for i in range(10)]
    assert labels == [None] * 10
    np.testing.assert_array_equal([e["image"] for e in examples], PICTURES)
    assert together(root, "image", chunk=chunk, start=7)[0] == ids[7:]
    root = images(tmp_path / "tree", [f"{'ab'[i % 2]}/deep/{i}.png" for i in range(10)])
    ids, _, labels = together(root, "image", chunk=chunk, classes=("b", "a", "c"))
    assert sorted(ids) == sorted(f"{'ab'[i % 2]}/deep/{i}.png" for i in range(10))
    assert labels == [{"a": 1, "b": 0}[name[0]] for name in ids]
    assert together(root, "image", classes=("b", "c"))[2] == [None] * 10
    assert together(root / "a" / "deep" / "0.png", "image")[0] == ["0.png"]


def test_a_table_of_images(tmp_path):
    root = images(tmp_path, [f"{i}.png" for i in range(10)])
    (tmp_path / "t.csv").write_text("file,label\n" + "".join(f"{i}.png,{'ab'[i % 2]}\n" for i in range(9, -1, -1)))
    ids, examples, labels = together(root / "t.csv", "image", classes=("a", "b"), chunk=4)
    assert ids == [f"{i}.png" for i in range(9, -1, -1)]
    assert labels == [i % 2 for i in range(9, -1, -1)]
    np.testing.assert_array_equal([e["image"] for e in examples], PICTURES[::-1])


def test_broken_images_stop_or_are_left_out(tmp_path):
    root = images(tmp_path, [f"{i}.png" for i in range(10)])
    (root / "3.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"1 of 10 images of the input cannot be used: 3.png cannot be read"):
        together(root, "image")
    with pytest.warns(UserWarning, match="left out"):
        assert together(root, "image", skip_unreadable=True)[0] == [f"{i}.png" for i in range(10) if i != 3]
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="has no images"):
        together(tmp_path / "none", "image")


def test_sounds(tmp_path):
    for i, sound in enumerate(sounds(4)):
        write_sound(tmp_path / f"{i}.wav", sound)
    ids, examples, labels = together(tmp_path, "audio")
    assert (ids, labels) == ([f"{i}.wav" for i in range(4)], [None] * 4)
    np.testing.assert_array_equal(examples[2]["audio"], floats(sounds(4)[2]))


@pytest.mark.parametrize("form", ["csv", "jsonl", "txt", "stdin", "one column"])
def test_texts(tmp_path, form, monkeypatch):
    texts = [f"what is {i}, and why" for i in range(20)]
    path, labels = tmp_path / "t.csv", [i % 2 for i in range(20)]
    if form == "csv":
        path.write_text("text,label\n" + "".join(f'"{t}",{"ab"[i % 2]}\n' for i, t in enumerate(texts)))
    elif form == "one column":
        path.write_text("anything\n" + "".join(f'"{t}"\n' for t in texts))
        labels = [None] * 20
    elif form == "txt":
        path = tmp_path / "t.txt"
        path.write_text("\n".join(texts))
        labels = [None] * 20
    else:
        path = tmp_path / "t.jsonl"
        rows = [{"text": t, "label": None if i == 3 else "ab"[i % 2]} for i, t in enumerate(texts)]
        path.write_text("\n".join(map(json.dumps, rows)))
        labels[3] = UNKNOWN
    if form == "stdin":
        monkeypatch.setattr(sys, "stdin", io.StringIO(path.read_text()))
        path = "-"
    ids, examples, found = together(path, "text", classes=("a", "b"), chunk=8)
    assert ids == [str(i) for i in range(20)]
    assert [e["text"] for e in examples] == texts
    assert found == labels


def test_labels_that_were_not_learned(tmp_path):
    (tmp_path / "t.csv").write_text("text,label\nwhat is it,hapy\nand this one,happy\n")
    with pytest.raises(
        DataError, match=r"row '0': label 'hapy' was not learned. Did you mean 'happy'[?] The classes are"
    ):
        together(tmp_path / "t.csv", "text", classes=("happy", "sad"))
    assert together(tmp_path / "t.csv", "text", classes=("happy", "sad"), label_column="")[2] == [None, None]


def test_columns_of_the_run_are_those_of_the_input(tmp_path):
    (tmp_path / "t.csv").write_text("name,a,b\nx,what is it,a longer text of no importance\n")
    data = TextTable(text_column="a", label_column="gone", id_column="name")
    options = Options.of(data, classes=("u", "v"))
    (split,) = read(tmp_path / "t.csv", "text", options)
    assert (split.ids, list(split.examples)) == (["x"], [{"text": "what is it"}])


def test_questions(tmp_path):
    rows = [{"question": f"Which {i}?", "choices": ["this", "that"], "answer": "ba"[i % 2]} for i in range(6)]
    (tmp_path / "q.jsonl").write_text("\n".join(map(json.dumps, rows)))
    ids, examples, labels = together(tmp_path / "q.jsonl", "choices", classes=("a", "b", "c"), chunk=4)
    assert (ids, labels) == ([str(i) for i in range(6)], [1, 0] * 3)
    assert examples[1] == {"question": "Which 1?", "choices": ["this", "that"]}
    assert together(tmp_path / "q.jsonl", "choices", label_column="")[2] == [None] * 6
    rows[2]["choices"] = ["one"]
    del rows[4]["answer"]
    (tmp_path / "q.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(DataError, match=r"1 of 6 rows .* cannot be used: 2: .*line 3: answer 'b' is not among"):
        together(tmp_path / "q.jsonl", "choices", classes=("a", "b"))
    with pytest.warns(UserWarning, match="left out"):
        assert together(tmp_path / "q.jsonl", "choices", skip_unreadable=True)[2] == [None] * 5


def test_what_is_nowhere(tmp_path):
    for modality in ("image", "text", "choices"):
        with pytest.raises(DataError, match=r"expected a file, a folder, or - for lines of JSON"):
            together(tmp_path / "nothing", modality)
        (tmp_path / "t.csv").write_text("text\n")
        with pytest.raises(DataError, match="has no rows"):
            together(tmp_path / "t.csv", modality)
    with pytest.raises(UnknownNameError, match=r"unknown modality 'images'\. Did you mean 'image'"):
        together(tmp_path, "images")


def test_memory_does_not_grow_with_the_table(tmp_path):
    """Twenty times the rows, the same peak."""

    def peak(number: int) -> int:
        path = tmp_path / f"{number}.csv"
        path.write_text(
            "text\n" + "".join(f"the {i}th of many texts of some length {'x' * 100}\n" for i in range(number))
        )
        tracemalloc.start()
        assert sum(len(split) for split in read(path, "text")) == number
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(40_000) < 1.2 * peak(2_000)


def test_a_column_that_the_user_names_must_be_there(tmp_path):
    (tmp_path / "rows.csv").write_text("one,two\nsome text of rows,0\nanother text,1\n")
    options = Options.of(TextTable(), text_column="tow")
    with pytest.raises(DataError, match=r"no column 'tow' \(--text-column\), only one, two\. Did you mean 'two'"):
        list(read(tmp_path / "rows.csv", "text", options))

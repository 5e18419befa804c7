"""A user's table of texts: columns found by themselves or asked for, splits carved, strange rows counted."""

from __future__ import annotations

import csv
import json
import warnings
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from lora_ensemble.contracts import Split
from lora_ensemble.datasets.text_table import TextTable
from lora_ensemble.errors import DataError, UnknownNameError

ROWS = [
    {"text": f"the {i}th text of {'joy' if i % 2 else 'grief'}", "label": ["sad", "glad"][i % 2]} for i in range(100)
]


def write(path: Path, rows: list[dict], **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    elif path.suffix in (".json", ".jsonl"):
        lines = [json.dumps(row) for row in rows]
        path.write_text("\n".join(lines) if path.suffix == ".jsonl" else f"[{','.join(lines)}]")
    else:
        with path.open("w", newline="", **options) as file:
            table = csv.DictWriter(file, list(rows[0]), delimiter="\t" if path.suffix == ".tsv" else ",")
            table.writeheader()
            table.writerows(rows)
    return path


def loaded(path: Path, **fields) -> dict[str, Split]:
    data = TextTable(str(path), **fields)
    return {split: data.load(split) for split in data.splits}


def refused(path: Path, match: str, **fields) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(DataError, match=match) as caught:
            loaded(path, **fields)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".json", ".parquet"])
def test_every_form_gives_the_same_splits(tmp_path, suffix):
    splits = loaded(write(tmp_path / f"t{suffix}", ROWS[::-1]))
    expected = loaded(write(tmp_path / "expected.jsonl", ROWS))
    assert sum(map(len, splits.values())) == 100
    for name, split in splits.items():
        assert split.ids == expected[name].ids
        assert list(split.examples) == list(expected[name].examples)
        np.testing.assert_array_equal(split.labels, expected[name].labels)
        assert split.classes == ["glad", "sad"]
        assert all((label == 0) == ("joy" in e["text"]) for e, label in zip(split.examples, split.labels, strict=True))
    for one, other in combinations(splits.values(), 2):
        assert set(one.ids).isdisjoint(other.ids)


@pytest.mark.parametrize(
    ("names", "pair"),
    [
        (("utterance", "intent"), None),
        (("Review", "Sentiment"), None),
        (("a", "b"), None),
        (("words", "label"), None),
        (("sentence", "whatever"), None),
        (("premise", "hypothesis", "label"), "hypothesis"),
        (("question", "sentence", "label"), "sentence"),
    ],
)
def test_columns_are_found(tmp_path, names, pair):
    first, label = names[0], names[-1]
    rows = [{first: r["text"], **({pair: "as well"} if pair else {}), label: r["label"]} for r in ROWS]
    for order in (1, -1):
        split = loaded(write(tmp_path / "t.csv", [dict(list(row.items())[::order]) for row in rows]))["train"]
        assert split.classes == ["glad", "sad"]
        assert set(split.examples[0]) == ({"text", "text_pair"} if pair else {"text"})
        assert split.examples[0]["text"].startswith("the ")


def test_columns_in_doubt_are_asked_for(tmp_path):
    path = write(tmp_path / "t.csv", [{"one": r["text"], "two": r["text"][::-1], "three": r["label"]} for r in ROWS])
    refused(path, "which column is the text[?] one, two, three; say so with dataset.text_column")
    refused(
        path, "has no column 'on' .dataset.text_column., only one, two, three. Did you mean 'one'[?]", text_column="on"
    )
    split = loaded(path, text_column="one", label_column="three", pair_column="two")["train"]
    assert set(split.examples[0]) == {"text", "text_pair"}
    same = write(tmp_path / "u.csv", [{"one": f"{i:02}", "two": f"{i % 2:03}"} for i in range(50)])
    refused(same, "which column is the text[?] one, two")  # longer, but less distinct
    refused(
        write(tmp_path / "v.csv", [{"text": "a", "x": "1", "y2": "2"}]),
        r"which column is the label[?] text, x, y2; say so with dataset.label_column",
    )


def test_splits_of_a_column_and_of_files(tmp_path):
    rows = [{**row, "split": ["train", "train", "dev", "test"][i // 2 % 4]} for i, row in enumerate(ROWS)]
    column = loaded(write(tmp_path / "t.csv", rows))
    for part, name in (("train", "train"), ("dev", "validation"), ("test", "test")):
        write(
            tmp_path / "folder" / f"{part}.csv",
            [{k: row[k] for k in ("text", "label")} for row in rows if row["split"] == part],
        )
        assert {e["text"] for e in column[name].examples} == {row["text"] for row in rows if row["split"] == part}
    files = loaded(tmp_path / "folder")
    assert {name: split.ids for name, split in files.items()} == {name: split.ids for name, split in column.items()}
    (tmp_path / "folder" / "dev.csv").unlink()
    carved = loaded(tmp_path / "folder")
    assert carved["test"].ids == files["test"].ids
    assert sorted([*carved["train"].ids, *carved["validation"].ids]) == sorted(files["train"].ids)
    rows[3]["split"] = "tset"
    refused(write(tmp_path / "t.csv", rows), "line 5: split = 'tset' is none of train, validation and test")
    rows[3]["split"] = ""
    refused(write(tmp_path / "t.csv", rows), "1 rows name no split")


def test_a_test_split_may_lack_labels(tmp_path):
    write(tmp_path / "train.csv", ROWS)
    write(tmp_path / "test.csv", [{"text": "new", "label": ""}, {"text": "newer", "label": ""}])
    assert loaded(tmp_path)["test"].labels is None
    write(tmp_path / "test.csv", [{"text": "new", "label": "sad"}, {"text": "newer", "label": ""}])
    refused(tmp_path, "1 of 2 rows of .* have no label")


def test_everything_for_testing(tmp_path):
    path = write(tmp_path / "oos.jsonl", [{"text": f"out of scope {i}"} for i in range(20)])
    assert {name: (len(s), s.labels, s.classes) for name, s in loaded(path, carve=False).items()} == {
        "test": (20, None, [])
    }
    split = loaded(write(tmp_path / "t.csv", ROWS), carve=False)["test"]
    assert len(split) == len(split.labels) == 100


def test_groups_and_copies_stay_together(tmp_path):
    rows = [{**row, "author": f"a{i % 25}"} for i, row in enumerate(ROWS)]
    splits = loaded(write(tmp_path / "t.csv", rows), group_column="author")
    author = {row["text"]: row["author"] for row in rows}
    homes = [{author[e["text"]] for e in split.examples} for split in splits.values()]
    assert all(one.isdisjoint(other) for one, other in combinations(homes, 2))
    with pytest.warns(UserWarning, match="has 100 copies of other rows, each in one split"):
        twice = loaded(write(tmp_path / "u.csv", [*ROWS, *({**r, "text": f" {r['text']} "} for r in ROWS)]))
    with pytest.warns(
        UserWarning, match="has 1 copies of other rows, each in one split; 1 have copies with another label"
    ):
        loaded(write(tmp_path / "v.csv", [*ROWS, {**ROWS[0], "label": "glad"}]))
    texts = [{e["text"].strip() for e in split.examples} for split in twice.values()]
    assert all(one.isdisjoint(other) for one, other in combinations(texts, 2))
    assert sum(map(len, twice.values())) == len({i for split in twice.values() for i in split.ids}) == 200


def test_strange_rows_are_counted_and_listed_and_skipped_when_asked(tmp_path):
    rows = [*ROWS, *({"text": " ", "label": "sad"} for _ in range(7))]
    path = write(tmp_path / "t.csv", rows)
    refused(
        path, r"^7 of 107 rows of .* cannot be used: .*line 102: no text in 'text', .* and 2 more; dataset.skip_unr"
    )
    with pytest.warns(UserWarning, match="7 of 107 rows .* left out"):
        assert sum(map(len, loaded(path, skip_unreadable=True).values())) == 100


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"text": f"t{i}", "label": "one"} for i in range(50)], "has one class alone, 'one'"),
        ([{"text": f"t{i}", "label": ""} for i in range(50)], "has no class"),
        (
            [{"text": f"t{i}", "label": i} for i in range(10)],
            r"too few rows for a \w+ split: 10 in 10 classes, .*'0' \(1\)",
        ),
        ([{"text": f"t{i}", "label": i / 7} for i in range(50)], "are numbers with a fraction"),
        ([{"text": f"t{i}", "label": "" if i == 9 else i % 2} for i in range(50)], "1 of 50 rows .* have no label"),
        ([{"id": 1, "text": f"t{i}", "label": i % 2} for i in range(50)], "id '1' is that of two rows"),
    ],
    ids=["one class", "no class", "ten of one", "floats", "unlabelled", "ids"],
)
def test_labels_and_ids_that_are_none(tmp_path, rows, said):
    refused(write(tmp_path / "t.csv", rows), said)


def test_rare_classes_are_named(tmp_path):
    rows = [*ROWS, {"text": "what is this", "label": "odd"}]
    with pytest.warns(UserWarning, match="no row of 'odd' in the validation split; no row of 'odd' in the test split"):
        splits = loaded(write(tmp_path / "t.csv", rows))
    assert 1 in splits["train"].labels


def test_data_that_are_nowhere_or_no_text(tmp_path):
    refused(tmp_path / "nothing.csv", "expected a table .*, a folder of them, or a hub id")
    refused(tmp_path, "expected one table, or one for each split .*; there are none")
    write(tmp_path / "one.csv", ROWS)
    write(tmp_path / "two.csv", ROWS)
    refused(tmp_path, "there are 2 that are named after no split")
    (tmp_path / "t.csv").write_bytes("text,label\ncafé,1\n".encode("latin-1"))
    refused(tmp_path / "t.csv", "is not UTF-8")
    refused(tmp_path / "t.csv", "has one class", encoding="latin-1")
    (tmp_path / "empty.csv").write_text("")
    refused(tmp_path / "empty.csv", "has no rows")
    with pytest.raises(UnknownNameError, match="'tset'"):
        TextTable(str(tmp_path / "one.csv")).load("tset")


def test_the_hub_by_id_and_the_names_of_its_classes(tmp_path, monkeypatch, cache):
    """The hub is a folder here; what reads it is the real thing."""
    import datasets

    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["sad", "glad"])}
    )
    table = datasets.Dataset.from_dict(
        {"text": [r["text"] for r in ROWS], "label": [i % 2 for i in range(100)]}, features=features
    )
    for part, rows in (("train", range(60)), ("validation", range(60, 80)), ("test", range(80, 100))):
        (tmp_path / "hub" / "data").mkdir(parents=True, exist_ok=True)
        table.select(rows).to_parquet(str(tmp_path / "hub" / "data" / f"{part}-00000-of-00001.parquet"))
    real = datasets.load_dataset
    monkeypatch.setattr(datasets, "load_dataset", lambda data, config=None: real(str(tmp_path / "hub"), config))
    hub, folder = loaded(Path("owner/name")), loaded(tmp_path / "hub")
    for name, split in hub.items():
        assert split.classes == folder[name].classes == ["sad", "glad"]
        assert split.ids == folder[name].ids
    assert {name: len(split) for name, split in hub.items()} == {"train": 60, "validation": 20, "test": 20}

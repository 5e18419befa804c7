"""A user's own questions: every form of a row, of an answer and of a folder; what cannot be used is named."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from question_sources import questions, write_csv, write_jsonl, write_parquet

from lora_ensemble.datasets.multiple_choice import MultipleChoice
from lora_ensemble.errors import DataError, UnknownNameError
from lora_ensemble.questions.own import _READERS, Answers, _form

ASKED = questions(40)
ROWS = [{"question": text, "choices": choices, "answer": answer} for text, choices, answer in ASKED]


def load(path, split="test", **fields):
    return MultipleChoice(str(path), **fields).load(split)


def content(split):
    return [(e["question"], e["choices"], int(label)) for e, label in zip(split.examples, split.labels, strict=True)]


def test_every_form_of_the_rows_gives_the_same_splits(tmp_path):
    columns = {name: [row[name] for row in ROWS] for name in ("answer", "choices", "question")}
    write_jsonl(tmp_path / "a.jsonl", ROWS)
    (tmp_path / "b.json").write_text(json.dumps(ROWS[::-1], indent=1))
    write_csv(tmp_path / "c.csv", [columns, *([r["answer"], json.dumps(r["choices"]), r["question"]] for r in ROWS)])
    write_csv(tmp_path / "d.csv", [("question", *"abcd", "answer"), *([t, *c, "ABCD"[a]] for t, c, a in ASKED)])
    write_parquet(tmp_path / "e.parquet", columns)
    write_parquet(tmp_path / "f.parquet", {**columns, "choices": [{"text": row["choices"]} for row in ROWS]})
    write_jsonl(tmp_path / "g.jsonl", [{**row, "answer": row["choices"][row["answer"]]} for row in ROWS])
    files = sorted(tmp_path.iterdir())
    asked = [(text.strip(), choices, answer) for text, choices, answer in ASKED]
    found = []
    for split, size in (("test", 8), ("validation", 3), ("train", 29)):
        one, *others = (load(file, split) for file in files)
        assert len(one) == size
        found += content(one)
        for other in others:
            assert (other.ids, content(other)) == (one.ids, content(one))
            assert other.classes == list("abcd")
    assert sorted(found) == sorted(asked)


def test_a_folder_has_a_file_for_each_split(tmp_path):
    write_jsonl(tmp_path / "train.jsonl", ROWS)
    write_jsonl(tmp_path / "my-test.jsonl", ROWS[:5])
    (tmp_path / "README.md").write_text("train and test")
    data = MultipleChoice(str(tmp_path))
    assert {split: len(data.load(split)) for split in data.splits} == {"train": 36, "validation": 4, "test": 5}
    ids = [name for split in data.splits for name in data.load(split).ids]
    assert len(set(ids)) == 45
    write_jsonl(tmp_path / "valid_2.jsonl", ROWS[:7])
    assert {split: len(data.load(split)) for split in data.splits} == {"train": 40, "validation": 7, "test": 5}
    write_jsonl(tmp_path / "dev.jsonl", ROWS[:7])
    with pytest.raises(DataError, match=r"several validation files: dev\.jsonl, valid_2\.jsonl"):
        data.load("test")


def test_a_test_file_alone_is_out_of_distribution(tmp_path):
    bare = [{"question": row["question"], "choices": row["choices"]} for row in ROWS]
    write_jsonl(tmp_path / "test.jsonl", bare)
    data = MultipleChoice(str(tmp_path))
    assert data.splits == ("test",)
    assert (len(data.load("test")), data.load("test").labels) == (40, None)
    with pytest.raises(UnknownNameError, match="unknown split of multiple-choice 'train'"):
        data.load("train")
    with pytest.raises(DataError, match=r"dataset\.shots = 2: .* has no training questions to show"):
        load(tmp_path, shots=2)


def test_the_only_file_of_a_folder_is_split(tmp_path):
    write_jsonl(tmp_path / "questions.jsonl", ROWS)
    assert load(tmp_path).ids == load(tmp_path / "questions.jsonl").ids


def test_numbers_of_choices_may_differ(tmp_path):
    text, choices, _ = ASKED[0]
    write_csv(
        tmp_path / "test.csv", [("question", *"abcdef", "answer"), (text, *choices, "", "", "d"), ("?", *"uvwxyz", "f")]
    )
    split = load(tmp_path)
    assert split.classes == list("abcdef")
    assert sorted(len(example["choices"]) for example in split.examples) == [4, 6]
    write_jsonl(tmp_path / "train.jsonl", [{"question": "?", "choices": list("stuvwxyz"), "answer": 0}] * 2)
    assert load(tmp_path).classes == list("abcdefgh")


def test_own_ids_are_kept_and_unique(tmp_path):
    write_jsonl(tmp_path / "test.jsonl", [{**row, "id": f"q{i:02d}"} for i, row in enumerate(ROWS)])
    split = load(tmp_path)
    assert split.ids == [f"multiple-choice/test/q{i:02d}" for i in range(40)]
    assert [e["question"] for e in split.examples] == [row["question"] for row in ROWS]
    write_jsonl(tmp_path / "test.jsonl", [{**row, "id": i % 39} for i, row in enumerate(ROWS)])
    with pytest.raises(
        DataError, match=r"line \d+: id '0' is that of .*test\.jsonl, line \d+, too; ids must be unique"
    ):
        load(tmp_path)


def test_shots_are_taken_out_of_the_training_questions(tmp_path):
    write_jsonl(tmp_path / "q.jsonl", ROWS)
    plain = MultipleChoice(str(tmp_path))
    shown = dataclasses.replace(plain, shots=2)
    assert len(shown.load("train")) == len(plain.load("train")) - 2
    assert shown.load("test").ids == plain.load("test").ids
    (shots,) = {json.dumps(e["shots"]) for split in shown.splits for e in shown.load(split).examples}
    trained = content(plain.load("train"))
    assert all((s["question"], s["choices"], s["answer"]) in trained for s in json.loads(shots))


FORMS = {"index": lambda i, c: i, "letter": lambda i, c: "abcdefgh"[i], "text": lambda i, c: c[i]}


def understood(table) -> str:
    """The form of the answers, or why there is none."""
    try:
        return _form(table, "auto")
    except DataError as error:
        return str(error)


@given(st.data(), st.sampled_from(sorted(FORMS)))
def test_answers_are_understood_or_refused_as_ambiguous(data, form):
    """Whatever the choices are, letters and numbers among them."""
    words = st.sampled_from([*"abcdefgh", *"01234567", "dog", "cat"])
    table, right = [], []
    for _ in range(data.draw(st.integers(1, 4))):
        choices = data.draw(st.lists(words, min_size=2, max_size=6, unique=True))
        right.append(data.draw(st.integers(0, len(choices) - 1)))
        table.append(("row", FORMS[form](right[-1], choices), choices))
    found = understood(table)
    if found not in FORMS:
        assert "say which with dataset.answers" in found
        found = _form(table, form)
    assert [_READERS[found](answer, choices, where) for where, answer, choices in table] == right


@pytest.mark.parametrize(
    ("answers", "wrong", "message"),
    [
        (list("abca"), "e", r"answer 'e' is not among the 4 choices \(a to d\)"),
        (["(A)", "b.", "C", "D"], "", "no answer, but other rows have one"),
        ([0, 1, 2, 3], 4, r"answer 4 is not among the 4 choices \(index 0 to 3\)"),
        ([0, 1, 2, 3], -1, "answer -1 is not among the 4 choices"),
        (["one", "two", "two", "one"], "five", "answer 'five' is not among the choices 'one', 'two', 'three', 'four'"),
        (["one", "two", "two", "one"], None, "no answer, but other rows have one"),
    ],
)
def test_an_answer_outside_the_choices_names_its_row(tmp_path, answers, wrong, message):
    row = {"question": "How many?", "choices": ["one", "two", "three", "four"]}
    write_jsonl(tmp_path / "test.jsonl", [{**row, "answer": answer} for answer in [*answers, wrong]])
    with pytest.raises(DataError, match=rf"test\.jsonl, line 5: {message}"):
        load(tmp_path)


def test_ambiguous_answers_are_the_users_to_decide(tmp_path):
    row = {"question": "How many?", "choices": ["2", "1", "0"], "answer": "2"}
    write_jsonl(tmp_path / "test.jsonl", [row])
    with pytest.raises(
        DataError, match=r"line 1: answer '2' and all others can be read as index or as text; say which"
    ):
        load(tmp_path)
    kinds: dict[Answers, int] = {"index": 2, "text": 0}
    assert {kind: int(load(tmp_path, answers=kind).labels[0]) for kind in kinds} == kinds
    with pytest.raises(DataError, match="answer '2' is not among the 3 choices"):
        load(tmp_path, answers="letter")
    write_jsonl(tmp_path / "test.jsonl", [{**row, "choices": ["2", "2", "0"]}])
    with pytest.raises(DataError, match="answer '2' is twice or more among the choices '2', '2', '0'"):
        load(tmp_path, answers="text")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"qestion": "?", "choices": ["a", "b"], "answer": 0}, "no 'question', only qestion, choices, answer. Did you"),
        ({"question": "?", "options": ["a", "b"], "answer": 0}, "no 'choices', only question, options, answer.$"),
        ({"question": "?", "choices": "a, b", "answer": 0}, "choices = 'a, b': expected a JSON list of texts"),
        ({"question": "?", "choices": [None, "b"], "answer": 0}, r"choices = \[None, 'b'\]: expected a list of texts"),
        ({"question": 3, "choices": ["a", "b"], "answer": 0}, "question = 3: expected a text"),
        ({"question": "?", "choices": ["a"], "answer": 0}, "1 choices; expected 2 to 26"),
        ({"question": "", "choices": ["a", "b"], "answer": 0}, "the question is empty"),
        ({"question": "?", "choices": ["a", " "], "answer": 0}, "choice b is empty"),
        ({"question": "?", "choices": ["a", "b"], "answerKey": "A"}, r"no 'answer', .*Did you mean 'answerKey'\?"),
        (["?", "a", "b"], r"expected an object, found \['\?', 'a', 'b'\]"),
    ],
)
def test_rows_that_cannot_be_used(tmp_path, row, message):
    write_jsonl(tmp_path / "test.jsonl", [ROWS[0], row])
    with pytest.raises(DataError, match=rf"test\.jsonl, line 2: {message}"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("name", "written", "message"),
    [
        ("test.jsonl", b'{"question": "?"}\n\n{"question"', "line 3: not JSON"),
        ("test.json", b'[\n{"question": }]', "line 2: not JSON"),
        ("test.json", b'{"question": "?"}', "expected a list of objects, found {'question'"),
        ("test.csv", b"question,a,b,answer\n?,x,y,a,z\n", "line 2: more cells than the 4 columns"),
        ("test.csv", b'question,a,b,answer\n"?,x,y,a\n', "not CSV"),
        ("test.csv", b"question,a,b,answer\n", "has no rows"),
        ("test.jsonl", b"", "has no rows"),
        ("test.jsonl", b"\xff\xfe{}", "is not UTF-8"),
        ("test.parquet", b"no such file", "is no readable parquet file"),
    ],
)
def test_files_that_cannot_be_read(tmp_path, name, written, message):
    (tmp_path / name).write_bytes(written)
    with pytest.raises(DataError, match=rf"{name}\W.*{message}"):
        load(tmp_path)


def test_data_that_are_nowhere(tmp_path):
    for data in ("", str(tmp_path), str(tmp_path / "nothing.jsonl")):
        with pytest.raises(DataError, match="expected a file of questions, or a folder with train and test files"):
            MultipleChoice(data).load("train")
    (tmp_path / "questions.txt").write_text("?")
    with pytest.raises(
        DataError, match=r"expected a file of questions, .* \(\.jsonl, \.json, \.csv, \.tsv, \.parquet\)"
    ):
        load(tmp_path / "questions.txt")
    write_jsonl(tmp_path / "train.jsonl", ROWS)
    with pytest.raises(DataError, match="train without a test file"):
        load(tmp_path)
    write_jsonl(tmp_path / "few.jsonl", ROWS[:2])
    with pytest.raises(DataError, match=r"the split test of .*few\.jsonl' is empty"):
        load(tmp_path / "few.jsonl")


def test_labels_are_int64(tmp_path):
    write_jsonl(tmp_path / "q.jsonl", ROWS)
    assert load(tmp_path).labels.dtype == np.int64

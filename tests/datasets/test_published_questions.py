"""CommonsenseQA, ARC and OpenBookQA are the same from every form, split honestly, and refuse what is broken."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from question_sources import questions, write_hub, write_jsonl, write_listed, write_official

from lora_ensemble.datasets.arc_challenge import ArcChallenge
from lora_ensemble.datasets.arc_easy import ArcEasy
from lora_ensemble.datasets.commonsense_qa import CommonsenseQa
from lora_ensemble.datasets.openbookqa import Openbookqa
from lora_ensemble.errors import DataError, UnknownNameError

pytestmark = pytest.mark.usefixtures("cache")

TRAIN, DEV, TEST = questions(60), questions(9, seed=1), questions(12, seed=2)
HUB = {"train": TRAIN, "validation": DEV, "test": TEST}
NAMES = {
    CommonsenseQa: ("train_rand_split.jsonl", "dev_rand_split.jsonl", "test_rand_split_no_answers.jsonl"),
    ArcEasy: ("ARC-Easy-Train.jsonl", "ARC-Easy-Dev.jsonl", "ARC-Easy-Test.jsonl"),
    ArcChallenge: ("ARC-Challenge-Train.jsonl", "ARC-Challenge-Dev.jsonl", "ARC-Challenge-Test.jsonl"),
    Openbookqa: ("train.jsonl", "dev.jsonl", "test.jsonl"),
}
PLACES = {CommonsenseQa: ".", ArcEasy: "ARC-Easy", ArcChallenge: "ARC-Challenge", Openbookqa: "Data/Main"}


@pytest.fixture
def easy(tmp_path):
    """ARC-Easy in the official form."""
    for name, asked in zip(NAMES[ArcEasy], HUB.values(), strict=True):
        write_official(tmp_path / name, asked)
    return tmp_path


@pytest.mark.parametrize("kind", NAMES)
def test_every_form_gives_the_same_splits(tmp_path, kind):
    official, parquet, listed = tmp_path / "official", tmp_path / "parquet", tmp_path / "listed"
    for (part, asked), name in zip(HUB.items(), NAMES[kind], strict=True):
        write_official(official / PLACES[kind] / name, asked[::-1], labels="12345678")
        stem = "question_stem" if kind is Openbookqa else "question"
        write_hub(parquet / (kind.config or "data") / f"{part}-00000-of-00001.parquet", asked, stem)
        write_listed(listed / f"{part}.json", asked)
    asked = {" ".join(text.split()): (choices, answer) for part in HUB.values() for text, choices, answer in part}
    one, *others = (kind(str(folder)) for folder in (official, parquet, listed))
    for split in one.splits:
        loaded = one.load(split)
        for example, label in zip(loaded.examples, loaded.labels, strict=True):
            assert (example["choices"], label) == asked[" ".join(example["question"].split())]
        for other in others:
            again = other.load(split)
            assert again.ids == loaded.ids == sorted(loaded.ids)
            np.testing.assert_array_equal(again.labels, loaded.labels)
            assert again.classes == loaded.classes == list("abcde")[: kind.choices]


def test_validation_is_held_out_of_training_by_answer(easy):
    train, validation, test = (ArcEasy(str(easy)).load(split) for split in ("train", "validation", "test"))
    assert (len(train), len(validation), len(test)) == (54, 6, 12)
    assert set(train.ids).isdisjoint(validation.ids)
    assert set(validation.labels) == {0, 1, 2, 3}
    assert ArcEasy(str(easy), split_seed=1).load("validation").ids != validation.ids
    assert ArcEasy(str(easy), split_seed=1).load("test").ids == test.ids


def test_the_published_protocol_trains_on_everything(tmp_path, easy):
    published = ArcEasy(str(easy), protocol="published")
    assert {split: len(published.load(split)) for split in published.splits} == {
        "train": 60,
        "validation": 9,
        "test": 12,
    }
    write_listed(tmp_path / "listed" / "train.json", TRAIN)
    with pytest.raises(DataError, match=r"no validation questions of arc_easy in this folder; expected ARC-Easy-Dev"):
        ArcEasy(str(tmp_path / "listed"), protocol="published").load("validation")
    for name, asked in zip(NAMES[CommonsenseQa], HUB.values(), strict=True):
        write_official(tmp_path / name, asked)
    assert CommonsenseQa(str(tmp_path), protocol="published").splits == ("train", "test")
    tested = CommonsenseQa(str(tmp_path), protocol="published").load("test")
    assert [e["question"] for e in tested.examples] == [e["question"] for e in published.load("validation").examples]


def test_copies_stay_together_and_get_names_of_their_own(tmp_path):
    text, choices, answer = TRAIN[0]
    turned = (text, choices[::-1], 3 - answer)
    write_official(tmp_path / "train.jsonl", [*TRAIN, TRAIN[0], turned, TRAIN[0]])
    for seed in range(20):
        data = Openbookqa(str(tmp_path), split_seed=seed)
        loaded = [data.load(split) for split in ("train", "validation")]
        copies = [sum(e["question"] == text for e in split.examples) for split in loaded]
        assert sorted(copies) == [0, 4]
        assert len({name for split in loaded for name in split.ids}) == 63
    assert sum(name.endswith(("-2", "-3")) for split in loaded for name in split.ids) == 2


@pytest.mark.parametrize("protocol", ["validation", "published"])
def test_shots_are_shown_before_every_question_and_asked_nowhere(easy, protocol):
    data = ArcEasy(str(easy), protocol=protocol, shots=3)
    plain = dataclasses.replace(data, shots=0)
    for split in data.splits:
        loaded = data.load(split)
        (shown,) = {json.dumps(example["shots"]) for example in loaded.examples}
        shots = json.loads(shown)
        known = {text.strip(): (choices, answer) for text, choices, answer in TRAIN}
        assert [known[shot["question"]] for shot in shots] == [(s["choices"], s["answer"]) for s in shots]
        assert {shot["question"] for shot in shots}.isdisjoint(e["question"] for e in loaded.examples)
        assert len(loaded) == len(plain.load(split)) - (3 if split == "train" else 0)
        assert "shots" not in plain.load(split).examples[0]
    with pytest.raises(DataError, match=r"dataset\.shots = 60: only (54|60) training questions to take them from"):
        dataclasses.replace(data, shots=60).load("test")
    assert dataclasses.replace(data, shots=-1).problems() == ["dataset.shots = -1: must be at least 0"]


def test_answers_that_are_not_told(tmp_path):
    write_official(tmp_path / "test.jsonl", TEST, answers=False)
    assert Openbookqa(str(tmp_path)).load("test").labels is None
    write_official(tmp_path / "train.jsonl", TRAIN, answers=False)
    with pytest.raises(DataError, match=r"train\.jsonl, line \d+: no answer, and this split needs one"):
        Openbookqa(str(tmp_path)).load("train")


def test_rows_that_cannot_be_used(tmp_path):
    row = {"question": {"stem": "What?", "choices": [{"label": "A", "text": "x"}, {"label": "B", "text": "y"}]}}
    broken = [
        ({**row, "answerKey": "C"}, "answer 'C' is not among the choices A, B"),
        ({**row, "answerKey": 1}, "answerKey = 1: expected a text"),
        ({"questoin": row["question"]}, "no 'question', only questoin. Did you mean 'questoin'?"),
        ({"question": "What?"}, "expected an object with 'choices', found 'What[?]'"),
        ({"question": {"stem": "What?", "choices": None}}, "choices = None: expected a list"),
        ({"question": {"stem": " ", "choices": row["question"]["choices"]}}, "the question is empty"),
        ({"question": {"stem": "What?", "choices": []}}, "0 choices; expected 2 to 26"),
        ({"question": {"stem": "What?", "choices": [{"label": "A", "text": ""}] * 2}}, "choice a is empty"),
    ]
    for wrong, message in broken:
        write_jsonl(tmp_path / "test.jsonl", [{**row, "answerKey": "A"}, wrong])
        with pytest.raises(DataError, match=rf"test\.jsonl, line 2: {message}"):
            Openbookqa(str(tmp_path)).load("test")
    (tmp_path / "test.jsonl").write_text('{"question":\n')
    with pytest.raises(DataError, match=r"test\.jsonl, line 1: not JSON \("):
        Openbookqa(str(tmp_path)).load("test")
    (tmp_path / "test.jsonl").write_text("")
    with pytest.raises(DataError, match=r"the split test of openbookqa in '.*' is empty"):
        Openbookqa(str(tmp_path)).load("test")


@pytest.mark.parametrize(
    ("instruction", "message"),
    [
        ("What? Answer1: a Answer2: b", r"expected 'Please choose the correct answer to the question: \.\.\. Answer1"),
        ("What?\n\nAnswer1: a Answer2: b\n\nAnswer format: a/b", "as instruction"),
        ("What?\n\nAnswer1: a\n\nAnswer format: answer1/answer2", "1 options, and a format of the answer for 2"),
    ],
)
def test_instructions_that_cannot_be_taken_apart(tmp_path, instruction, message):
    (tmp_path / "test.json").write_text(json.dumps([{"instruction": instruction, "answer": "answer1"}]))
    with pytest.raises(DataError, match=rf"test\.json, row 1: .*{message}"):
        ArcEasy(str(tmp_path)).load("test")


def test_data_and_splits_that_do_not_exist(tmp_path):
    with pytest.raises(DataError, match=r"no validation questions of commonsense_qa in this folder; expected dev_rand"):
        CommonsenseQa(str(tmp_path)).load("test")
    with pytest.raises(UnknownNameError, match=r"unknown split of arc_easy 'tset'\. Did you mean 'test'"):
        ArcEasy(str(tmp_path)).load("tset")


@pytest.mark.data
@pytest.mark.parametrize(
    ("kind", "folder", "sizes"),
    [
        (CommonsenseQa, "commonsense_qa", (9741, 1221)),
        (ArcEasy, "llm_adapters_mcqa", (2251, 2376)),
        (ArcChallenge, "llm_adapters_mcqa/ARC-Challenge", (1119, 1172)),
        (Openbookqa, "llm_adapters_mcqa", (4957, 500)),
    ],
)
def test_the_real_files_have_the_published_numbers(data_dir, kind, folder, sizes):
    data = kind(str(data_dir / folder))
    train, validation, test = (data.load(split) for split in data.splits)
    assert (len(train) + len(validation), len(test)) == sizes
    assert len(validation) == pytest.approx(0.1 * sizes[0], abs=2)
    for split in (train, validation, test):
        counts = np.array([len(example["choices"]) for example in split.examples])
        assert (split.labels < counts).all()
        assert counts.max() <= kind.choices


@pytest.mark.data
def test_a_question_of_each_real_form(data_dir):
    test = CommonsenseQa(str(data_dir / "commonsense_qa")).load("test")
    row = [e["question"] for e in test.examples].index("What do people aim to do at work?")
    choices = ["complete job", "learn from each other", "kill animals", "wear hats", "talk to each other"]
    assert (test.examples[row]["choices"], test.labels[row]) == (choices, 0)
    test = Openbookqa(str(data_dir / "llm_adapters_mcqa")).load("test")
    row = [e["question"] for e in test.examples].index("Predators eat")
    assert (test.examples[row]["choices"], test.labels[row]) == (["lions", "humans", "bunnies", "grass"], 2)

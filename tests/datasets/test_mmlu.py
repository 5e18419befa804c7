"""MMLU: groups without a subject twice, the same splits of a subject in every group and form."""

from __future__ import annotations

import numpy as np
import pytest
from question_sources import LETTERS, questions, write_csv, write_parquet

from lora_ensemble.datasets.mmlu import Mmlu
from lora_ensemble.errors import DataError, UnknownNameError
from lora_ensemble.questions.mmlu import GROUPS, SUBJECTS

pytestmark = pytest.mark.usefixtures("cache")

SIZES = {"dev": 5, "val": 11, "test": 3}
ASKED = {
    part: {subject: questions(size, seed=100 * number + place) for number, subject in enumerate(SUBJECTS)}
    for place, (part, size) in enumerate(SIZES.items())
}


@pytest.fixture
def original(tmp_path):
    """Folders of CSV files."""
    for part, subjects in ASKED.items():
        for subject, asked in subjects.items():
            rows = [(text, *choices, LETTERS[answer]) for text, choices, answer in asked]
            write_csv(tmp_path / "original" / part / f"{subject}_{part}.csv", rows)
    return tmp_path / "original"


@pytest.fixture
def hub(tmp_path):
    """Parquet files, with subjects in another order."""
    for part, subjects in ASKED.items():
        rows = [(subject, *asked) for subject in reversed(subjects) for asked in subjects[subject]]
        columns = dict(zip(("subject", "question", "choices", "answer"), zip(*rows, strict=True), strict=True))
        name = {"val": "validation"}.get(part, part)
        write_parquet(tmp_path / "hub" / "all" / f"{name}-00000-of-00001.parquet", columns)
    return tmp_path / "hub"


def test_groups_have_the_published_sizes_and_every_subject_once():
    assert {group: len(subjects) for group, subjects in GROUPS.items()} == {
        "stem": 19,
        "humanities": 13,
        "ss": 12,
        "other": 13,
        "all": 57,
        "all_without_ss": 45,
        "all_without_stem": 38,
    }
    assert all(len(set(subjects)) == len(subjects) for subjects in GROUPS.values())
    assert set(GROUPS["all_without_ss"]) | set(GROUPS["ss"]) == set(GROUPS["all"]) == set(SUBJECTS)


@pytest.mark.parametrize("shots", [0, 2])
def test_both_forms_give_the_same_splits(original, hub, shots):
    one, other = Mmlu(str(original), shots=shots), Mmlu(str(hub), shots=shots)
    for split in one.splits:
        a, b = one.load(split), other.load(split)
        assert a.ids == b.ids
        np.testing.assert_array_equal(a.labels, b.labels)
        assert a.examples == b.examples
        assert a.classes == list("abcd")


def test_training_is_on_dev_and_validation(original):
    data = Mmlu(str(original))
    sizes = {split: len(data.load(split)) for split in data.splits}
    assert sizes == {"train": 57 * 14, "validation": 57 * 2, "test": 57 * 3}
    published = Mmlu(str(original), protocol="published")
    assert {split: len(published.load(split)) for split in published.splits} == {"train": 57 * 16, "test": 57 * 3}
    texts = {e["question"] for e in published.load("train").examples}
    assert texts == {text for part in ("dev", "val") for asked in ASKED[part].values() for text, _, _ in asked}


@pytest.mark.parametrize("group", ["ss", "virology", "all_without_stem"])
def test_a_subject_is_split_in_the_same_way_in_every_group(original, group):
    for split in ("train", "validation", "test"):
        everything = Mmlu(str(original)).load(split)
        subjects = GROUPS.get(group, (group,))
        expected = [name for name in everything.ids if name.split("/")[2] in subjects]
        assert Mmlu(str(original), group=group).load(split).ids == expected


def test_shots_are_the_first_dev_questions_of_the_subject(original):
    for split in ("train", "validation", "test"):
        loaded = Mmlu(str(original), shots=2).load(split)
        for name, example in zip(loaded.ids, loaded.examples, strict=True):
            dev = ASKED["dev"][name.split("/")[2]][:2]
            assert [(shot["question"], shot["choices"], shot["answer"]) for shot in example["shots"]] == dev
    assert len(Mmlu(str(original), shots=2).load("train")) == 57 * 10


def test_a_question_of_two_subjects_is_never_both_trained_on_and_held_out(original):
    rows = [(text, *choices, LETTERS[answer]) for text, choices, answer in ASKED["val"]["virology"]]
    write_csv(original / "val" / "nutrition_val.csv", rows)
    for seed in range(5):
        data = Mmlu(str(original), split_seed=seed)
        train, validation = (
            {(e["question"], *e["choices"]) for e in data.load(s).examples} for s in ("train", "validation")
        )
        assert train.isdisjoint(validation)


def test_groups_and_settings_that_do_not_exist():
    data = Mmlu("owner/name", group="virolgy", shots=6)
    shots, group = data.problems()
    assert shots == "dataset.shots = 6: must be 0 to 5"
    assert group.startswith("unknown dataset.group 'virolgy'. Did you mean 'virology'?")
    with pytest.raises(UnknownNameError, match="Did you mean 'virology'"):
        data.load("test")
    with pytest.raises(UnknownNameError, match="unknown split of mmlu 'dev'"):
        Mmlu().load("dev")


def test_missing_subjects_are_named(original, hub, tmp_path):
    (original / "test" / "virology_test.csv").unlink()
    with pytest.raises(DataError, match=r"test: 1 of 57 subjects are missing: virology$"):
        Mmlu(str(original)).load("test")
    assert len(Mmlu(str(original), group="ss").load("test")) == 36
    columns = dict(
        zip(("subject", "question", "choices", "answer"), [["nutrition"], ["What?"], [["a", "b"]], [0]], strict=True)
    )
    write_parquet(tmp_path / "part" / "test.parquet", columns)
    with pytest.raises(DataError, match=r"test: 1 of 1 subjects are missing: virology$"):
        Mmlu(str(tmp_path / "part"), group="virology").load("test")
    with pytest.raises(DataError, match=r"no MMLU in this folder; expected dev/<subject>_dev\.csv, or parquet files"):
        Mmlu(str(tmp_path / "part")).load("train")


def test_rows_that_cannot_be_used(original):
    path = original / "test" / "virology_test.csv"
    for row, message in [
        (("What?", "a", "b", "c", "d", "E"), "answer 'E' is not among the choices A, B, C, D"),
        (("What?", "a", "b", "c", "D"), "5 cells; expected question, A, B, C, D, letter"),
        (("", "a", "b", "c", "d", "A"), "the question is empty"),
    ]:
        write_csv(path, [("What?", "a", "b", "c", "d", "A"), row])
        with pytest.raises(DataError, match=rf"virology_test\.csv, line 2: {message}"):
            Mmlu(str(original)).load("test")
    path.write_text("")
    with pytest.raises(DataError, match=r"the split test of mmlu, group virology, in '.*' is empty"):
        Mmlu(str(original), group="virology").load("test")


@pytest.mark.data
def test_the_real_files_have_the_published_numbers(data_dir):
    data = Mmlu(str(data_dir / "mmlu"), protocol="published")
    assert {split: len(data.load(split)) for split in data.splits} == {"train": 285 + 1531, "test": 14042}
    assert len({name.split("/")[2] for name in data.load("test").ids}) == 57
    sizes = {group: len(Mmlu(str(data_dir / "mmlu"), group=group).load("test")) for group in ("ss", "stem", "other")}
    assert sizes == {"ss": 3077, "stem": 3153, "other": 3107}


@pytest.mark.data
def test_the_categories_are_those_of_the_mapping(data_dir):
    """All but anatomy, which the published groups have in STEM."""
    import json

    mapping = json.loads((data_dir / "mmlu" / "mapping.json").read_text())
    names = {"STEM": "stem", "Humanities": "humanities", "Social Sciences": "ss", "Other": "other"}
    differ = [subject for subject in SUBJECTS if subject not in GROUPS[names[mapping[subject]["category"]]]]
    assert differ == ["anatomy"]

"""CLINC150 and SST-2 in each form: the same splits, and errors for what is none."""

from __future__ import annotations

import json

import numpy as np
import pytest

from lora_ensemble.datasets.clinc150 import Clinc150
from lora_ensemble.datasets.clinc150_oos import Clinc150Oos
from lora_ensemble.datasets.sst2 import Sst2
from lora_ensemble.errors import DataError, UnknownNameError

INTENTS = ["weather", "balance", "translate"]


def questions(part: str, number: int) -> list[list[str]]:
    return [[f"{part} question {i} about {INTENTS[i % 3]}", INTENTS[i % 3]] for i in range(number)]


CLINC = {"train": questions("train", 30), "val": questions("val", 9), "test": questions("test", 12)}
CLINC |= {f"oos_{part}": [[f"{part} nonsense {i}", "oos"] for i in range(5)] for part in ("train", "val", "test")}


def test_clinc_of_json_and_of_the_hubs_parquet(tmp_path, cache):
    import datasets

    (tmp_path / "json").mkdir()
    (tmp_path / "json" / "data_full.json").write_text(json.dumps(CLINC))
    features = datasets.Features(
        {
            "text": datasets.Value("string"),
            "intent": datasets.ClassLabel(names=["balance", "oos", "translate", "weather"]),
        }
    )
    for part, name in (("train", "train"), ("val", "validation"), ("test", "test")):
        rows = [{"text": text, "intent": intent} for text, intent in CLINC[part] + CLINC[f"oos_{part}"]]
        place = tmp_path / "hub" / "plus" / f"{name}-00000-of-00001.parquet"
        place.parent.mkdir(parents=True, exist_ok=True)
        datasets.Dataset.from_list(rows, features=features).to_parquet(str(place))
    for kind in (Clinc150, Clinc150Oos):
        for split in kind().splits:
            one, other = (kind(str(tmp_path / form)).load(split) for form in ("json", "hub"))
            assert list(one.ids) == list(other.ids)
            assert list(one.examples) == list(other.examples)
            np.testing.assert_equal(one.labels, other.labels)
            assert one.classes == other.classes == (sorted(INTENTS) if kind is Clinc150 else [])
    train = Clinc150(str(tmp_path / "json")).load("train")
    assert all(train.classes[i] in e["text"] for e, i in zip(train.examples, train.labels, strict=True))
    assert len(Clinc150(str(tmp_path / "json" / "data_full.json")).load("validation")) == 9


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"train": 1}', "[" * 100_000, '{"train": [["a"]]}'])
def test_what_is_no_clinc(tmp_path, text):
    (tmp_path / "data_full.json").write_text(text)
    with pytest.raises(
        DataError, match=r"data_full\.json is no CLINC150: expected lists of \[text, intent\]"
    ) as caught:
        Clinc150(str(tmp_path)).load("train")
    assert "\n" not in str(caught.value)


def test_intents_and_splits_that_are_unknown(tmp_path):
    (tmp_path / "data_full.json").write_text(json.dumps({**CLINC, "val": [["what is it", "wether"]]}))
    with pytest.raises(DataError, match="validation, row 0: unknown label 'wether'"):
        Clinc150(str(tmp_path)).load("validation")
    for kind in (Clinc150, Clinc150Oos, Sst2):
        with pytest.raises(UnknownNameError, match="'tset'"):
            kind(str(tmp_path)).load("tset")
    (tmp_path / "nothing").mkdir()
    with pytest.raises(DataError, match=r"no CLINC150 in this folder; expected data_full\.json"):
        Clinc150(str(tmp_path / "nothing")).load("train")


def test_sst2_of_tables_and_parquet(tmp_path, cache):
    import datasets

    rows = {part: [(f"{part} sentence {i}", i % 2) for i in range(20)] for part in ("train", "dev", "test")}
    (tmp_path / "tsv").mkdir()
    for part, lines in rows.items():
        (tmp_path / "tsv" / f"{part}.tsv").write_text("".join(f"{text}\t{label}\n" for text, label in lines))
        name = "validation" if part == "dev" else part
        (tmp_path / "hub").mkdir(exist_ok=True)
        table = datasets.Dataset.from_list([{"sentence": text, "label": label} for text, label in lines])
        table.to_parquet(str(tmp_path / "hub" / f"{name}.parquet"))
    for split in Sst2().splits:
        one, other = (Sst2(str(tmp_path / form)).load(split) for form in ("tsv", "hub"))
        assert list(one.ids) == list(other.ids)
        np.testing.assert_equal(one.labels, other.labels)
        assert one.classes == ["negative", "positive"]
        assert [int(e["text"].split()[-1]) % 2 for e in one.examples] == one.labels.tolist()
    (tmp_path / "tsv" / "train.tsv").write_text("a film\t2\n")
    with pytest.raises(DataError, match="train, row 0: unknown label '2'"):
        Sst2(str(tmp_path / "tsv")).load("train")
    (tmp_path / "tsv" / "train.tsv").write_text("a film 2\n")
    with pytest.raises(DataError, match=r"train\.tsv, line 1: expected a text, a tab, and a label"):
        Sst2(str(tmp_path / "tsv")).load("train")
    (tmp_path / "tsv" / "train.tsv").write_bytes(b"caf\xe9\t1\n")
    with pytest.raises(DataError, match=r"train\.tsv cannot be read"):
        Sst2(str(tmp_path / "tsv")).load("train")


@pytest.mark.data
def test_the_real_ones(data_dir):
    sizes = {split: len(Clinc150(str(data_dir / "clinc150")).load(split)) for split in Clinc150().splits}
    assert sizes == {"train": 15_000, "validation": 3_000, "test": 4_500}
    assert len(Clinc150Oos(str(data_dir / "clinc150")).load("test")) == 1_000
    assert len(Clinc150(str(data_dir / "clinc150")).load("test").classes) == 150
    sizes = {split: len(Sst2(str(data_dir / "sst2")).load(split)) for split in Sst2().splits}
    assert sizes == {"train": 6_920, "validation": 872, "test": 1_821}

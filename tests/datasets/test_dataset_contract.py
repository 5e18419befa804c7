"""What every data set keeps, those of tomorrow included: found by the registry.

A data set whose class says `embedded = True` comes with the package or its dependencies, and is tested as it is. Any
other has a field `data`, and is tested on a tiny copy of its own form (`tiny_datasets`), and on the real one where the
folder of real data has it under its name; never on the hub's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from tiny_datasets import WRITERS

from lora_ensemble import registry
from lora_ensemble.contracts import Dataset, Split
from lora_ensemble.errors import UnknownNameError

NAMES = registry.names("datasets")
LOCAL = {
    "esc50": {"inside_fold": 4},
    "esc10": {"data": "esc50"},
    "clinc150-oos": {"data": "clinc150"},
    **{name: {"data": "llm_adapters_mcqa"} for name in ("arc-easy", "arc-challenge", "openbookqa")},
}
"""Folder of the local copy, where it is not the name of the data set, and fields for what is there."""

EMBEDDED = [name for name in NAMES if getattr(registry.config_class("datasets", name), "embedded", False)]
OTHERS = [name for name in NAMES if name not in EMBEDDED]


@pytest.fixture(
    scope="module",
    params=[
        *((name, "embedded") for name in EMBEDDED),
        *((name, "tiny") for name in OTHERS),
        *(pytest.param((name, "real"), marks=pytest.mark.data) for name in OTHERS),
    ],
    ids="-".join,
)
def data(request, tmp_path_factory) -> Iterator[Dataset]:
    name, form = request.param
    kind = registry.config_class("datasets", name)
    if form == "embedded":
        yield kind()
    elif form == "tiny":
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path_factory.mktemp("cache")))
            patch.setattr("datasets.config.HF_HUB_OFFLINE", True)
            yield kind(data=str(WRITERS[name](tmp_path_factory.mktemp(name))))
    else:
        yield real(name, request.getfixturevalue("data_dir"))


def real(name: str, data_dir: Path) -> Dataset:
    fields = {"data": name.replace("-", "_"), **LOCAL.get(name, {})}
    folder = data_dir / fields["data"]
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}")
    return registry.config_class("datasets", name)(**{**fields, "data": str(folder)})


@pytest.fixture(scope="module")
def splits(data) -> dict[str, Split]:
    return {split: data.load(split) for split in data.splits}


def test_there_is_one_that_needs_no_data_from_outside():
    assert {"digits", "letters"} <= set(EMBEDDED)


def test_splits_are_disjoint_and_ids_unique(splits):
    for split in splits.values():
        assert len(set(split.ids)) == len(split.ids) == len(split) > 0
    for one, other in combinations(splits.values(), 2):
        assert set(one.ids).isdisjoint(other.ids)


def test_training_comes_with_a_test_split(splits):
    assert "test" in splits
    assert ("train" in splits) == ("validation" in splits)


def test_labels_are_class_indices(splits):
    for name, split in splits.items():
        if split.labels is None:
            assert name == "test"
            continue
        assert split.labels.dtype == np.int64
        assert split.labels.shape == (len(split),)
        assert split.labels.min() >= 0
        assert split.labels.max() < len(split.classes) == len(set(split.classes))


def test_every_class_is_learnt_and_splits_agree_on_the_classes(splits):
    assert len({tuple(split.classes) for split in splits.values()}) == 1
    if "train" in splits and splits["train"].modality != "choices":  # there, a rare fifth choice may never be right
        assert set(splits["train"].labels) == set(range(len(splits["train"].classes)))


def test_a_second_load_gives_the_same(data, splits):
    smallest = min(splits, key=lambda name: len(splits[name]))  # decoding all of CIFAR-10 again would take a while
    split, again = splits[smallest], replace(data).load(smallest)
    assert list(again.ids) == list(split.ids)
    np.testing.assert_equal(again.labels, split.labels)
    for row in (0, len(split) - 1):
        np.testing.assert_equal(dict(again.examples[row]), dict(split.examples[row]))


def test_examples_have_the_form_of_their_modality(data, splits):
    for split in splits.values():
        assert split.modality == data.modality
        for row in np.linspace(0, len(split) - 1, 20).astype(int):
            FORMS[split.modality](split.examples[row])


def test_an_unknown_split_is_refused(data):
    with pytest.raises(UnknownNameError, match="'trian'"):
        data.load("trian")


def image(example):
    assert set(example) == {"image"}
    assert example["image"].dtype == np.uint8
    assert example["image"].shape[2:] in ((), (3,))
    assert example["image"].ndim in (2, 3)


def audio(example):
    assert set(example) == {"audio"}
    assert example["audio"].dtype == np.float32
    assert example["audio"].ndim == 1
    assert np.isfinite(example["audio"]).all()


def text(example):
    assert set(example) in ({"text"}, {"text", "text_pair"})
    assert example["text"].strip()


def choices(example):
    assert set(example) == {"question", "choices"}
    assert example["question"].strip()
    assert len(example["choices"]) > 1


FORMS = {"image": image, "audio": audio, "text": text, "choices": choices}

"""The story tasks: one sentence of four is as it was told, no sentence is in two splits, the data set reads them."""

from __future__ import annotations

import importlib.util
import json
import random
from pathlib import Path

import pytest

from lora_ensemble.datasets.multiple_choice import MultipleChoice

SIZES = {"train": 60, "validation": 10, "test": 20}


@pytest.fixture(scope="module")
def script():
    path = Path(__file__).parents[1] / "scripts" / "story_tasks.py"
    spec = importlib.util.spec_from_file_location("story_tasks", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def told() -> list[str]:
    draw = random.Random(0)
    words = [f"{a}{b}" for a in ("ba", "co", "di", "fu", "gel") for b in ("lar", "mon", "nip", "rast")] * 8
    words += [f"w{''.join(draw.choices('aeioulnrst', k=4))}" for _ in range(400)]
    return [" ".join(["The", *draw.choices(words, k=draw.randint(3, 6))]) + "." for _ in range(800)]


@pytest.fixture(scope="module")
def folder(script, told, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tasks")
    script.write(folder, told, SIZES, seed=0)
    return folder


@pytest.mark.parametrize("task", ["order", "swap"])
def test_one_sentence_of_four_is_as_it_was_told(script, told, folder, task):
    known = {" ".join(sentence) for sentence in script.sentences(told)}
    by_words = {tuple(sorted(sentence.split())) for sentence in known}
    for split in SIZES:
        for line in (folder / task / f"{split}.jsonl").read_text().splitlines():
            row = json.loads(line)
            assert [place for place, choice in enumerate(row["choices"]) if choice in known] == [row["answer"]]
            spoilt = [c.split() for place, c in enumerate(row["choices"]) if place != row["answer"]]
            if task == "order":
                assert all(tuple(sorted(words)) in by_words for words in spoilt)
            else:
                assert all(any(one_apart(words, s) for s in script.sentences(told)) for words in spoilt)


def one_apart(words, sentence) -> bool:
    return len(words) == len(sentence) and sum(a != b for a, b in zip(words, sentence, strict=True)) == 1


def test_no_sentence_is_in_two_splits_of_either_task(script, told, folder):
    right = {split: set() for split in SIZES}
    for task in ("order", "swap"):
        data = MultipleChoice(str(folder / task))
        for split, size in SIZES.items():
            loaded = data.load(split)
            assert (len(loaded), loaded.classes) == (size, list("abcd"))
            right[split] |= {e["choices"][label] for e, label in zip(loaded.examples, loaded.labels, strict=True)}
    assert right["train"].isdisjoint(right["test"] | right["validation"])
    assert right["validation"].isdisjoint(right["test"])


def test_the_same_seed_writes_the_same_files(script, told, folder, tmp_path):
    script.write(tmp_path, told, SIZES, seed=0)
    for path in folder.rglob("*.jsonl"):
        assert (tmp_path / path.relative_to(folder)).read_bytes() == path.read_bytes()


@pytest.mark.data
def test_the_small_model_tells_stories(script, data_dir):
    model = str(data_dir / "weights" / "stories260K")
    told = script.stories(model, 3, seed=1, tokens=20)
    assert told == script.stories(model, 3, seed=1, tokens=20)
    assert len(set(told)) == 3

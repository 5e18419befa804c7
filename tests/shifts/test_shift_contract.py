"""Every shift, present and future: what it may depend on, and that it grows with its severity."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lora_ensemble import registry
from lora_ensemble.contracts import SEVERITIES, Split
from lora_ensemble.errors import ConfigurationError, UnknownNameError, UserError
from lora_ensemble.runs.predicting import Wanted
from lora_ensemble.runs.shifts import shifts_named
from lora_ensemble.sources.shifted import shifted

NAMES = registry.names("shifts")
RNG = np.random.default_rng(0)
SMOOTH = np.add.outer(np.arange(40), np.arange(56))
EXAMPLES: dict[str, list[dict[str, Any]]] = {
    "image": [
        {"image": (SMOOTH[..., None] * (1.1, 2.0, 1.5) + RNG.integers(0, 60, (40, 56, 3))).astype("uint8")},
        {"image": RNG.integers(0, 255, (8, 8), dtype=np.uint8)},
        {"image": np.full((3, 1, 3), 7, dtype=np.uint8)},
        {"image": np.zeros((17, 300, 3), dtype=np.uint8)},
    ],
    "audio": [
        {"audio": np.sin(np.arange(16000) * 0.3).astype("float32") + RNG.normal(size=16000).astype("float32") / 3},
        {"audio": np.zeros(500, dtype="float32")},
        {"audio": np.ones(1, dtype="float32")},
        {"audio": np.zeros(0, dtype="float32")},
    ],
    "text": [
        {"text": "The quick brown fox jumps over the lazy dog, which sleeps near the river bank. " * 3},
        {"text": "a"},
        {"text": "", "text_pair": "Ein Wörterbuch, 42 Seiten: ÄÖÜ \U0001f600."},
        {"text": "zq"},
    ],
    "choices": [{"question": "Which planet is the largest of them all?", "choices": ["Mars", "Jupiter"]}],
}
PAIRS = [(name, kind) for name in NAMES for kind in registry.config_class("shifts", name).modalities]


def split_of(kind: str) -> Split:
    examples = EXAMPLES[kind]
    return Split(examples, None, [f"row-{i}" for i in range(len(examples))], ["a", "b"], kind)


def content(example: Any) -> list[Any]:
    return [v.tolist() if isinstance(v, np.ndarray) else v for v in example.values()]


def test_there_are_the_fifteen_and_those_of_sound_and_text() -> None:
    assert len(shifts_named("corruptions", "image")) == 15 * SEVERITIES
    assert {s.kind for s in shifts_named("corruptions:severity=2", "audio")} == {
        "white-noise", "reverberation", "gain", "low-pass", "high-pass",
    }  # fmt: skip
    assert {s.kind for s in shifts_named("corruptions", "text")} == {"typos", "case"}


@pytest.mark.parametrize(("name", "kind"), PAIRS)
@pytest.mark.parametrize("severity", range(1, SEVERITIES + 1))
def test_rows_stay_what_they_are_in_any_order(name: str, kind: str, severity: int) -> None:
    shift = registry.config_class("shifts", name)(severity=severity)
    split = split_of(kind)
    made = shifted(split, shift)
    before = [content(e) for e in split.examples]
    whole = [made.examples[i] for i in range(len(split))]
    assert [content(e) for e in split.examples] == before  # what was given is not changed
    assert made.ids == split.ids
    for old, new in zip(split.examples, whole, strict=True):
        assert old.keys() == new.keys()
        for field, value in old.items():
            if isinstance(value, np.ndarray):
                assert new[field].dtype == value.dtype
                assert new[field].shape == value.shape
                assert np.isfinite(new[field]).all()
            elif isinstance(value, str):
                assert bool(new[field]) == bool(value)
    order = list(range(len(split)))[::-1]
    turned = replace(split, examples=[split.examples[i] for i in order], ids=[split.ids[i] for i in order])
    again = shifted(turned, shift).examples
    assert [content(again[i]) for i in order] == [content(e) for e in whole]


@pytest.mark.parametrize(("name", "kind"), [pair for pair in PAIRS if pair[1] != "choices"])
def test_severity_is_felt(name: str, kind: str) -> None:
    """The most severe changes the first row more than the least, and by something."""
    split = split_of(kind)
    cls = registry.config_class("shifts", name)
    changes = [_change(split.examples[0], shifted(split, cls(severity=s)).examples[0]) for s in (1, 5)]
    assert changes[1] > changes[0]
    assert changes[1] > 0


def _change(old: Any, new: Any) -> float:
    if "text" in old:
        import difflib

        return 1 - difflib.SequenceMatcher(None, old["text"], new["text"], autojunk=False).ratio()
    (a, b) = (next(iter(e.values())).astype(float) for e in (old, new))
    return float(np.abs(a - b).mean())


def test_another_seed_and_another_row_draw_otherwise() -> None:
    cls = registry.config_class("shifts", "gaussian-noise")
    same = [{"image": np.full((6, 6), 128, np.uint8)}] * 2
    split = Split(same, None, ["a", "b"], ["x", "y"], "image")
    one, other = (shifted(split, cls(seed=seed)).examples for seed in (0, 1))
    images = [e["image"].tobytes() for e in (one[0], one[1], other[0])]
    assert len(set(images)) == 3


@pytest.mark.parametrize(
    ("words", "error", "said"),
    [
        ("fogg", UnknownNameError, "fog"),
        ("fog:severity=6", UserError, "expected numbers of 1 to 5"),
        ("fog:strength=2", UserError, ":severity=1,3,5"),
        ("typos", UserError, "is of text or choices rows; these are image"),
    ],
)
def test_what_is_refused(words: str, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        shifts_named(words, "image")


def test_a_severity_that_does_not_exist() -> None:
    from lora_ensemble.datasets.digits import Digits
    from lora_ensemble.shifts.fog import Fog

    with pytest.raises(ConfigurationError, match=r"fog.severity = 9: must be 1, 2, 3, 4 or 5"):
        Wanted("test", Digits(), shift=Fog(severity=9))


def test_several_with_commas() -> None:
    named = shifts_named("fog:severity=1,3, jpeg:severity=2,snow", "image")
    assert [(s.kind, s.severity) for s in named] == [
        ("fog", 1), ("fog", 3), ("jpeg", 2), *(("snow", s) for s in range(1, 6)),
    ]  # fmt: skip

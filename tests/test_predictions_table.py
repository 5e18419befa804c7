"""Predictions as a table of answers, and tables of other people's predictions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch.testing import assert_close

from lora_ensemble.errors import DataError
from lora_ensemble.predictions import Predictions

ANSWERS = ["id", "prediction", "probability", "total", "aleatoric", "epistemic", "agreement"]


def predictions(**kwargs: object) -> Predictions:
    logits = torch.randn(4, 6, 3, generator=torch.Generator().manual_seed(0))
    given = {"labels_B": [0, 1, 2, 0, 1, 2], "ids": list("uvwxyz"), "meta": {"classes": ["cat", "dog", "eel"]}}
    return Predictions(logits, **{**given, **kwargs})


def test_an_answer_per_row() -> None:
    p = predictions()
    frame = p.to_pandas()
    assert list(frame) == [*ANSWERS, "label"]
    assert list(frame["id"]) == list("uvwxyz")
    assert list(frame["label"]) == ["cat", "dog", "eel"] * 2
    for b, row in frame.iterrows():
        probs = p.pooled_probs()[b]
        assert row["prediction"] == ["cat", "dog", "eel"][int(probs.argmax())]
        assert row["probability"] == float(probs.max())
        assert row["total"] == pytest.approx(row["aleatoric"] + row["epistemic"], abs=1e-6)
        votes = [int(p.logits_MBC[m, b].argmax()) == int(probs.argmax()) for m in range(4)]
        assert row["agreement"] == sum(votes) / 4


def test_columns_that_are_asked_for_come_in_order() -> None:
    p = predictions(labels_B=None)
    sets = torch.tensor([[True, False, True]] * 6)
    frame = p.to_pandas(probabilities=True, members=True, sets_BC=sets, abstain_B=torch.tensor([True] + [False] * 5))
    assert list(frame) == [*ANSWERS, "abstain", "set", "members", "p_cat", "p_dog", "p_eel"]
    assert frame["set"][0] == ["cat", "eel"]
    assert frame["abstain"].tolist() == [True] + [False] * 5
    assert len(frame["members"][0]) == 4
    with pytest.raises(DataError, match=r"sets_BC has shape \(6, 2\), expected \(6, 3\)"):
        p.to_pandas(sets_BC=sets[:, :2])


def test_without_names_rows_and_classes_are_numbers() -> None:
    frame = predictions(ids=None, meta={}).to_pandas(probabilities=True)
    assert frame["id"].tolist() == list(range(6))
    assert {"p_0", "p_1", "p_2"} <= set(frame)
    assert set(frame["prediction"]) <= {"0", "1", "2"}


def test_csv_and_back(tmp_path: Path) -> None:
    p = predictions()
    p.to_csv(tmp_path / "answers.csv", probabilities=True, members=True)
    back = Predictions.from_pandas(pd.read_csv(tmp_path / "answers.csv"))
    assert back.from_probabilities
    assert back.ids == p.ids
    assert torch.equal(back.labels_B, p.labels_B)
    assert back.meta["classes"] == p.meta["classes"]
    assert_close(back.pooled_probs(), p.pooled_probs(), atol=1e-7, rtol=1e-6)
    assert_close(back.total_B, p.total_B, atol=1e-6, rtol=1e-6)


def test_a_row_per_member_and_sample_in_any_order() -> None:
    p = predictions()
    rows = [
        {"id": p.ids[b], "member": m, "label": int(p.labels_B[b])}
        | {f"logit_{c}": float(p.logits_MBC[m, b, c]) for c in range(3)}
        for m in range(4)
        for b in range(6)
    ]
    frame = pd.DataFrame(rows)
    parts = [frame[frame["member"] == m].sample(frac=1, random_state=m) if m else frame[:6] for m in range(4)]
    back = Predictions.from_pandas(pd.concat(parts))
    assert torch.equal(back.logits_MBC, p.logits_MBC)
    assert torch.equal(back.labels_B, p.labels_B)
    assert not back.from_probabilities


def table(**columns: object) -> pd.DataFrame:
    return pd.DataFrame({"id": ["a", "b"], "p_x": [0.5, 1.0], "p_y": [0.5, 0.0], **columns})


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pd.DataFrame({"a": [1], "b": [2]}), r"no columns p_<class> or logit_<class>; its columns: a, b"),
        (table(label=["x", "z"]), "label 'z' of row 1 is none of the classes: x, y"),
        (table(label=[0, 2]), "label 0 of row 0 is none of the classes"),
        (table(p_x=["much", "little"]), "hold what is no number"),
        (table(p_x=[0.9, 1.0]), r"row 0 has probabilities that sum to 1\.4"),
        (table(id=["a", "a"]), "id 'a' occurs more than once"),
        (table(member=[0, 1]), "member 1 has other rows than member 0"),
        (table(id=["a", "a"], member=[0, 0]), "id 'a' occurs more than once for one member"),
        (table(p_y=[0.5, np.nan]), "sum to nan"),
    ],
)
def test_what_is_refused(frame: pd.DataFrame, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Predictions.from_pandas(frame)

"""Logits that other programs wrote: every form gives the predictions that were written, and bad files are one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file
from torch.testing import assert_close

from lora_ensemble.errors import DataError, FileFormatError, UserError
from lora_ensemble.predictions import Predictions

M, B, C = 3, 20, 4
NAMES = ["cat", "dog", "NA", "007"]
L = np.random.default_rng(0).normal(size=(M, B, C)).astype("float32")
Y = np.random.default_rng(1).integers(C, size=B)
PROBS = np.exp(L) / np.exp(L).sum(-1, keepdims=True)
COLUMNS = [f"logit_{name}" for name in NAMES]


def long_table() -> pd.DataFrame:
    rows = [
        {"id": f"r{b}", "member": m, "label": NAMES[Y[b]]} | dict(zip(COLUMNS, L[m, b].tolist(), strict=True))
        for m in range(M)
        for b in range(B)
    ]
    return pd.DataFrame(rows).sample(frac=1, random_state=0).sort_values("member", kind="stable")


def own(path: Path) -> None:
    Predictions(L, Y).save(path)


def jsonl(path: Path) -> None:
    path.write_text("".join(json.dumps({"logits": L[:, b].tolist(), "label": int(Y[b])}) + "\n" for b in range(B)))


def lists() -> pd.DataFrame:
    return pd.DataFrame({"logits": L.transpose(1, 0, 2).tolist(), "label": Y})


FORMS: dict[str, tuple[str, Callable[[Path], object], dict[str, object]]] = {
    "npy": ("a.npy", lambda path: np.save(path, L), {"labels": Y}),
    "npy, half": ("a.npy", lambda path: np.save(path, L.astype("float64")), {"labels": Y}),
    "npz": ("a.npz", lambda path: np.savez(path, logits=L, labels=Y), {}),
    "npz, one of many": ("a.npz", lambda path: np.savez(path, a=L, b=L, z=Y), {"labels": "z", "columns": ["a"]}),
    "npz, compressed": ("a.npz", lambda path: np.savez_compressed(path, logits=L, y_true=Y), {}),
    "safetensors": ("a.safetensors", lambda path: save_file({"logits": L, "targets": Y}, path), {}),
    "our own": ("a.safetensors", own, {}),
    "members below each other": ("a.npy", lambda path: np.save(path, L.reshape(-1, C)), {"labels": Y, "members": M}),
    "labels for each": ("a.npy", lambda path: np.save(path, L.reshape(-1, C)), {"labels": np.tile(Y, M), "members": M}),
    "csv": ("a.csv", lambda path: long_table().to_csv(path, index=False), {}),
    "tsv": ("a.tsv", lambda path: long_table().to_csv(path, index=False, sep="\t"), {}),
    "parquet": ("a.parquet", lambda path: long_table().to_parquet(path), {}),
    "parquet, lists": ("a.parquet", lambda path: lists().to_parquet(path), {}),
    "jsonl, lists": ("a.jsonl", jsonl, {}),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_what_was_written(form: str, tmp_path: Path) -> None:
    name, write, options = FORMS[form]
    write(tmp_path / name)
    p = Predictions.from_file(tmp_path / name, **options)  # type: ignore[arg-type]
    if p.ids is not None:  # sorted by member, in whatever order
        p = p.rows([p.ids.index(f"r{b}") for b in range(B)])
        assert p.meta["classes"] == NAMES
    assert_close(p.logits_MBC, torch.tensor(L), rtol=1e-6, atol=1e-6)
    assert p.labels_B is not None
    assert p.labels_B.tolist() == Y.tolist()
    assert Predictions.from_file(tmp_path / name, **{**options, "labels": False}).labels_B is None  # type: ignore[arg-type]


@pytest.mark.parametrize("options", [{"header": False, "index": False}, {"index": False}, {}], ids=str)
def test_a_csv_without_names_is_one_member(options: dict[str, bool], tmp_path: Path) -> None:
    pd.DataFrame(L[0]).to_csv(tmp_path / "a.csv", **options)  # type: ignore[call-overload]
    p = Predictions.from_file(tmp_path / "a.csv", Y)
    assert (p.num_members, len(p)) == (1, B)
    assert_close(p.logits_MBC[0], torch.tensor(L[0]), rtol=1e-6, atol=1e-6)
    assert "classes" not in p.meta


def test_columns_of_other_names(tmp_path: Path) -> None:
    pd.DataFrame(L[0], columns=NAMES).assign(truth=[NAMES[y] for y in Y]).to_csv(tmp_path / "a.csv", index=False)
    p = Predictions.from_file(tmp_path / "a.csv", "truth", columns=NAMES)
    assert p.meta["classes"] == NAMES
    assert p.labels_B is not None
    assert p.labels_B.tolist() == Y.tolist()


@pytest.mark.parametrize("write", [lambda p: np.save(p, PROBS), lambda p: np.savez(p, logits=PROBS)])
def test_probabilities_are_asked_about(write: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    write(path)
    if not path.exists():  # numpy adds its own ending
        path = tmp_path / "a.npz.npy"
    with pytest.raises(DataError, match="they look like probabilities; say so with --probabilities"):
        Predictions.from_file(path, Y)
    p = Predictions.from_file(path, Y, probabilities=True)
    assert_close(p.probs_MBC, torch.tensor(PROBS), rtol=1e-5, atol=1e-6)


def test_names_say_that_values_are_probabilities(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", probs=PROBS, labels=Y)
    Predictions.from_file(tmp_path / "a.npz").to_csv(tmp_path / "b.csv", probabilities=True)
    p = Predictions.from_file(tmp_path / "b.csv")
    assert p.from_probabilities
    assert_close(p.mean_probs_BC, torch.tensor(PROBS.mean(0)), rtol=1e-5, atol=1e-6)


def test_labels_of_another_file_go_by_id(tmp_path: Path) -> None:
    frame = long_table().drop(columns="label")
    frame.to_csv(tmp_path / "a.csv", index=False)
    order = np.random.default_rng(3).permutation(B)
    labels = pd.DataFrame({"id": [f"r{b}" for b in order], "label": [NAMES[Y[b]] for b in order]})
    labels.to_csv(tmp_path / "y.csv", index=False)
    p = Predictions.from_file(tmp_path / "a.csv", tmp_path / "y.csv")
    assert p.ids is not None
    assert p.labels_B is not None
    assert [NAMES[c] for c in p.labels_B] == [NAMES[Y[int(name[1:])]] for name in p.ids]
    labels[1:].to_csv(tmp_path / "y.csv", index=False)
    with pytest.raises(DataError, match=r"y.csv has no label for id 'r\d+' \(1 missing\)"):
        Predictions.from_file(tmp_path / "a.csv", tmp_path / "y.csv")


def bad(path: Path, **options: object) -> str:
    with pytest.raises(UserError) as caught:
        Predictions.from_file(path, **options)  # type: ignore[arg-type]
    said = str(caught.value)
    assert path.name in said
    assert "\n" not in said
    return said


def test_pickled_objects_are_never_loaded(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (tmp_path / "exploded",)  # type: ignore[return-value]

    np.save(tmp_path / "a.npy", np.array([Bomb()], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "a.npz", logits=np.array([Bomb()], dtype=object))
    for name in ("a.npy", "a.npz"):
        assert "pickled Python objects, which are never loaded" in bad(tmp_path / name)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    ("array", "options", "expected"),
    [
        (L[0, 0], {}, r"logits have shape (4,), expected (M, B, C)"),
        (L[:, :, :1], {}, "two classes"),
        (L.astype("complex64"), {}, "expected real numbers"),
        (np.where(L.max() == L, np.nan, L), {}, "is nan, expected finite numbers"),
        (L.reshape(-1, C), {"members": 7}, "60 rows, which 7 members do not divide"),
        (L.reshape(-1, C), {"members": 0}, "members = 0: expected at least 1"),
        (L, {"members": 2}, "3 members, not 2"),
        (L.reshape(-1, C), {"labels": Y}, "say so with --members 3"),
        (L.reshape(-1, C), {"labels": np.repeat(Y, M), "members": M}, "expected all rows of member 0 first"),
        (L.transpose(1, 0, 2), {"labels": Y}, "this looks like (B, M, C), expected (M, B, C)"),
        (L, {"labels": Y[:5]}, "labels have shape (5,), expected (20,)"),
        (L, {"labels": Y + 1}, "is out of range: expected 0 to 3"),
        (L, {"labels": Y.astype(float)}, "expected integers: class indices"),
        (L, {"labels": ["cat"] * B}, "labels are texts ('cat')"),
        (L, {"labels": "truth"}, "in which there is no 'truth'"),
        (L, {"probabilities": True}, "expected at least 0 each, 1 together"),
    ],
)
def test_arrays_that_do_not_fit(array: np.ndarray, options: dict[str, object], expected: str, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", array)
    assert expected in bad(tmp_path / "a.npy", **options)


def test_columns_that_are_not_there_are_listed(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    pd.DataFrame(L[0], columns=["cat", "dog", "eel", "fox"]).assign(truth=Y).to_csv(path, index=False)
    assert "which columns are the logits? there are cat, dog, eel, fox, truth" in bad(path)
    assert "no column 'dg', only cat, dog, eel, fox, truth. Did you mean 'dog'?" in bad(path, columns=["cat", "dg"])
    assert "no column 'label', only cat" in bad(path, columns=["cat", "dog"], labels="label")
    path.write_text("logit_a,logit_b\n1,x\n")
    assert "cannot be read as a table of numbers" in bad(path)
    path.write_text("logit_a,logit_b\n1,\n")
    assert "a logit of member 0, row 0 is nan" in bad(path)
    path.write_text("logit_a,logit_a\n1,2\n")
    assert "has the column 'logit_a' twice" in bad(path)
    path.write_text("")
    assert "is empty" in bad(path)
    np.savez(tmp_path / "a.npz", one=L, two=L)
    assert "which array are the logits? there are one (3, 20, 4), two (3, 20, 4)" in bad(tmp_path / "a.npz")


def test_members_on_other_rows_or_with_other_labels(tmp_path: Path) -> None:
    frame = long_table()
    frame.loc[frame.index[-1], "label"] = "cat" if frame["label"].iloc[-1] != "cat" else "dog"
    frame.to_csv(tmp_path / "a.csv", index=False)
    assert "member 2 has label" in bad(tmp_path / "a.csv")
    frame[:-1].to_csv(tmp_path / "a.csv", index=False)
    assert "member 2 has other rows than member 0" in bad(tmp_path / "a.csv")


def test_missing_foreign_and_truncated_files(tmp_path: Path) -> None:
    assert "there is no file" in bad(tmp_path / "no.npy")
    (tmp_path / "a.pt").write_bytes(b"some")
    assert "expected a file that ends in .safetensors, .npy" in bad(tmp_path / "a.pt")
    np.save(tmp_path / "a.npy", L)
    with pytest.raises(DataError, match=r"there is no file no\.npy, of labels"):
        Predictions.from_file(tmp_path / "a.npy", "no.npy")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    for name, write, _ in FORMS.values():
        write(folder / name)
    return folder


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damaged_files_are_one_line_or_numbers(data: st.DataObject, whole: Path) -> None:
    name = data.draw(st.sampled_from(sorted(path.name for path in whole.iterdir() if path.name.startswith("a."))))
    content = bytearray((whole / name).read_bytes())
    content = content[: data.draw(st.integers(0, len(content)))]
    for _ in range(data.draw(st.integers(0, 8)) if content else 0):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = whole / f"damaged{Path(name).suffix}"
    path.write_bytes(content)
    try:
        assert torch.isfinite(Predictions.from_file(path).logits_MBC).all()
    except (DataError, FileFormatError) as error:
        said = str(error)
    else:
        said = "damaged"
    assert "damaged" in said
    assert "\n" not in said

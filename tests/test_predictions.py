"""The seam: what it refuses, the uncertainties' closed forms, selecting, joining, and the file."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from safetensors.torch import save_file
from torch.testing import assert_close

from lora_ensemble.errors import DataError, FileFormatError, UnknownNameError, UserError
from lora_ensemble.predictions import Predictions
from tolerance import close

CERTAIN = 1000.0


@st.composite
def some_logits(draw: st.DrawFn) -> np.ndarray:
    """(M, B, C) logits from equal to very confident."""
    shape = draw(st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(2, 6)))
    return draw(arrays(np.float32, shape, elements=st.floats(-200, 200, width=32)))


def predictions(members: int = 3, rows: int = 6, num_classes: int = 4, seed: int = 0, **kwargs) -> Predictions:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(members, rows, num_classes, generator=generator)
    labels = torch.randint(num_classes, (rows,), generator=generator)
    return Predictions(logits, **{"labels_B": labels, **kwargs})


# Uncertainties -------------------------------------------------------------------------------------------------


def test_uniform_members_are_all_aleatoric() -> None:
    p = Predictions(torch.zeros(3, 2, 5))
    assert_close(p.total_B, torch.full((2,), math.log(5)))
    assert_close(p.aleatoric_B, torch.full((2,), math.log(5)))
    assert_close(p.epistemic_B, torch.zeros(2))


def test_certain_members_that_agree_have_no_uncertainty() -> None:
    p = Predictions(torch.tensor([CERTAIN, 0, 0]).expand(4, 2, 3))
    for part in (p.total_B, p.aleatoric_B, p.epistemic_B):
        assert_close(part, torch.zeros(2), atol=0, rtol=0)


@pytest.mark.parametrize("members", [2, 3, 5])
def test_certain_members_that_all_disagree_are_all_epistemic(members: int) -> None:
    p = Predictions((CERTAIN * torch.eye(members))[:, None])
    assert_close(p.epistemic_B, torch.tensor([math.log(members)]))
    assert_close(p.aleatoric_B, torch.zeros(1))


def test_one_member_has_exactly_no_epistemic_uncertainty() -> None:
    p = predictions(members=1, rows=500)
    assert torch.equal(p.epistemic_B, torch.zeros(500))


def test_small_epistemic_uncertainty_is_not_lost_to_rounding() -> None:
    # Two members at p = 1/2 ± d: mutual information is 2 d**2 nats for small d.
    d = 1e-4
    logit = math.log((0.5 + d) / (0.5 - d))
    p = Predictions(torch.tensor([[[logit, 0.0]], [[-logit, 0.0]]]))
    assert_close(p.epistemic_B, torch.tensor([2 * d**2]), rtol=1e-3, atol=0)


@settings(max_examples=60, deadline=None)
@given(some_logits())
def test_decomposition(logits: np.ndarray) -> None:
    p = Predictions(logits)
    members, _, num_classes = logits.shape
    close(p.total_B, p.aleatoric_B + p.epistemic_B)
    for part, upper in ((p.total_B, num_classes), (p.aleatoric_B, num_classes), (p.epistemic_B, members)):
        assert bool((part >= 0).all())
        assert bool((part <= math.log(upper) + 1e-5).all())
    reordered = p.members(list(range(members))[::-1])
    close(reordered.epistemic_B, p.epistemic_B, depth=8, dtype=torch.float32)
    assert_close(p.mean_probs_BC.sum(-1), torch.ones(len(p)))


def test_uncertainties_agree_with_a_slow_twin() -> None:
    p = predictions(members=4, rows=7)
    for b in range(len(p)):
        probs = [torch.softmax(p.logits_MBC[m, b].double(), 0).tolist() for m in range(4)]
        mean = [sum(member[c] for member in probs) / 4 for c in range(4)]
        total = -sum(q * math.log(q) for q in mean)
        aleatoric = -sum(q * math.log(q) for member in probs for q in member) / 4
        close(p.total_B[b].item(), total, depth=8, dtype=torch.float32)
        close(p.aleatoric_B[b].item(), aleatoric, depth=8, dtype=torch.float32)
        close(p.epistemic_B[b].item(), total - aleatoric, depth=8, dtype=torch.float32)


def test_poolings() -> None:
    p = predictions()
    close(p.pooled_probs(), p.probs_MBC.mean(0).double(), depth=8, dtype=torch.float32)
    assert_close(p.pooled_probs("softmax-of-mean-logits"), torch.softmax(p.logits_MBC.mean(0).double(), -1))
    with pytest.raises(UnknownNameError, match="Did you mean 'softmax-of-mean-logits'"):
        p.pooled_probs("softmax-of-logits")


# What is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("logits", "message"),
    [
        (np.zeros(3), r"shape \(3,\), expected \(M, B, C\)"),
        (np.zeros((2, 3, 4, 5)), r"\(M, B, T, V\).*one position of T"),
        (np.zeros((2, 0, 4)), "at least one member, one sample, two classes"),
        (np.zeros((2, 3, 1)), "two classes"),
        (np.zeros((2, 3, 4), dtype=bool), "expected real numbers"),
        ([["a"]], "not an array of numbers"),
    ],
)
def test_refused_logits(logits: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Predictions(logits)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_logit_that_is_not_finite_is_named(value: float) -> None:
    logits = torch.zeros(3, 4, 2)
    logits[1, 2, 0] = value
    with pytest.raises(DataError, match=f"member 1, row 2 .id 'c'. is {value}"):
        Predictions(logits, ids="abcd")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1, 4], "label 4 of row 2 is out of range: expected 0 to 3"),
        ([0, -100, 1], "label -100 of row 1"),
        ([0, 1], r"shape \(2,\), expected \(3,\)"),
        ([0.0, 1.0, 2.0], "expected integers"),
    ],
)
def test_refused_labels(labels: list, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Predictions(np.zeros((2, 3, 4)), np.array(labels))


def test_refused_ids_and_classes() -> None:
    with pytest.raises(DataError, match="2 ids, expected 3"):
        Predictions(np.zeros((1, 3, 2)), ids=["a", "b"])
    with pytest.raises(DataError, match="id 'a' occurs more than once"):
        Predictions(np.zeros((1, 3, 2)), ids=["a", "b", "a"])
    with pytest.raises(DataError, match="3 classes, but the logits have 2"):
        Predictions(np.zeros((1, 3, 2)), meta={"classes": ["x", "y", "z"]})


def test_arrays_of_any_number_type_become_float32() -> None:
    readonly = np.arange(12).reshape(1, 6, 2)
    readonly.flags.writeable = False
    for logits in (
        readonly,
        readonly.tolist(),
        torch.tensor(readonly).bfloat16(),
        torch.ones(1, 6, 2).requires_grad_(),
    ):
        p = Predictions(logits, np.zeros(6, dtype=np.int32))
        assert p.logits_MBC.dtype == torch.float32
        assert not p.logits_MBC.requires_grad
        assert p.labels_B.dtype == torch.int64
    assert repr(p) == "Predictions(1 members, 6 rows, 2 classes, with labels)"


# Selecting and joining ------------------------------------------------------------------------------------------


def test_selecting_members_and_rows() -> None:
    p = predictions(members=4, rows=5, ids=list("abcde"), meta={"classes": list("wxyz")})
    assert torch.equal(p.members(slice(1, 3)).logits_MBC, p.logits_MBC[1:3])
    assert torch.equal(p.members([3, 0]).logits_MBC, p.logits_MBC[[3, 0]])
    some = p.rows([4, -4])
    assert torch.equal(some.logits_MBC, p.logits_MBC[:, [4, 1]])
    assert torch.equal(some.labels_B, p.labels_B[[4, 1]])
    assert some.ids == ("e", "b")
    assert some.meta == {"classes": list("wxyz")}
    assert p.rows(torch.tensor([True, False, False, True, False])).ids == ("a", "d")
    assert p.rows(slice(None, None, -2)).ids == ("e", "c", "a")
    assert len(p) == 5


def test_selecting_what_is_not_there() -> None:
    p = predictions(members=4, rows=5)
    with pytest.raises(DataError, match="there is no member 4: expected 0 to 3"):
        p.members([0, 4])
    with pytest.raises(DataError, match="2 booleans to choose from 5 rows"):
        p.rows([True, False])
    with pytest.raises(DataError, match="expected integers or booleans"):
        p.rows([0.5])


def test_concat_matches_rows_by_id() -> None:
    p = predictions(members=4, rows=5, ids=list("abcde"), meta={"split": "test", "seed": 1})
    shuffled = p.members([2, 3]).rows([3, 1, 4, 0, 2])
    other = Predictions(shuffled.logits_MBC, shuffled.labels_B, shuffled.ids, {"split": "test", "seed": 2})
    joined = Predictions.concat([p.members([0, 1]), other])
    assert torch.equal(joined.logits_MBC, p.logits_MBC)
    assert torch.equal(joined.labels_B, p.labels_B)
    assert joined.ids == tuple("abcde")
    assert joined.meta == {"split": "test"}


def test_concat_takes_labels_from_the_part_that_has_them() -> None:
    p = predictions()
    assert torch.equal(Predictions.concat([Predictions(p.logits_MBC), p]).labels_B, p.labels_B)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ids": list("abcdeX")}, "id 'f' of part 0 is not in part 1"),
        ({"ids": None}, "part 1 has no ids, but part 0 has"),
        ({"labels_B": torch.tensor([0, 0, 1, 3, 0, 0])}, "part 1 has label 1 for id 'c', an earlier one has 0"),
        ({"num_classes": 5}, "part 1 has 5 classes, part 0 has 4"),
        ({"rows": 7, "ids": list("gabcdef"), "labels_B": None}, "id 'g' of part 1 is not in part 0"),
        ({"meta": {"classes": ["w", "x", "z", "y"]}}, "class 'z' where part 0 has 'y'"),
    ],
)
def test_concat_refuses_other_samples(change: dict, message: str) -> None:
    given = {"ids": list("abcdef"), "labels_B": torch.zeros(6, dtype=torch.int64), "meta": {"classes": list("wxyz")}}
    other = {**given, **change}
    if "num_classes" in change:
        other["meta"] = {}
    with pytest.raises(DataError, match=message):
        Predictions.concat([predictions(**given), predictions(**other)])


def test_concat_without_ids_needs_as_many_rows() -> None:
    with pytest.raises(DataError, match="part 1 has 5 rows, part 0 has 6"):
        Predictions.concat([predictions(), predictions(rows=5)])
    with pytest.raises(DataError, match="no predictions"):
        Predictions.concat([])


# The file -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [{}, {"labels_B": None}, {"ids": list("abcdeö"), "meta": {"classes": list("wxyz")}}])
def test_file_round_trip(tmp_path: Path, given: dict) -> None:
    p = predictions(**given).rows(slice(None, None, -1))
    p.save(tmp_path / "test.safetensors")
    back = Predictions.load(tmp_path / "test.safetensors")
    assert torch.equal(back.logits_MBC, p.logits_MBC)
    assert (back.labels_B is None) == (p.labels_B is None)
    assert p.labels_B is None or torch.equal(back.labels_B, p.labels_B)
    assert back.ids == p.ids
    assert back.meta == p.meta
    assert os.listdir(tmp_path) == ["test.safetensors"]


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "test.safetensors"
    predictions(ids=list("abcdef")).save(path)
    whole = path.read_bytes()
    for size in range(0, len(whole), 37):
        path.write_bytes(whole[:size])
        with pytest.raises(FileFormatError, match="truncated or not a safetensors file"):
            Predictions.load(path)


def test_foreign_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "test.safetensors"
    logits = {"logits_MBC": torch.zeros(1, 2, 3)}
    ours = {"format": "lora-ensemble-predictions", "version": "1", "ids": "null", "meta": "{}"}
    cases = [
        (logits, {"format": "pt"}, "not one of predictions"),
        (logits, {**ours, "version": "2"}, "has version 2, this library reads 1"),
        ({"weight": torch.zeros(3)}, ours, "'logits_MBC' is missing"),
        ({"logits_MBC": torch.full((1, 2, 3), math.nan)}, ours, "no usable predictions: .* nan"),
        (logits, {**ours, "ids": "["}, "no usable predictions"),
        (logits, {**ours, "meta": "3"}, "no usable predictions"),
    ]
    for tensors, metadata, message in cases:
        save_file(tensors, path, metadata)
        with pytest.raises(FileFormatError, match=message):
            Predictions.load(path)
    path.write_bytes(b"not a safetensors file")
    with pytest.raises(FileFormatError, match="truncated or not"):
        Predictions.load(path)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "none.safetensors", tmp_path):
        with pytest.raises(DataError, match="there is no predictions file"):
            Predictions.load(path)


def test_a_full_disk_keeps_the_old_file(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    path = tmp_path / "test.safetensors"
    old = predictions()
    old.save(path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(UserError, match=r"cannot write .*test\.safetensors: .*File too large"):
            predictions(rows=10_000).save(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert torch.equal(Predictions.load(path).logits_MBC, old.logits_MBC)
    assert os.listdir(tmp_path) == ["test.safetensors"]


def test_meta_that_is_not_json(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="meta cannot be saved"):
        predictions(meta={"when": object()}).save(tmp_path / "test.safetensors")
    assert os.listdir(tmp_path) == []


def test_two_axes_are_one_member() -> None:
    p = predictions(members=1)
    assert torch.equal(Predictions(p.logits_MBC[0].numpy()).logits_MBC, p.logits_MBC)


def test_features_are_kept_with_their_members_and_rows(tmp_path: Path) -> None:
    features = torch.randn(3, 6, 8, generator=torch.Generator().manual_seed(1))
    p = predictions(features_MBD=features.double().numpy(), ids=list("abcdef"))
    p.save(tmp_path / "p.safetensors")
    back = Predictions.load(tmp_path / "p.safetensors")
    assert torch.equal(back.features_MBD, features)
    assert torch.equal(back.members([2, 0]).rows([5, 1]).features_MBD, features[[2, 0]][:, [5, 1]])
    apart = [back.members([m]).rows(slice(None, None, -1)) for m in range(3)]
    assert torch.equal(Predictions.concat(apart).features_MBD, features.flip(1))
    assert torch.equal(Predictions.concat_rows([back.rows([0, 1]), back.rows([2])]).features_MBD, features[:, :3])
    assert Predictions.concat([back, Predictions(p.logits_MBC, ids=p.ids)]).features_MBD is None
    with pytest.raises(DataError, match=r"features have shape \(3, 5, 8\), expected \(3, 6, D\)"):
        predictions(features_MBD=features[:, :5])
    with pytest.raises(DataError, match="not all finite"):
        predictions(features_MBD=features * math.nan)


def test_nothing_chosen() -> None:
    for choose in (predictions().members, predictions().rows):
        with pytest.raises(DataError, match="nothing is chosen"):
            choose(slice(0, 0))


def test_metadata_is_readable_without_this_library(tmp_path: Path) -> None:
    from safetensors import safe_open

    predictions(ids=list("abcdef"), meta={"seed": 3}).save(tmp_path / "test.safetensors")
    with safe_open(tmp_path / "test.safetensors", framework="np") as file:
        metadata = file.metadata()
        assert file.get_tensor("logits_MBC").shape == (3, 6, 4)
    assert (metadata["format"], metadata["version"]) == ("lora-ensemble-predictions", "1")
    assert json.loads(metadata["ids"]) == list("abcdef")
    assert json.loads(metadata["meta"]) == {"seed": 3}

"""Predictions of every token, against the whole vocabulary."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import AutoModelForCausalLM

from lora_ensemble import Predictions, evaluate
from lora_ensemble.backbones.causal_lm import CausalLM
from lora_ensemble.errors import DataError
from lora_ensemble.inference import predict_split
from lora_ensemble.methods.lora import Lora
from lora_ensemble.questions.token_scores import token_classes, token_logits
from tiny_language_models import questions, save_model
from tolerance import close


def drawn(members: int, rows: int, tokens: int, vocabulary: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(members, rows, tokens, vocabulary, generator=generator)
    labels = torch.randint(0, vocabulary, (rows, tokens), generator=generator)
    labels[0, :2] = -100
    return logits, labels


@settings(max_examples=30, deadline=None)
@given(
    members=st.integers(1, 3),
    rows=st.integers(1, 3),
    vocabulary=st.integers(3, 9),
    others=st.integers(1, 12),
    seed=st.integers(0, 99),
)
def test_what_is_exact_and_what_is_a_bound(members: int, rows: int, vocabulary: int, others: int, seed: int) -> None:
    logits, labels = drawn(members, rows, 5, vocabulary, seed)
    kept = token_logits(logits, labels, others)
    where = labels[:, 1:] != -100
    whole = Predictions(logits[:, :, :-1][:, where], labels[:, 1:][where])
    few = Predictions(kept, torch.zeros(kept.shape[1], dtype=torch.long))
    assert few.num_classes == 1 + len(token_classes(others, vocabulary))
    torch.testing.assert_close(kept.exp().sum(-1), torch.ones(kept.shape[:2]))
    own = whole.probs_MBC.gather(2, whole.labels_B.expand(members, -1)[..., None])[..., 0]
    torch.testing.assert_close(few.probs_MBC[..., 0], own)
    top = whole.mean_probs_BC.max(1).values
    torch.testing.assert_close(few.mean_probs_BC[:, :-1].max(1).values, top)
    assert (few.total_B <= whole.total_B + 1e-5).all()
    assert (few.aleatoric_B <= whole.aleatoric_B + 1e-5).all()
    if others >= vocabulary - 2:  # nothing is left out
        close(few.epistemic_B, whole.epistemic_B)


@pytest.fixture(scope="module")
def name(tmp_path_factory) -> str:
    return save_model(tmp_path_factory.mktemp("llama"))


def predict(name: str, **changes) -> Predictions:
    backbone = CausalLM(name, dtype="fp32", loss="next-token", scores="tokens", top_tokens=400).load(3)
    ensemble = Lora(members=2).build(backbone, 0)
    for _, layer in ensemble.member_layers():
        torch.nn.init.normal_(layer.lora_B, std=0.1, generator=torch.Generator().manual_seed(0))
    options = {"classes": ["a", "b", "c"], "batch_size": 4, "device": torch.device("cpu")}
    return predict_split(ensemble, questions(9), backbone, **options | changes)


def test_rows_are_the_tokens_of_every_text(name: str) -> None:
    p, split = predict(name), questions(9)
    questions_of = CausalLM(name, dtype="fp32", loss="next-token").load(3)
    texts = [questions_of.collate_labelled([e], split.labels[[i]]) for i, e in enumerate(split.examples)]
    lengths = [int((t["labels"] != -100).sum()) for t in texts]
    assert list(p.ids) == [f"q{i}#{n + 1}" for i, length in enumerate(lengths) for n in range(length)]
    assert not p.labels_B.any()
    assert p.meta["classes"][:2] == ["the token itself", "other token 1"]
    assert evaluate(p, intervals=False)["nll"] > 0
    assert torch.equal(predict(name).logits_MBC, p.logits_MBC)
    close(predict(name, batch_size=1).probs_MBC[..., 0], p.probs_MBC[..., 0])


def test_its_nll_is_the_loss_of_the_plain_model(name: str) -> None:
    backbone = CausalLM(name, dtype="fp32", loss="next-token", scores="tokens").load(3)
    split = questions(5)
    batch = backbone.collate_labelled(split.examples, split.labels)
    with torch.no_grad():
        expected = AutoModelForCausalLM.from_pretrained(name).eval()(**backbone.prepare(batch)).loss
    options = {"classes": ["a", "b", "c"], "batch_size": 2, "device": torch.device("cpu")}
    p = predict_split(Lora(members=1).build(backbone, 0), split, backbone, **options)
    assert evaluate(p, intervals=False)["nll"] == pytest.approx(float(expected), rel=1e-5)


def test_tokens_of_different_ensembles_are_not_joined(name: str) -> None:
    p = predict(name)
    other = Predictions(p.logits_MBC, p.labels_B, p.ids, {"classes": [*p.meta["classes"][:-1], "everything else (0)"]})
    with pytest.raises(DataError, match=r"has class 'everything else \("):
        Predictions.concat([p, other])


def test_the_answer_must_be_known(name: str) -> None:
    from dataclasses import replace

    backbone = CausalLM(name, dtype="fp32", loss="next-token", scores="tokens").load(3)
    with pytest.raises(DataError, match="the split has no labels"):
        predict_split(
            Lora(members=1).build(backbone, 0),
            replace(questions(3), labels=None),
            backbone,
            classes=["a", "b", "c"],
            batch_size=2,
            device=torch.device("cpu"),
        )

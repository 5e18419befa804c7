"""Answers by continuation: lm-evaluation-harness' numbers, one run of the question, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lora_ensemble.backbones.causal_lm import CausalLM
from lora_ensemble.engine.ensemble import Ensemble
from lora_ensemble.errors import DataError
from lora_ensemble.methods.lora import Lora
from lora_ensemble.methods.zero_shot import ZeroShot
from tiny_language_models import questions, save_model
from tolerance import close

REFERENCE = Path(__file__).with_name("continuation_reference.json")


def loaded(folder: Path, architecture: str = "llama", tokenizer: str = "byte-level", **fields):
    name = save_model(folder, architecture, tokenizer)
    return CausalLM(name=name, dtype="fp32", answer="continuation", **fields).load(3)


def built(backbone, members: int = 2) -> Ensemble:
    ensemble = Lora(members=members, r=2).build(backbone, seed=0)
    torch.manual_seed(1)
    with torch.no_grad():
        for _, layer in ensemble.adapters():
            layer.lora_B.normal_(std=0.3)
    return ensemble


@torch.no_grad()
@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_the_scores_are_those_of_lm_evaluation_harness(architecture: str, tmp_path: Path) -> None:
    """Version 0.4.13 (`scripts/make_lmeval_reference.py`): acc, acc_norm and acc_mutual_info rank by these."""
    told, asked = json.loads(REFERENCE.read_text()), questions(8)
    sums, alone = told[f"{architecture}-conditional"], told[f"{architecture}-unconditional"]
    backbone = loaded(tmp_path, architecture)
    batch = backbone.prepare(backbone.collate(asked.examples))
    tokens = (batch["choice_ids"] >= 0).sum(-1)
    for normalise in ("none", "characters", "tokens", "unconditional"):
        backbone.model.normalise = normalise
        scores = backbone.model(**batch)
        assert scores.shape == (8, 3)
        for row, example in enumerate(asked.examples):
            for k, choice in enumerate(example["choices"]):
                expected = {
                    "none": sums[row][k],
                    "characters": sums[row][k] / len(choice),
                    "tokens": sums[row][k] / int(tokens[row, k]),
                    "unconditional": sums[row][k] - alone[row][k],
                }[normalise]
                assert float(scores[row, k]) == pytest.approx(expected, abs=1e-4)
            assert (scores[row, len(example["choices"]) :] == -1e4).all()


@torch.no_grad()
@pytest.mark.parametrize("architecture", ["llama", "gpt2", "mistral", "qwen2", "phi", "bloom"])
def test_the_question_is_run_once_per_member_and_that_changes_no_number(architecture: str, tmp_path: Path) -> None:
    backbone = loaded(tmp_path, architecture)
    ensemble, asked = built(backbone).eval(), questions(4)
    batch = backbone.collate(asked.examples)
    rows: list[tuple[int, ...]] = []
    plain = backbone.model.plain
    handle = plain.get_output_embeddings().register_forward_hook(lambda m, args, out: rows.append(tuple(out.shape[:2])))
    once = ensemble(**batch).logits
    K, L = batch["choice_ids"].shape[1:]
    assert rows == [(2 * 4, 1), (2 * 4 * K, L - 1)]
    handle.remove()
    backbone.model.log_likelihoods = backbone.model._one_by_one
    close(once, ensemble(**batch).logits, scale=float(once[once > -1e4].abs().max()), depth=64)
    assert not torch.equal(once[0], once[1])


def test_gradients_are_the_same_with_and_without_kept_keys(tmp_path: Path) -> None:
    """Under gradient checkpointing, each choice runs with its question."""
    asked, gradients = questions(4), []
    for checkpointing in (False, True):
        backbone = loaded(tmp_path / str(checkpointing))
        ensemble = built(backbone).train()
        if checkpointing:
            ensemble.gradient_checkpointing_enable()
        batch = backbone.collate_labelled(asked.examples, asked.labels)
        output = ensemble(**batch)
        output.loss.backward()
        gradients.append([p.grad for p in ensemble.parameters() if p.requires_grad])
        assert output.logits.shape == (2, 4, 3)
    assert max(float(g.abs().max()) for g in gradients[0]) > 1e-3
    for one, other in zip(*gradients, strict=True):
        close(one, other, depth=128, scale=float(one.abs().max()))


def test_the_likelihood_alone_can_be_learned(tmp_path: Path) -> None:
    """Its loss is minus the log-likelihood of the right choice; rows without an answer do not count."""
    asked = questions(4)
    backbone = loaded(tmp_path, likelihood=True)
    ensemble = built(backbone).eval()
    ensemble.objective = backbone.loss
    labels = asked.labels.copy()
    labels[0] = -100
    output = ensemble(**backbone.collate_labelled(asked.examples, labels))
    expected = [-np.mean([output.logits[m, row, labels[row]].item() for row in (1, 2, 3)]) for m in range(2)]
    close(output.member_losses, expected, scale=max(expected))


@torch.no_grad()
def test_a_tokenizer_with_special_tokens_on_both_sides(tmp_path: Path) -> None:
    """What ends a text is left out; a text that begins with a special token keeps it."""
    for tokenizer in ("words", "sentence-piece"):
        backbone = loaded(tmp_path / tokenizer, tokenizer=tokenizer)
        asked = [{"question": "Where?", "choices": ["on the mat", "in a tree"]}]
        batch = backbone.collate(asked)
        assert (batch["choice_ids"] != 2).all()
        assert (batch["choice_ids"] >= 0).any(-1).all()
        assert torch.isfinite(ZeroShot().build(backbone, 0)(**batch).logits).all()


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        (["here", "here "], "choices 0 and 1 are both 'here'; as continuations they cannot be told apart"),
        (["here", " "], "choice 1 is empty"),
        (["here " * 300, "there"], "more than 256; remove it, or set backbone.truncate to 'left'"),
    ],
)
def test_choices_that_no_likelihood_tells_apart_are_refused(choices: list[str], message: str, tmp_path: Path) -> None:
    backbone = loaded(tmp_path)
    for ask in (backbone.collate, backbone.lengths):
        with pytest.raises(DataError, match=r"question 'Where\?'") as raised:
            ask([{"question": "Where?", "choices": choices}])
        assert message in str(raised.value)


def test_long_questions_lose_their_beginning_where_asked(tmp_path: Path) -> None:
    backbone = loaded(tmp_path, truncate="left")
    example = {"question": "Where? " * 200, "choices": ["here", "there", "on the mat"]}
    with pytest.warns(UserWarning, match="1 of 1 questions are longer than 256 tokens"):
        assert backbone.lengths([example]) == [256]
    batch = backbone.collate([example])
    most = int((batch["choice_ids"] >= 0).sum(-1).max())
    assert batch["input_ids"].shape[1] == 256 - most


def test_fields_that_do_not_go_together_are_named() -> None:
    base = CausalLM(answer="continuation")
    assert base.problems() == []
    assert replace(base, loss="next-token").problems()[0].startswith("backbone.loss = 'next-token': with answer")
    assert replace(base, scores="vocabulary").problems()[0].startswith("backbone.scores = 'vocabulary': with answer")
    assert replace(base, question="Why?").problems() == [
        "backbone.question = 'Why?': must have {question}, once, and no other field"
    ]
    assert CausalLM(normalise="tokens").problems() == [
        "backbone.normalise = 'tokens': needs backbone.answer = 'continuation'"
    ]

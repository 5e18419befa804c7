"""Training and predicting texts: losses, lengths, resuming."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM

from lora_ensemble import evaluate
from lora_ensemble.backbones.causal_lm import CausalLM
from lora_ensemble.contracts import LoadedBackbone, Split
from lora_ensemble.engine.ensemble import Ensemble
from lora_ensemble.errors import ConfigurationError, DataError
from lora_ensemble.inference import predict_split
from lora_ensemble.methods.lora import Lora
from lora_ensemble.predictions import Predictions
from lora_ensemble.training.fitting import fit
from lora_ensemble.training.options import Training
from tiny_language_models import questions, save_model
from tolerance import close

BASE = Training(max_steps=6, batch_size=4, learning_rate=1e-2, gradient_clip=0.3, device="cpu", group_by_length=True)


@pytest.fixture(scope="module")
def name(tmp_path_factory) -> str:
    return save_model(tmp_path_factory.mktemp("llama"))


def load(name: str, **fields) -> LoadedBackbone:
    return CausalLM(name, dtype="fp32", **fields).load(3)


def trained(backbone: LoadedBackbone, folder: Path, training: Training = BASE, split: Split | None = None, **lora):
    ensemble = Lora(**{"members": 2, "r": 2, "lora_l2": 0.01} | lora).build(backbone, 0)
    fit(ensemble, questions() if split is None else split, backbone, training, seed=0, folder=folder)
    return ensemble


def predict(ensemble: Ensemble, backbone: LoadedBackbone, split: Split, **changes) -> Predictions:
    options = {"classes": ["a", "b", "c"], "batch_size": 4, "device": torch.device("cpu")}
    return predict_split(ensemble, split, backbone, **options | changes)


@pytest.mark.parametrize("loss", ["single-token", "next-token"])
@pytest.mark.parametrize("changes", [{}, {"data_order": "independent", "members_per_pass": 1}])
def test_together_equals_alone(name: str, tmp_path: Path, loss: str, changes: dict) -> None:
    training = replace(BASE, **changes)
    together = trained(load(name, loss=loss), tmp_path / "together", training, members=3)
    start = Lora(members=3, r=2).build(load(name), 0)
    for m in range(3):
        alone = trained(load(name, loss=loss), tmp_path / str(m), training, members=1, first_member=m)
        layers = zip(together.member_layers(), alone.member_layers(), start.member_layers(), strict=True)
        for (path, layer), (_, own), (_, first) in layers:
            close(layer.lora_A[m], own.lora_A[0], depth=64, msg=path)
            close(layer.lora_B[m], own.lora_B[0], depth=64, msg=path)
            assert (layer.lora_B[m] - first.lora_B[m]).abs().max() > 1e-2


def test_every_next_tokens_loss_is_the_plain_models_own(name: str) -> None:
    backbone, split = load(name, loss="next-token"), questions(6)
    batch = backbone.prepare(backbone.collate_labelled(split.examples, split.labels))
    assert (batch["attention_mask"] == 0).any()
    out = Lora(members=1).build(backbone, 0).train()(**batch)
    plain = AutoModelForCausalLM.from_pretrained(name)
    close(out.member_losses[0], plain(**batch).loss)
    rows = []
    for example, label in zip(split.examples, split.labels, strict=True):  # one by one, without padding
        text = backbone.collate_labelled([example], np.array([label]))["input_ids"]
        rows.append((plain(text, labels=text).loss, text.shape[1] - 1))
    total = sum(loss * tokens for loss, tokens in rows) / sum(tokens for _, tokens in rows)
    close(out.member_losses[0], total)


def test_it_learns(name: str, tmp_path: Path) -> None:
    backbone, split = load(name), questions(64)
    before = predict(Lora(members=2).build(load(name), 0), load(name), split)
    longer = replace(BASE, max_steps=40, gradient_clip=1.0)
    after = predict(trained(backbone, tmp_path, longer, split, r=8, lora_l2=0.0), backbone, split)
    assert evaluate(after, intervals=False)["nll"] < 0.7 * evaluate(before, intervals=False)["nll"]
    assert after.meta["classes"] == ["a", "b", "c", "other"]


def test_predictions_after_a_resume_are_those_without_interruption(name: str, tmp_path: Path) -> None:
    import shutil

    training = replace(BASE, save="steps", save_steps=2, class_weights="ins")
    backbone, split = load(name), questions(10, seed=1)
    whole = predict(trained(backbone, tmp_path / "whole", training), backbone, split)
    shutil.copytree(tmp_path / "whole/checkpoints/checkpoint-4", tmp_path / "again/checkpoints/checkpoint-4")
    backbone = load(name)
    resumed = trained(backbone, tmp_path / "again", training)
    assert torch.equal(predict(resumed, backbone, split).logits_MBC, whole.logits_MBC)


class _InTheirOrder(nn.Module):
    """Logits that say which row it is: the number of its tokens."""

    def forward(self, input_ids: Tensor, attention_mask: Tensor, choices: Tensor, position_ids: Tensor) -> Tensor:
        return attention_mask.sum(1, keepdim=True) * torch.tensor([1.0, 2.0, 3.0, 4.0])


def test_rows_sorted_by_length_come_back_in_their_order(name: str) -> None:
    from lora_ensemble.engine.networks import NetworkEnsemble

    backbone, split = load(name), questions(21)
    p = predict(NetworkEnsemble([_InTheirOrder()]), backbone, split)
    expected = torch.tensor(backbone.lengths(split.examples)) - 1
    assert torch.equal(p.logits_MBC[0, :, 0], expected.float())
    assert len(set(expected.tolist())) > 5
    assert list(p.ids) == split.ids
    assert p.labels_B.tolist() == split.labels.tolist()
    assert p.meta["examples_per_second"] > 0


def test_sorting_changes_no_number(name: str) -> None:
    backbone, split = load(name), questions(21)
    ensemble = Lora(members=2).build(backbone, 0)
    by_length = predict(ensemble, backbone, split)
    as_given = predict(ensemble, replace(backbone, lengths=None), split)
    close(by_length.logits_MBC, as_given.logits_MBC, depth=64)


def test_labels_of_fewer_letters_are_kept(name: str) -> None:
    """As where questions with four choices are asked of what was trained on five."""
    backbone = load(name)
    ensemble, split = Lora(members=1).build(backbone, 0), questions(12)
    two = [i for i, e in enumerate(split.examples) if len(e["choices"]) == 2]
    examples = [split.examples[i] for i in two]
    fewer = Split(examples, split.labels[two], [str(i) for i in two], ["a", "b"], "choices")
    assert predict(ensemble, backbone, fewer).labels_B.tolist() == fewer.labels.tolist()
    assert predict(ensemble, backbone, replace(fewer, classes=["no", "yes"])).labels_B is None


def test_too_long_is_said_before_the_first_step(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"of 24 questions are longer than 60 tokens"):
        trained(load(name, max_length=60), tmp_path, replace(BASE, group_by_length=False))
    backbone = load(name, max_length=60)
    with pytest.raises(DataError, match=r"of 24 questions are longer than 60 tokens"):
        predict(Lora(members=1).build(backbone, 0), backbone, questions())
    assert not (tmp_path / "log.jsonl").exists()


def test_bad_answers_and_an_empty_split(name: str, tmp_path: Path) -> None:
    split = questions()
    wrong = split.labels.copy()
    wrong[5] = 3
    with pytest.raises(DataError, match=r"example 'q5': label 3 is out of range"):
        trained(load(name), tmp_path, split=replace(split, labels=wrong))
    few = next(i for i, e in enumerate(split.examples) if len(e["choices"]) == 2)
    wrong[5], wrong[few] = 0, 2
    with pytest.raises(DataError, match=r"answer 2 is out of range, it has 2 choices \(0 to 1\)"):
        trained(load(name), tmp_path / "choices", split=replace(split, labels=wrong))
    empty = replace(split, examples=[], labels=np.array([], dtype=int), ids=[])
    with pytest.raises(DataError, match="the training split is empty"):
        trained(load(name), tmp_path / "empty", split=empty)


def test_there_must_be_lengths_to_group_by(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="group_by_length: the inputs of this backbone all have one length"):
        trained(replace(load(name), lengths=None), tmp_path)


@pytest.mark.parametrize(
    "changes", [{"precision": "bf16"}, {"gradient_checkpointing": True, "members_per_pass": 1}, {"workers": 1}]
)
def test_ways_to_compute_give_like_numbers(name: str, tmp_path: Path, changes: dict) -> None:
    plain, other = load(name), load(name)
    split = questions(10, seed=1)
    expected = predict(trained(plain, tmp_path / "plain"), plain, split).probs_MBC
    found = predict(trained(other, tmp_path / "other", replace(BASE, **changes)), other, split).probs_MBC
    torch.testing.assert_close(found, expected, atol=0.03 if "precision" in changes else 1e-5, rtol=0)

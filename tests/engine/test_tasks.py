"""Tasks: what the labels are is said by the configuration or the model's class, and what does not exist is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as tf
from peft import PeftModel, TaskType, get_peft_model_state_dict
from torch import Tensor, nn

from lora_ensemble.engine.adapters import member_tensors
from lora_ensemble.engine.config import LoraEnsembleConfig
from lora_ensemble.engine.lora import LoraEnsemble
from lora_ensemble.engine.losses import LOSSES
from lora_ensemble.engine.networks import NetworkEnsemble
from lora_ensemble.engine.tasks import find_task
from lora_ensemble.errors import ConfigurationError, DataError
from tiny_models import CLASSES, TINY, TOKENS, VOCABULARY, around_peft, lively
from tolerance import close

pytestmark = around_peft

MEMBERS, ROWS, STEPS = 2, 4, 10


def bert(kind: type[Any] = tf.BertForTokenClassification, **changes: Any) -> nn.Module:
    torch.manual_seed(0)
    size = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    size |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    config = tf.BertConfig(vocab_size=VOCABULARY, **size, **({"num_labels": CLASSES} | changes))
    return lively(kind(config)).eval()


def batch(seed: int = 0) -> tuple[dict[str, Tensor], Tensor]:
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(3, VOCABULARY, (ROWS, TOKENS), generator=generator)
    labels = torch.randint(0, CLASSES, (ROWS, TOKENS), generator=generator)
    labels[:, 0] = -100
    return {"input_ids": ids}, labels


def test_a_token_classifier_is_trained_on_its_own_labels(tmp_path: Path) -> None:
    """Not on shifted ones: as PEFT trains each member alone with the model's own loss."""
    config = LoraEnsembleConfig(members=MEMBERS, r=2, lora_alpha=4)
    ensemble = LoraEnsemble(bert(), config).train()
    assert ensemble.task == "TOKEN_CLS"
    ensemble.save_pretrained(tmp_path)
    optimizer = torch.optim.SGD((p for p in ensemble.parameters() if p.requires_grad), lr=0.05)
    for step in range(STEPS):
        inputs, labels = batch(step)
        ensemble(labels=labels, **inputs).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    for m in range(MEMBERS):
        model = PeftModel.from_pretrained(bert(), tmp_path / f"member-{m:03d}", is_trainable=True).train()
        solo = torch.optim.SGD((p for p in model.parameters() if p.requires_grad), lr=0.05)
        for step in range(STEPS):
            inputs, labels = batch(step)
            model(labels=labels, **inputs).loss.backward()
            solo.step()
            solo.zero_grad()
        weights = get_peft_model_state_dict(model)
        own = member_tensors(ensemble.member_layers(), m)
        assert own.keys() == weights.keys()
        for key, value in own.items():
            close(value, weights[key], depth=32 * STEPS, msg=key)


def test_the_loss_is_the_models_own() -> None:
    inputs, labels = batch()
    for kind in (tf.BertForTokenClassification, tf.BertForMaskedLM, tf.BertLMHeadModel):
        model = bert(kind, is_decoder=kind is tf.BertLMHeadModel)
        ensemble = NetworkEnsemble([model])
        close(ensemble(labels=labels, **inputs).member_losses[0], model(labels=labels, **inputs).loss)


class Tagger(nn.Module):
    """In plain torch, so that nothing but the configuration says what its labels are."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.attention_layer = nn.Embedding(VOCABULARY, 16), nn.Linear(16, 16)
        self.head = nn.Linear(16, CLASSES)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.attention_layer(self.embed(ids)))


def test_plain_models_of_tokens_are_asked_for_their_task() -> None:
    inputs, labels = batch()
    losses = {}
    for task in (None, "TOKEN_CLS", TaskType.CAUSAL_LM):
        config = LoraEnsembleConfig(members=2, r=2, target_modules=["attention_layer"], task_type=task)
        torch.manual_seed(0)
        ensemble = LoraEnsemble(Tagger(), config)
        if task is None:
            with pytest.raises(ConfigurationError, match="say task_type='TOKEN_CLS'"):
                ensemble(ids=inputs["input_ids"], labels=labels)
            continue
        out = ensemble(ids=inputs["input_ids"], labels=labels)
        losses[str(task)] = out.member_losses
        shift = task != "TOKEN_CLS"
        logits, own = (out.logits[:, :, :-1], labels[:, 1:]) if shift else (out.logits, labels)
        for m in range(2):
            close(out.member_losses[m], nn.functional.cross_entropy(logits[m].flatten(0, 1), own.flatten()))
    assert len(losses) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_labels": 1}, r"^regression \(num_labels = 1\) is not supported yet \(BertForSequenceClassification\)"),
        ({"problem_type": "regression"}, r"^regression is not supported yet"),
        ({"problem_type": "multi_label_classification"}, r"^multi-label classification is not supported yet"),
    ],
)
def test_what_does_not_exist_yet_is_refused_by_name(changes: dict[str, Any], message: str) -> None:
    model = bert(tf.BertForSequenceClassification, **changes)
    with pytest.raises(ConfigurationError, match=message):
        LoraEnsemble(model, LoraEnsembleConfig(members=2))


@pytest.mark.parametrize("task", ["SEQ_2_SEQ_LM", "QUESTION_ANS", "FEATURE_EXTRACTION"])
def test_other_task_types_are_refused(task: str) -> None:
    message = rf"^task_type = '{task}' is not supported yet; expected one of SEQ_CLS, TOKEN_CLS, CAUSAL_LM$"
    with pytest.raises(ConfigurationError, match=message):
        LoraEnsemble(TINY["vit"].build(), LoraEnsembleConfig(task_type=task))


def test_every_tiny_model_says_its_task() -> None:
    expected = dict.fromkeys(TINY, "SEQ_CLS") | {"llama": "CAUSAL_LM", "gpt2": "CAUSAL_LM"}
    expected |= {"plain": None, "timm-vit": None}
    assert {name: find_task(tiny.build()) for name, tiny in TINY.items()} == expected


def test_losses_are_chosen_by_name_or_given() -> None:
    inputs, labels = TINY["vit"].batch(ROWS)
    ensemble = LoraEnsemble(TINY["vit"].build(), LoraEnsembleConfig(members=2)).eval()
    logits = ensemble(**inputs).logits
    for name, loss in LOSSES.items():
        ensemble.loss_name = name
        assert torch.equal(ensemble(labels=labels, **inputs).member_losses, loss(logits, labels.expand(2, -1), None))
    ensemble.objective = lambda logits, labels: logits.square().mean((1, 2)) + labels.sum()
    out = ensemble(labels=labels.float(), **inputs)
    assert torch.equal(out.member_losses, logits.square().mean((1, 2)) + labels.sum())


def test_labels_of_regression_are_refused() -> None:
    inputs, labels = TINY["vit"].batch(ROWS)
    ensemble = LoraEnsemble(TINY["vit"].build(), LoraEnsembleConfig(members=2))
    with pytest.raises(DataError, match=r"^labels are of type float32; class indices are whole numbers$"):
        ensemble(labels=labels.float(), **inputs)

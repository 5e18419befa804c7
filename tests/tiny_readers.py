"""Tiny ensembles over models whose head reads one position: a class token, or the last token. Not a test file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from lora_ensemble.engine.lora import LoraEnsemble
from lora_ensemble.questions.answer_logits import AnswerModel
from tiny_models import TINY, TOKENS, VOCABULARY

MEMBERS, ROWS = 3, 4

Make = Callable[..., tuple[LoraEnsemble, dict[str, Tensor], Tensor]]


def of_class_token(name: str) -> Make:
    def make(**config: Any) -> tuple[LoraEnsemble, dict[str, Tensor], Tensor]:
        return drawn(TINY[name].build(), **config), *TINY[name].batch(ROWS)

    return make


def answering(**config: Any) -> tuple[LoraEnsemble, dict[str, Tensor], Tensor]:
    """A language model that answers at the last token of texts padded on the left."""
    inputs, _ = TINY["llama"].batch(ROWS)
    inputs["attention_mask"] = torch.ones(ROWS, TOKENS, dtype=torch.long)
    inputs["attention_mask"][1, :3] = 0
    inputs["choices"] = torch.tensor([3, 2, 3, 3])
    model = AnswerModel(TINY["llama"].build(), [5, 6, 7], "letters+rest", VOCABULARY)
    return drawn(model, **config), inputs, torch.tensor([0, 1, 2, 0])


def drawn(model: nn.Module, **config: Any) -> LoraEnsemble:
    """Members that differ from the backbone, as after training."""
    ensemble = LoraEnsemble(model, members=MEMBERS, r=2, **config)
    generator = torch.Generator().manual_seed(1)
    for parameter in ensemble.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter, std=0.2, generator=generator)
    return ensemble


KNOWN: dict[str, Make] = {
    name: of_class_token(name) for name in ("vit", "timm-vit", "bert", "roberta", "llama-classifier")
}
KNOWN["answers"] = answering

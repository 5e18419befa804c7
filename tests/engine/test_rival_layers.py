"""Layers of other methods beside LoRA's: each against its formula, written out."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from lora_ensemble.engine.config import LoraEnsembleConfig
from lora_ensemble.engine.lora import LoraEnsemble
from lora_ensemble.errors import FileFormatError
from tiny_models import TINY
from tolerance import close

ROWS = 3


def make(adapter: str, name: str = "vit", **fields: Any) -> LoraEnsemble:
    torch.manual_seed(0)
    ensemble = LoraEnsemble(
        TINY[name].build(), LoraEnsembleConfig(**{"adapter": adapter, "members": 3, "r": 2} | fields)
    )
    with torch.no_grad():
        for _, layer in ensemble.adapters():
            for parameter in layer.parameters(recurse=False):
                parameter.add_(torch.randn_like(parameter), alpha=0.3)
    return ensemble.eval()


@torch.no_grad()
@pytest.mark.parametrize("name", ["vit", "gpt2", "timm-vit"])
def test_batch_ensemble_is_rank_1_times_the_weight(name: str) -> None:
    """W_m = W0 * (s_m r_m^T), with the bias of the base layer; gpt2 stores (in, out)."""
    ensemble = make("batch-ensemble", name)
    for _, layer in ensemble.adapters():
        W0, bias = layer.base_weight(), layer.base_bias()
        x = torch.randn(3 * ROWS, 4, W0.shape[1])
        y = layer(x)
        for m in range(3):
            r, s = 1 + layer.batch_r[m], 1 + layer.batch_s[m]
            W = torch.tensor([[W0[i, j] * s[i] * r[j] for j in range(W0.shape[1])] for i in range(W0.shape[0])])
            part = slice(m * ROWS, (m + 1) * ROWS)
            expected = x[part] @ W.T + (0 if bias is None else bias)
            close(y[part], expected)
        break


@torch.no_grad()
@pytest.mark.parametrize("adapter", ["batch-ensemble", "shared-lora", "none"])
def test_a_member_alone_and_merged_members_are_the_same(adapter: str) -> None:
    ensemble = make(adapter)
    inputs, _ = TINY["vit"].batch(ROWS)
    logits = ensemble(**inputs).logits
    for m in range(3):
        close(ensemble.member(m).eval()(**inputs).logits, logits[m])
    close(ensemble.merge()(**inputs).logits, logits)
    assert not torch.equal(logits[0], logits[1])


def test_a_shared_update_is_trained_by_all_heads_and_saved_once_per_member(tmp_path) -> None:
    """Its gradient is the sum over the members, and each member's folder is what PEFT would load."""
    ensemble = make("shared-lora").train()
    inputs, labels = TINY["vit"].batch(ROWS)
    ensemble(labels=labels, **inputs).loss.backward()
    together = {n: p.grad.clone() for n, p in ensemble.named_parameters() if "lora_" in n}
    ensemble.zero_grad()
    ensemble.members_per_pass = 1
    for members in ensemble.passes():
        ensemble(members=members, labels=labels, **inputs).loss.backward()
    for name, value in together.items():
        close(dict(ensemble.named_parameters())[name].grad, value)
    ensemble.save_pretrained(tmp_path)
    assert (tmp_path / "member-002" / "adapter_config.json").is_file()
    layer = ensemble.adapters()[0][1]
    other = {name: value + 1 for name, value in layer.member_state(1).items()}
    with pytest.raises(FileFormatError, match="member 1 has another update than the first"):
        layer.load_member_state(1, other)


@torch.no_grad()
def test_a_frozen_network_runs_once_under_all_heads() -> None:
    ensemble = make("none")
    inputs, _ = TINY["vit"].batch(ROWS)
    first = ensemble(**inputs).logits
    rows: list[int] = []
    inner = next(m for n, m in ensemble.model.named_modules() if n.endswith("layers.0"))
    inner.register_forward_hook(lambda module, args, output: rows.append(len(args[0])))
    close(ensemble(**inputs).logits, first)
    assert rows == [ROWS]

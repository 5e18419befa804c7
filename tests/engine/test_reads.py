"""Only the rows that are read: no number changes, and the work is really less."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lora_ensemble.contracts import LoadedBackbone
from lora_ensemble.engine.lora import LoraEnsemble
from lora_ensemble.errors import ConfigurationError
from lora_ensemble.methods.lora import Lora
from tiny_models import TINY
from tiny_readers import KNOWN
from tolerance import close


def results(ensemble: LoraEnsemble, inputs: dict[str, Tensor], labels: Tensor) -> list[Tensor]:
    """Logits, then gradients."""
    ensemble.zero_grad()
    output = ensemble(labels=labels, **inputs)
    output.loss.backward()
    return [output.logits.detach(), *(p.grad.clone() for p in ensemble.parameters() if p.requires_grad)]


@pytest.mark.parametrize("name", sorted(KNOWN))
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("config", [{}, {"layers_to_transform": [1]}, {"members_per_pass": 1}])
def test_no_number_changes(name: str, training: bool, config: dict[str, Any]) -> None:
    make = KNOWN[name]
    whole, inputs, labels = make(**config)
    only, *_ = make(**config, read_rows=True)
    expected = results(whole.train(training), inputs, labels)
    for _ in range(2):  # the first pass looks for the shared trunk
        for own, other in zip(results(only.train(training), inputs, labels), expected, strict=True):
            close(own, other)
    with torch.no_grad():
        close(only.eval().predict(**inputs).logits_MBC, whole.eval().predict(**inputs).logits_MBC)
        close(only.merge().predict(**inputs).logits_MBC, whole.predict(**inputs).logits_MBC)


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_the_last_block_runs_where_it_is_read(name: str) -> None:
    ensemble, inputs, labels = KNOWN[name](read_rows=True)
    rows: dict[str, int] = {}

    def note(path: str) -> Callable[..., None]:
        return lambda module, args, output: rows.__setitem__(path, output.shape[1])

    block = ensemble._read.block  # type: ignore[union-attr]
    for path, module in block.named_modules():
        if isinstance(module, nn.Linear):
            module.register_forward_hook(note(path))
    ensemble.eval()
    ensemble(labels=labels, **inputs)
    mixed = {path for path, tokens in rows.items() if tokens > 1}
    assert len(rows) - len(mixed) >= 3
    assert all(any(part in path for part in ("k_proj", "v_proj", "key", "value", "qkv")) for path in mixed)
    assert mixed
    hooks = [len(part._forward_pre_hooks) for part in ensemble._read.parts]  # type: ignore[union-attr]
    assert sum(hooks) == 0  # outside of a pass, nothing is left of it


@pytest.mark.parametrize("name", ["vit", "bert", "llama-classifier"])
def test_where_blocks_are_recomputed_or_drop_they_run_whole(name: str) -> None:
    make = KNOWN[name]
    whole, inputs, labels = make()
    only, *_ = make(read_rows=True)
    only.gradient_checkpointing_enable()
    for own, other in zip(results(only.train(), inputs, labels), results(whole.train(), inputs, labels), strict=True):
        close(own, other)
    whole, *_ = make(lora_dropout=0.5)
    only, *_ = make(lora_dropout=0.5, read_rows=True)
    torch.manual_seed(0)
    expected = results(whole.train(), inputs, labels)
    torch.manual_seed(0)
    assert all(torch.equal(a, b) for a, b in zip(results(only.train(), inputs, labels), expected, strict=True))


@pytest.mark.parametrize("name", ["swin", "plain", "deit", "llama", "gpt2"])
def test_an_architecture_that_is_not_known_is_refused_and_left_as_it_was(name: str) -> None:
    model = TINY[name].build()
    before = [type(m) for m in model.modules()]
    with pytest.raises(ConfigurationError, match=rf"read_rows: .*{type(model).__name__}"):
        LoraEnsemble(model, members=2, r=2, read_rows=True)
    assert [type(m) for m in model.modules()] == before


def test_a_member_alone_and_a_saved_ensemble(tmp_path: Any) -> None:
    ensemble, inputs, _ = KNOWN["vit"](read_rows=True)
    ensemble.eval()
    ensemble.save_pretrained(tmp_path)
    logits = ensemble.predict(**inputs).logits_MBC
    close(ensemble.member(1).eval()(**inputs).logits, logits[1])
    again = LoraEnsemble.from_pretrained(tmp_path, TINY["vit"].build())
    assert again.config.read_rows  # type: ignore[attr-defined]
    assert torch.equal(again.predict(**inputs).logits_MBC, logits)


def loaded(name: str) -> LoadedBackbone:
    return LoadedBackbone(TINY[name].build(), dict, dict, TINY[name].head)  # type: ignore[arg-type]


def test_the_last_blocks_by_their_count() -> None:
    one = Lora(members=2, last=1, read_rows=True).build(loaded("vit"), 0)
    assert {path.split(".")[2] for path in one.targets} == {"1"}  # type: ignore[attr-defined]
    both = Lora(members=2, last=2).build(loaded("timm-vit"), 0)
    assert both.targets.keys() == Lora(members=2).build(loaded("timm-vit"), 0).targets.keys()  # type: ignore[attr-defined]
    with pytest.raises(ConfigurationError, match=r"method\.last = 3: the backbone has 2 blocks"):
        Lora(members=2, last=3).build(loaded("vit"), 0)
    assert Lora(last=0).problems() == ["method.last = 0: must be at least 1"]
    assert Lora(last=1, layers_to_transform=(1,)).problems() == [
        "method.last = 1: method.layers_to_transform names the blocks already"
    ]

"""LoraEnsemble: M members over one backbone, in one pass."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from lora_ensemble.engine.config import LoraEnsembleConfig
from lora_ensemble.engine.lora import LoraEnsemble
from lora_ensemble.engine.surgery import attention_projections, in_out
from lora_ensemble.errors import ConfigurationError, DataError, FileFormatError, NoMatchError
from tiny_models import CLASSES, TINY, VOCABULARY, PlainTransformer, lively
from tolerance import close

MEMBERS, ROWS = 3, 4


def make(name: str = "vit", drawn: bool = True, **config: Any) -> LoraEnsemble:
    """In evaluation mode, with members that differ from the backbone as after training."""
    ensemble = LoraEnsemble(TINY[name].build(), LoraEnsembleConfig(**({"members": MEMBERS, "r": 2} | config)))
    generator = torch.Generator().manual_seed(1)
    for parameter in ensemble.parameters():
        if parameter.requires_grad and drawn:
            nn.init.normal_(parameter, std=0.2, generator=generator)
    return ensemble.eval()


FUSED = [(name, "joint") for name in ("plain", "timm-vit", "gpt2")]


@pytest.mark.parametrize(("name", "fused"), [(name, "separate") for name in sorted(TINY)] + FUSED)
def test_each_row_of_logits_is_one_member_alone_and_merged(name: str, fused: str) -> None:
    ensemble = make(name, fused_qkv=fused)
    inputs, _ = TINY[name].batch(ROWS)
    logits = ensemble(**inputs).logits
    assert logits.shape == ((MEMBERS, ROWS, CLASSES) if TINY[name].head else (MEMBERS, ROWS, 7, VOCABULARY))
    for m in range(MEMBERS):
        close(alone(ensemble, m, inputs), logits[m])
    assert (logits[0] - logits[1]).abs().max() > 0.1
    close(ensemble.merge()(**inputs).logits, logits)
    assert torch.equal(ensemble.unmerge()(**inputs).logits, logits)


@pytest.mark.parametrize("name", ["vit", "llama", "plain"])
def test_some_members_and_passes_give_the_same_rows(name: str) -> None:
    ensemble = make(name)
    inputs, labels = TINY[name].batch(ROWS)
    whole = ensemble(labels=labels, **inputs)
    close(ensemble(members=range(1, 3), **inputs).logits, whole.logits[1:])
    for size in (1, 2, 3, 5):
        ensemble.members_per_pass = size
        parts = ensemble(labels=labels, **inputs)
        close(parts.logits, whole.logits)
        close(parts.member_losses, whole.member_losses)
        close(parts.loss, whole.member_losses.sum())
        assert sum(len(p) for p in ensemble.passes()) == MEMBERS
        assert max(len(p) for p in ensemble.passes()) <= size


def alone(ensemble: LoraEnsemble, m: int, inputs: dict[str, Tensor]) -> Tensor:
    """Logits of member m as a plain model."""
    output = ensemble.member(m)(**inputs)
    return getattr(output, "logits", output)


@pytest.mark.parametrize("architecture", ["beit_base_patch16_224", "eva02_tiny_patch14_224", "swinv2_tiny_window8_256"])
def test_projections_that_timm_would_not_call(architecture: str) -> None:
    sizes = {"swinv2_tiny_window8_256": {"depths": (1, 1), "num_heads": (2, 2), "window_size": 4, "patch_size": 4}}
    flat = {"depth": 2, "num_heads": 2, "patch_size": 8}
    torch.manual_seed(0)
    model = lively(
        timm.create_model(architecture, img_size=32, embed_dim=24, num_classes=5, **sizes.get(architecture, flat))
    ).eval()
    x = torch.randn(ROWS, 3, 32, 32)
    before = model(x)
    ensemble = LoraEnsemble(model, LoraEnsembleConfig(members=MEMBERS, r=2, head_init="copy")).eval()
    for logits in ensemble(x=x).logits:
        close(logits, before)
    nn.init.normal_(next(p for n, p in ensemble.named_parameters() if n.endswith("qkv.lora_B")))
    logits = ensemble(x=x).logits
    assert (logits[0] - logits[1]).abs().max() > 1e-2
    for m in range(MEMBERS):
        close(alone(ensemble, m, {"x": x}), logits[m])


class Operators(TorchDispatchMode):
    """Counts the operators that reach the device."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", ["vit", "timm-vit", "llama"])
def test_the_number_of_operators_does_not_depend_on_the_members(name: str) -> None:
    def operators(members: int) -> tuple[int, int]:
        ensemble = make(name, members=members).train()
        inputs, labels = TINY[name].batch(ROWS)
        ensemble(**inputs)  # looks for the trunk
        with Operators() as forward:
            loss = ensemble(labels=labels, **inputs).loss
        with Operators() as backward:
            loss.backward()
        return forward.count, backward.count

    assert operators(2) == operators(7)


@pytest.mark.parametrize("name", sorted(TINY))
def test_the_backbone_is_in_memory_once(name: str) -> None:
    model = TINY[name].build()
    backbone = {p.data_ptr(): p.numel() for p in model.parameters()}
    width = [in_out(model.get_submodule(p)) for p in attention_projections(model)]
    head = 0 if TINY[name].head is None else sum(p.numel() for p in model.get_submodule(TINY[name].head).parameters())
    ensemble = LoraEnsemble(model, LoraEnsembleConfig(members=16, r=2, fused_qkv="joint"))
    adapters = sum(2 * (i + o) for i, o in width)
    own = {p.data_ptr(): p.numel() for p in ensemble.parameters()}
    trained = sum(p.numel() for p in ensemble.parameters() if p.requires_grad)
    assert trained == 16 * (adapters + head)
    assert sum(own.values()) == sum(backbone.values()) - head + trained
    assert sum(b.numel() for b in ensemble.buffers()) == sum(b.numel() for b in TINY[name].build().buffers())


def test_parameters_are_in_the_state_and_move_with_it() -> None:
    ensemble = make()
    inputs, _ = TINY["vit"].batch(ROWS)
    names = [n for n in ensemble.state_dict() if n.endswith(("lora_A", "lora_B"))]
    assert len(names) == 2 * 8
    assert ensemble.state_dict()[names[0]].shape == (MEMBERS, 2, 16)
    logits = ensemble(**inputs).logits
    other = make(seed=5, drawn=False)
    other.load_state_dict(ensemble.state_dict())
    assert torch.equal(other(**inputs).logits, logits)
    double = ensemble.to(torch.float64)
    assert {p.dtype for p in double.parameters()} == {torch.float64}
    close(double(pixel_values=inputs["pixel_values"].double()).logits.float(), logits)
    meta = ensemble.to("meta")
    assert all(p.is_meta for p in meta.parameters())


def test_a_bfloat16_backbone_has_float32_members() -> None:
    ensemble = LoraEnsemble(TINY["vit"].build().bfloat16(), LoraEnsembleConfig(members=MEMBERS, r=2))
    assert {p.dtype for p in ensemble.parameters() if p.requires_grad} == {torch.float32}
    assert {p.dtype for p in ensemble.parameters() if not p.requires_grad} == {torch.bfloat16}
    full = make(drawn=False)
    inputs, labels = TINY["vit"].batch(ROWS)
    low = {"pixel_values": inputs["pixel_values"].bfloat16()}
    output = ensemble(labels=labels, **low)
    output.loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in ensemble.parameters() if p.requires_grad)
    torch.testing.assert_close(output.logits.float(), full(**inputs).logits, atol=0.2, rtol=0.1)
    for m in range(MEMBERS):
        member = ensemble.member(m)
        assert {p.dtype for p in member.parameters()} == {torch.bfloat16}
        torch.testing.assert_close(member(**low).logits.float(), output.logits[m], atol=0.1, rtol=0.1)
    torch.testing.assert_close(ensemble.merge()(**low).logits, output.logits, atol=0.1, rtol=0.1)


@pytest.mark.parametrize("name", ["vit", "llama-classifier"])
def test_autocast(name: str) -> None:
    ensemble = make(name).train()
    inputs, labels = TINY[name].batch(ROWS)
    full = ensemble(labels=labels, **inputs)
    with torch.autocast("cpu", torch.bfloat16):
        low = ensemble(labels=labels, **inputs)
    assert low.loss.dtype == torch.float32
    low.loss.backward()
    torch.testing.assert_close(low.logits.float(), full.logits, atol=0.4, rtol=0.1)
    assert all(p.grad.dtype == torch.float32 for p in ensemble.parameters() if p.requires_grad)


# Merging ----------------------------------------------------------------------------------------------------------


def test_merging_never_outlives_the_weights() -> None:
    ensemble = make()
    inputs, labels = TINY["vit"].batch(ROWS)
    ensemble.train().merge()
    assert not ensemble.training  # gradients would not reach the members
    ensemble.train()
    ensemble(labels=labels, **inputs).loss.backward()
    assert all(p.grad is not None for p in ensemble.parameters() if p.requires_grad)
    ensemble.merge()
    state = {k: v + 0.1 for k, v in ensemble.trainable_state().items()}
    before = ensemble(**inputs).logits
    ensemble.load_trainable_state(state)
    assert (ensemble(**inputs).logits - before).abs().max() > 1e-2
    assert "merged" not in " ".join(ensemble.merge().state_dict())
    with torch.no_grad():
        close(ensemble.predict(**inputs).logits_MBC, ensemble.unmerge()(**inputs).logits)


def test_merging_some_members() -> None:
    ensemble = make(members_per_pass=2)
    inputs, _ = TINY["vit"].batch(ROWS)
    logits = ensemble(**inputs).logits
    close(ensemble.merge()(**inputs).logits, logits)


# Modes ------------------------------------------------------------------------------------------------------------


def test_predict_restores_the_modes() -> None:
    ensemble = make().train()
    ensemble.model.vit.layers[0].eval()
    modes = [m.training for m in ensemble.modules()]
    inputs, labels = TINY["vit"].batch(ROWS)
    predictions = ensemble.predict(labels=labels, **inputs)
    assert [m.training for m in ensemble.modules()] == modes
    assert torch.equal(predictions.logits_MBC, ensemble.eval()(**inputs).logits.detach())
    assert not predictions.logits_MBC.requires_grad


def test_frozen_batch_norms_do_not_mix_members() -> None:
    class Normed(PlainTransformer):
        def __init__(self) -> None:
            super().__init__()
            self.bn = nn.BatchNorm1d(16)
            self.head = nn.Sequential(nn.Linear(16, 8), nn.BatchNorm1d(8), nn.Linear(8, CLASSES))

        def forward(self, x: Tensor) -> Tensor:
            x = self.embed(x)
            for block in self.blocks:
                x = block(x)
            return self.head(self.bn(x.mean(1)))

    ensemble = LoraEnsemble(lively(Normed()), LoraEnsembleConfig(members=2, r=2, modules_to_save=["head"])).train()
    inputs, _ = TINY["plain"].batch(ROWS)
    mean = ensemble.model.bn.running_mean.clone()
    logits = ensemble(**inputs).logits
    assert torch.equal(ensemble.model.bn.running_mean, mean)
    assert ensemble.model.head[1].copies[0].training  # that of a head is its member's own
    for m in range(2):
        member = ensemble.member(m).train()
        member.bn.eval()
        close(member(**inputs), logits[m])


# Language models --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_the_loss_of_a_language_model_is_transformers_own(name: str) -> None:
    ensemble = make(name)
    inputs, labels = TINY[name].batch(ROWS)
    labels = labels.clone()
    labels[0, :4] = -100
    output = ensemble(labels=labels, **inputs)
    for m in range(MEMBERS):
        close(output.member_losses[m], ensemble.member(m)(labels=labels, **inputs).loss)
    last = ensemble(logits_to_keep=1, **inputs).logits
    close(last, output.logits[:, :, -1:])


def test_no_keys_and_values_are_kept() -> None:
    ensemble = make("llama")
    inputs, _ = TINY["llama"].batch(ROWS)
    seen: list[Any] = []
    ensemble.model.register_forward_hook(lambda _, args, output: seen.append(output.past_key_values))
    ensemble(**inputs)
    assert seen == [None]


def test_later_tokens_never_reach_earlier_ones() -> None:
    ensemble = make("llama")
    inputs, _ = TINY["llama"].batch(ROWS)
    changed = inputs["input_ids"].clone()
    changed[:, 4:] = 3
    before, after = ensemble(**inputs).logits, ensemble(input_ids=changed).logits
    close(after[:, :, :4], before[:, :, :4])
    assert (after[:, :, 4:] - before[:, :, 4:]).abs().max() > 0.1


# Bad input --------------------------------------------------------------------------------------------------------


def test_labels_and_rows_that_do_not_fit() -> None:
    ensemble = make()
    inputs, labels = TINY["vit"].batch(ROWS)
    with pytest.raises(DataError, match=r"^label 5 is out of range: the head has 5 classes, 0 to 4$"):
        ensemble(labels=labels.clone().fill_(CLASSES), **inputs)
    with pytest.raises(DataError, match=r"^label -1 is out of range"):
        ensemble(labels=labels.clone().fill_(-1), **inputs)
    with pytest.raises(DataError, match=r"^there are 3 labels for 4 rows$"):
        ensemble(labels=labels[:3], **inputs)
    with pytest.raises(DataError, match=r"^4 rows, expected M\*B with M = 3 members"):
        ensemble(labels=labels, shared=False, **inputs)
    with pytest.raises(DataError, match=r"^no inputs: give the model's arguments by name"):
        ensemble()


def test_models_that_cannot_be_an_ensemble() -> None:
    with pytest.raises(ConfigurationError, match="the model already has members"):
        LoraEnsemble(make().model, LoraEnsembleConfig())
    bare = TINY["vit"].build().vit
    with pytest.raises(
        NoMatchError, match=r"^no classification head \(name it in modules_to_save, or say \[\] for none\)"
    ):
        LoraEnsemble(bare, LoraEnsembleConfig())
    with pytest.raises(
        NoMatchError, match=r"^no module to save 'clasifier' in this model. Did you mean 'classifier'\?"
    ):
        LoraEnsemble(TINY["vit"].build(), LoraEnsembleConfig(modules_to_save=["clasifier"]))
    with pytest.raises(ConfigurationError, match="member 3 does not exist: there are members 0 to 2"):
        make().member(3)


def test_without_heads_of_their_own_members_share_the_models() -> None:
    ensemble = make(modules_to_save=[])
    assert type(ensemble.model.classifier) is nn.Linear
    assert not ensemble.model.classifier.weight.requires_grad
    assert not any("classifier" in name for name in ensemble.trainable_state())


def test_trainable_state_is_strict() -> None:
    ensemble = make()
    state = ensemble.trainable_state()
    assert all(".base_layer." not in name for name in state)
    other = make(seed=9, drawn=False)
    other.load_trainable_state(state)
    inputs, _ = TINY["vit"].batch(ROWS)
    assert torch.equal(other(**inputs).logits, ensemble(**inputs).logits)
    missing = copy.copy(state)
    first = missing.popitem()[0]
    with pytest.raises(FileFormatError, match=rf"1 missing \(first: \['{first}'\]\), 1 unknown \(first: \['x'\]\)"):
        other.load_trainable_state(missing | {"x": torch.zeros(1)})
    with pytest.raises(FileFormatError, match=rf"{first} has shape \(1,\), expected"):
        other.load_trainable_state(state | {first: torch.zeros(1)})

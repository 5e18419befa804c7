"""lora_l2: the weight of ||B A||_F^2, against the product itself."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from lora_ensemble.engine.config import LoraEnsembleConfig
from lora_ensemble.engine.lora import LoraEnsemble
from lora_ensemble.errors import ConfigurationError
from lora_ensemble.methods.lora import Lora
from lora_ensemble.methods.single_lora import SingleLora
from lora_ensemble.saved import load_ensemble
from tiny_models import TINY
from tolerance import close

WEIGHT = 0.25


def ensemble(name: str, **config: object) -> LoraEnsemble:
    """Three members whose updates are not zero."""
    fields = {"members": 3, "r": 3, "lora_alpha": 12, "lora_l2": WEIGHT} | config
    made = LoraEnsemble(TINY[name].build(), LoraEnsembleConfig(**fields))
    for k, (_, layer) in enumerate(made.member_layers()):
        if hasattr(layer, "lora_B"):
            nn.init.normal_(layer.lora_B, std=0.3, generator=torch.Generator().manual_seed(k))
    return made.train()


def explicit_M(made: LoraEnsemble) -> Tensor:
    """The products, as PEFT would multiply them; block-diagonal B included."""
    layers = [layer for _, layer in made.member_layers() if hasattr(layer, "lora_B")]
    states = [[layer.member_state(m) for layer in layers] for m in range(made.members)]
    sums = [sum((s["lora_B.weight"] @ s["lora_A.weight"]).square().sum() for s in own) for own in states]
    return WEIGHT * torch.stack(sums)


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("llama", {}),
        ("llama", {"rank_pattern": {"v_proj": 5}, "use_rslora": True}),
        ("gpt2", {}),  # Conv1D; three pairs in a block-diagonal B
        ("gpt2", {"fused_qkv": "joint"}),
        ("plain", {}),
        ("vit", {}),
    ],
)
def test_is_the_norm_of_the_product(name: str, config: dict[str, object]) -> None:
    made = ensemble(name, **config)
    assert (explicit_M(made) > 0.5).all()
    torch.testing.assert_close(made.penalty_M(range(3)), explicit_M(made))
    torch.testing.assert_close(made.penalty_M(range(1, 3)), explicit_M(made)[1:])


@pytest.mark.parametrize("size", [None, 2])
def test_is_added_to_the_loss_once_for_each_member(size: int | None) -> None:
    inputs, labels = TINY["llama"].batch(4)
    made, without = ensemble("llama"), ensemble("llama", lora_l2=0.0)
    assert without.penalty_M(range(3)) is None
    made.members_per_pass = size
    expected = without(labels=labels, **inputs)
    total = torch.zeros(())
    for members in made.passes():
        out = made(labels=labels, members=members, **inputs)
        torch.testing.assert_close(out.member_losses, expected.member_losses[members.start : members.stop])
        out.loss.backward()
        total += out.loss.detach()
    torch.testing.assert_close(total, expected.loss + explicit_M(made).sum())

    expected.loss.backward()
    layers = zip(made.member_layers(), without.member_layers(), strict=True)
    for (_, layer), (_, plain) in layers:
        A, B = (p.detach().clone().requires_grad_() for p in (plain.lora_A, plain.lora_B))
        (WEIGHT * (B @ A).square().sum()).backward()
        close(layer.lora_A.grad, plain.lora_A.grad + A.grad)
        close(layer.lora_B.grad, plain.lora_B.grad + B.grad)


def test_is_computed_in_fp32_under_autocast() -> None:
    made = ensemble("llama")
    with torch.autocast("cpu", torch.bfloat16):
        inside = made.penalty_M(range(3))
    assert torch.equal(inside, made.penalty_M(range(3)))


def test_comes_from_the_method_and_back_from_the_folder(tmp_path) -> None:
    made = ensemble("llama")
    made.save_pretrained(tmp_path)
    loaded = load_ensemble(tmp_path, TINY["llama"].build())
    torch.testing.assert_close(loaded.penalty_M(range(3)), explicit_M(made))
    for method in (Lora, SingleLora):
        assert method(lora_l2=0.5).problems() == []
        assert method(lora_l2=-1.0).problems() == ["method.lora_l2 = -1.0: must be a number of at least 0"]
    with pytest.raises(ConfigurationError, match=r"lora_l2 = nan: must be a number of at least 0"):
        LoraEnsembleConfig(lora_l2=float("nan"))

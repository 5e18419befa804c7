"""How members start: distributions, and the same start whatever else there is."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn

from lora_ensemble.engine.adapters import member_tensors
from lora_ensemble.engine.config import LoraEnsembleConfig
from lora_ensemble.engine.initialisation import Start, draw, init_linear, member_generator
from lora_ensemble.engine.lora import LoraEnsemble
from tiny_models import TINY
from tolerance import close


def make(name: str = "vit", **config: Any) -> LoraEnsemble:
    return LoraEnsemble(TINY[name].build(), LoraEnsembleConfig(r=4, **config))


def tensors(ensemble: LoraEnsemble, m: int) -> dict[str, Tensor]:
    return member_tensors(ensemble.member_layers(), m)


@pytest.mark.parametrize("name", ["vit", "timm-vit", "roberta"])
def test_sixteen_members_are_eight_and_eight(name: str) -> None:
    whole, first, second = (make(name, members=m, first_member=f, seed=3) for m, f in ((6, 0), (3, 0), (3, 3)))
    for m in range(6):
        part, own = (first, m) if m < 3 else (second, m - 3)
        for key, value in tensors(whole, m).items():
            assert torch.equal(tensors(part, own)[key], value)
    inputs, _ = TINY[name].batch(4)
    both = torch.cat([e.eval()(**inputs).logits for e in (first, second)])
    close(whole.eval()(**inputs).logits, both)


def test_a_start_depends_on_seed_member_and_name_alone() -> None:
    def of(**config: Any) -> dict[str, Tensor]:
        return tensors(make(**config), 1)

    common = of(members=2)
    for other in (of(members=5), of(members=2, layers_to_transform=[1]), of(members=2, members_per_pass=1)):
        assert all(torch.equal(common[k], v) for k, v in other.items())
    assert any(not torch.equal(common[k], v) for k, v in of(members=2, seed=1).items())
    drawn = [v for k, v in common.items() if "lora_A" in k]
    assert not any(torch.equal(a, b) for i, a in enumerate(drawn) for b in drawn[:i])
    torch.manual_seed(123)  # nor on torch's own random numbers
    assert torch.equal(
        of(members=2)["base_model.model.classifier.weight"], common["base_model.model.classifier.weight"]
    )


def test_members_differ_from_each_other_and_start_as_the_backbone() -> None:
    ensemble = make(members=3, head_init="copy").eval()
    inputs, _ = TINY["vit"].batch(4)
    expected = TINY["vit"].build()(**inputs).logits
    for logits in ensemble(**inputs).logits:
        close(logits, expected)
    _, layer = ensemble.member_layers()[0]
    assert not torch.equal(layer.lora_A[0], layer.lora_A[1])


def spread(init: str, gain: float = 1.0, std: float = 0.02) -> Tensor:
    return draw((40, 900), Start(init, gain, std), torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("init", "arguments", "bound"),
    [
        ("kaiming", {}, 1 / math.sqrt(900)),
        ("default", {}, 1 / math.sqrt(900)),
        ("xavier", {"gain": 10.0}, 10 * math.sqrt(6 / 940)),
    ],
)
def test_uniform_distributions(init: str, arguments: dict[str, float], bound: float) -> None:
    values = spread(init, **arguments)
    assert values.abs().max() <= bound
    assert values.abs().max().item() == pytest.approx(bound, rel=1e-2)
    assert values.std().item() == pytest.approx(bound / math.sqrt(3), rel=1e-2)
    assert values.mean().item() == pytest.approx(0, abs=bound / 50)


def test_gaussian_distribution() -> None:
    values = spread("gaussian", std=0.3)
    assert values.std().item() == pytest.approx(0.3, rel=1e-2)
    assert values.abs().max() > 0.9


def test_kaiming_is_pefts_default() -> None:
    """The same bound as of an A that PEFT drew."""
    base = nn.Sequential(nn.Linear(900, 8))
    model = get_peft_model(base, LoraConfig(r=40, target_modules=["0"]))
    A = model.base_model.model[0].lora_A["default"].weight
    assert A.abs().max().item() == pytest.approx(spread("kaiming").abs().max().item(), rel=1e-2)


def test_each_part_of_a_fused_projection_is_drawn_by_itself() -> None:
    ensemble = make("timm-vit", members=1, init_a="xavier", init_gain=2.0)
    layer = ensemble.model.blocks[0].attn.qkv
    bound = 2 * math.sqrt(6 / (4 + 24))  # a pair of rank 4 on 24 inputs, not of rank 12
    assert layer.lora_A.shape == (1, 12, 24)
    assert bound * 0.95 < layer.lora_A.abs().max() <= bound
    assert not layer.lora_B.any()


@pytest.mark.parametrize("init", ["default", "gaussian", "xavier", "kaiming"])
def test_heads(init: str) -> None:
    ensemble = make(members=2, head_init=init, head_gain=3.0, head_std=0.5)
    head = ensemble.model.classifier
    expected, bias = torch.empty(5, 16), torch.empty(5)
    init_linear(expected, bias, member_generator(0, 1, "classifier"), Start(init, 3.0, 0.5))
    assert torch.equal(head.weight[1], expected)
    assert torch.equal(head.bias[1], bias)
    assert bool(head.bias.any()) == (init == "default")
    assert not torch.equal(head.weight[0], head.weight[1])


def test_heads_of_several_layers_are_drawn_layer_by_layer() -> None:
    ensemble = make("roberta", members=2)
    assert not torch.equal(ensemble.model.classifier.dense.weight[0], ensemble.model.classifier.dense.weight[1])
    norms = nn.Sequential(nn.Linear(6, 6), nn.LayerNorm(6), nn.Conv1d(1, 2, 1))
    model = nn.ModuleDict({"body": nn.Linear(6, 6), "head": norms})
    nn.init.constant_(norms[1].weight, 7.0)
    ensemble = LoraEnsemble(model, LoraEnsembleConfig(target_modules=["body"], modules_to_save=["head"], members=2))
    assert torch.equal(ensemble.model["head"][1].weight, torch.ones(2, 6))
    assert not torch.equal(ensemble.model["head"][2].copies[0].weight, ensemble.model["head"][2].copies[1].weight)
    again = LoraEnsembleConfig(target_modules=["body"], modules_to_save=["head"], members=2)
    copy = nn.ModuleDict(
        {"body": nn.Linear(6, 6), "head": nn.Sequential(nn.Linear(6, 6), nn.LayerNorm(6), nn.Conv1d(1, 2, 1))}
    )
    torch.manual_seed(99)
    other = LoraEnsemble(copy, again)
    assert torch.equal(other.model["head"][2].copies[1].weight, ensemble.model["head"][2].copies[1].weight)


def test_gaussians_may_have_another_mean() -> None:
    shifted = draw((40, 900), Start("gaussian", 1.0, 0.02, 0.5), torch.Generator().manual_seed(0))
    close(shifted - 0.5, spread("gaussian"))
    head, bias = torch.empty(10, 64), torch.ones(10)
    init_linear(head, bias, torch.Generator().manual_seed(0), Start("gaussian", mean=-3.0))
    assert abs(head.mean() + 3) < 5 * 0.02 / math.sqrt(640)
    assert not bias.any()

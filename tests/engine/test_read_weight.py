"""Attention that reads its weights: torch.nn.MultiheadAttention against itself, one member at a time."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lora_ensemble.engine.lora import LoraEnsemble
from lora_ensemble.engine.open_attention import OpenAttention, close_attention, open_attention
from lora_ensemble.errors import ConfigurationError, NoMatchError
from tolerance import close

M, ROWS, T, WIDTH = 3, 2, 5, 8


class Attending(nn.Module):
    """One attention layer, and its weights where they are asked for."""

    def __init__(self, batch_first: bool = True, bias: bool = True, **options: Any):
        super().__init__()
        self.attention = nn.MultiheadAttention(WIDTH, 2, bias=bias, batch_first=batch_first, **options)
        self.head = nn.Linear(WIDTH, 4)
        self.how: dict[str, Any] = {}
        self.crossed = False

    def forward(self, x: Tensor) -> Tensor:
        key = x.flip(1)[:, :3] if self.crossed else x
        args = [x, key, key] if self.crossed else [x, x, x]
        if not self.attention.batch_first:
            args = [a.transpose(0, 1) for a in args]
            args = args if self.crossed else [args[0]] * 3
        how = {k: v(x) if callable(v) else v for k, v in self.how.items()}
        y, weights = self.attention(*args, **how)
        y = y if self.attention.batch_first else y.transpose(0, 1)
        extra = 0 if weights is None else weights.flatten(1).square().sum(1)[:, None]
        return self.head(y.mean(1)) + extra


def ensemble(**options: Any) -> LoraEnsemble:
    torch.manual_seed(0)
    made = LoraEnsemble(Attending(**options), members=M, r=2)
    for parameter in made.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter, std=0.5)
    return made.eval()


MASKS: list[dict[str, Any]] = [
    {},
    {"need_weights": False},
    {"average_attn_weights": False},
    {"attn_mask": torch.ones(T, T).triu(1).bool()},
    {"attn_mask": torch.randn(T, T, generator=torch.Generator().manual_seed(0)), "need_weights": False},
    {"attn_mask": lambda x: torch.ones(len(x) * 2, T, T).triu(1).bool()},
    {"key_padding_mask": lambda x: (torch.arange(T) > 3).expand(len(x), T)},
    {
        "key_padding_mask": lambda x: (torch.arange(T) > 3).expand(len(x), T),
        "attn_mask": torch.ones(T, T).triu(1).bool(),
        "need_weights": False,
    },
]


@pytest.mark.parametrize("how", range(len(MASKS)))
@pytest.mark.parametrize("options", [{}, {"batch_first": False}, {"bias": False}])
def test_each_member_is_torchs_own_attention(options: dict[str, Any], how: int) -> None:
    made = ensemble(**options)
    made.model.how = MASKS[how]
    x = torch.randn(ROWS, T, WIDTH)
    logits = made(x).logits
    assert (logits[0] - logits[1]).abs().max() > 1e-2
    for merged in (False, True):
        logits = made.merge()(x).logits if merged else logits
        for m in range(M):
            alone = made.member(m)
            assert type(alone.attention) is nn.MultiheadAttention
            with torch.no_grad():
                close(alone(x), logits[m])


def test_attention_to_something_else() -> None:
    made = ensemble()
    made.model.crossed = True
    x = torch.randn(ROWS, T, WIDTH)
    logits = made(x).logits
    for m in range(M):
        close(made.member(m)(x), logits[m])


def test_opening_changes_nothing_and_closing_undoes_it() -> None:
    torch.manual_seed(0)
    model = Attending()
    names = dict(model.named_parameters())
    x = torch.randn(ROWS, T, WIDTH)
    before = model(x)
    open_attention(model)
    assert isinstance(model.attention, OpenAttention)
    assert torch.equal(model(x), before)
    close_attention(model)
    assert dict(model.named_parameters()).keys() == names.keys()
    assert all(p is names[n] for n, p in model.named_parameters())
    assert torch.equal(model(x), before)


def test_each_part_of_the_first_projection_has_a_pair_of_its_own() -> None:
    made = ensemble()
    assert set(made.targets) == {"attention.in_proj", "attention.out_proj"}
    assert made.model.attention.in_proj.splits == 3


def test_what_is_not_supported_yet_is_refused() -> None:
    with pytest.raises(NoMatchError, match=r"of several widths: not supported yet$"):
        ensemble(kdim=4, vdim=4)
    for options, message in (({"add_bias_kv": True}, "bias_k"), ({"add_zero_attn": True}, "add_zero_attn")):
        with pytest.raises(ConfigurationError, match=message):
            ensemble(**options)(torch.randn(ROWS, T, WIDTH))


class Reading(nn.Module):
    """An attention layer that reads its weights, with a bias of its own."""

    def __init__(self, how: str):
        super().__init__()
        self.projection, self.how = nn.Linear(WIDTH, WIDTH), how

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.projection.weight, self.projection.bias
        if self.how == "product":
            return x @ weight.T
        assert weight.dtype == x.dtype
        assert weight.shape == (WIDTH, WIDTH)
        assert weight.device == x.device
        return F.linear(x, weight, {"own": bias, "other": bias * 2, "none": None}[self.how])


@pytest.mark.parametrize("how", ["own", "other", "none"])
def test_the_bias_that_is_given_is_taken(how: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(Reading(how), nn.Linear(WIDTH, 4))
    made = LoraEnsemble(model, members=M, r=2, target_modules=["projection"], modules_to_save=["1"]).eval()
    for parameter in made.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter)
    x = torch.randn(ROWS, WIDTH)
    logits = made(x).logits
    for m in range(M):
        close(made.member(m)(x), logits[m])


def test_another_use_of_a_weight_is_refused() -> None:
    model = nn.Sequential(Reading("product"), nn.Linear(WIDTH, 4))
    made = LoraEnsemble(model, members=M, r=2, target_modules=["projection"], modules_to_save=["1"])
    with pytest.raises(ConfigurationError, match="uses the weight of an adapted projection"):
        made(torch.randn(ROWS, WIDTH))


def test_members_that_peft_would_leave_out_have_no_configuration_for_it(tmp_path: Any) -> None:
    ensemble().save_pretrained(tmp_path)
    assert not list(tmp_path.glob("member-*/adapter_config.json"))
    assert len(list(tmp_path.glob("member-*/adapter_model.safetensors"))) == M

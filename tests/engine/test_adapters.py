"""Another kind of adapter is one class: it trains, saves, loads and merges without a line elsewhere."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import pytest
import torch
from torch import Tensor, nn

from lora_ensemble.engine.config import LoraEnsembleConfig
from lora_ensemble.engine.ensemble import Ensemble
from lora_ensemble.engine.initialisation import Start
from lora_ensemble.engine.layers.adapter import AdapterLayer
from lora_ensemble.engine.layers.passes import PassState
from lora_ensemble.engine.lora import LoraEnsemble
from lora_ensemble.engine.surgery import in_out
from lora_ensemble.engine.targets import Target
from lora_ensemble.errors import ConfigurationError, UnknownNameError
from tiny_models import TINY

MEMBERS, ROWS = 3, 4


class RankOne(AdapterLayer):
    """W0 * (s_m r_m^T): Wen et al., "BatchEnsemble", ICLR 2020."""

    kind = "rank-one"

    def __init__(self, base: nn.Module, state: PassState, members: int):
        super().__init__(base, state, members)
        width_in, width_out = in_out(base)
        self.fast_in = nn.Parameter(torch.empty(members, width_in))
        self.fast_out = nn.Parameter(torch.empty(members, width_out))

    @classmethod
    def adapt(cls, base: nn.Module, state: PassState, target: Target, config: LoraEnsembleConfig) -> Self:
        return cls(base, state, config.members)

    @torch.no_grad()
    def draw(self, member: int, generator: torch.Generator, start: Start) -> None:
        for fast in (self.fast_in, self.fast_out):
            fast[member] = torch.randint(0, 2, fast[member].shape, generator=generator) * 2.0 - 1

    def adapted(self, x: Tensor) -> Tensor:
        rows = self.state.rows(x) * self.state.take(self.fast_in)[:, None]
        y = (rows @ self.base_weight().T) * self.state.take(self.fast_out)[:, None]
        bias = self.base_bias()
        return (y if bias is None else y + bias).view(*x.shape[:-1], -1)

    def merged_weight(self, member: int, W0: Tensor) -> Tensor:
        return W0 * torch.outer(self.fast_out[member], self.fast_in[member])

    def member_state(self, member: int) -> dict[str, Tensor]:
        return {"fast_in": self.fast_in[member].detach(), "fast_out": self.fast_out[member].detach()}


def make(name: str, **config: Any) -> LoraEnsemble:
    settings = {"members": MEMBERS, "adapter": "rank-one"} | config
    return LoraEnsemble(TINY[name].build(), LoraEnsembleConfig(**settings))


def close(own: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(own, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["vit", "llama", "gpt2", "timm-vit"])
def test_it_trains_saves_loads_and_merges(name: str, tmp_path: Path) -> None:
    ensemble = make(name).train()
    inputs, labels = TINY[name].batch(ROWS)
    before = ensemble.trainable_state()
    before = {key: value.clone() for key, value in before.items()}
    trained = [p for p in ensemble.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.5)
    for members in ensemble.passes():
        ensemble(members=members, labels=labels, **inputs).loss.backward()
    assert (ensemble.clip_grad_norm_(1.0) > 0).all()
    optimizer.step()
    assert all(not torch.equal(before[key], value) for key, value in ensemble.trainable_state().items())

    logits = ensemble.eval()(**inputs).logits
    assert (logits[0] - logits[1]).abs().max() > 1e-2
    for m in range(MEMBERS):
        alone = ensemble.member(m)(**inputs)
        close(getattr(alone, "logits", alone), logits[m])
    close(ensemble.merge()(**inputs).logits, logits)

    ensemble.save_pretrained(tmp_path)
    again = Ensemble.from_pretrained(tmp_path, TINY[name].build())
    assert torch.equal(again(**inputs).logits, logits)
    assert not list(tmp_path.glob("member-*/adapter_config.json"))  # to PEFT, it is no LoRA


def test_members_are_drawn_by_themselves() -> None:
    whole, part = make("vit", members=4), make("vit", members=2, first_member=2)
    for (_, all_four), (_, two) in zip(whole.adapters(), part.adapters(), strict=True):
        assert torch.equal(all_four.fast_in[2:], two.fast_in)


def test_a_penalty_that_it_does_not_have_is_refused() -> None:
    inputs, labels = TINY["vit"].batch(ROWS)
    with pytest.raises(ConfigurationError, match=r"^lora_l2: adapter = 'rank-one' has nothing that it penalises$"):
        make("vit", lora_l2=1.0)(labels=labels, **inputs)


def test_an_unknown_kind() -> None:
    with pytest.raises(UnknownNameError, match=r"^unknown kind of adapter 'rank-on'\. Did you mean 'rank-one'\?"):
        make("vit", adapter="rank-on")


def test_a_kind_of_another_package_is_found_by_its_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    def load() -> type[AdapterLayer]:
        class Theirs(RankOne):
            kind = "theirs"

        return Theirs

    def entry_points(group: str) -> list[Any]:
        assert group in ("lora_ensemble.adapters", "lora_ensemble.ensembles")
        return [SimpleNamespace(name="theirs", load=load)] if group == "lora_ensemble.adapters" else []

    monkeypatch.setattr("lora_ensemble.engine.kinds.entry_points", entry_points)
    assert type(make("vit", adapter="theirs").adapters()[0][1]).__name__ == "Theirs"


def test_a_kind_of_ensemble_is_one_class(tmp_path: Path) -> None:
    """Saved and loaded by what its class says, without a line elsewhere."""

    class Shifted(LoraEnsemble):
        kind = method = "shifted"

        def member_logits(self, members: range, inputs: dict[str, Any], shared: bool) -> Tensor:
            return super().member_logits(members, inputs, shared) + 1

    ensemble = Shifted(TINY["vit"].build(), LoraEnsembleConfig(members=2)).eval()
    ensemble.save_pretrained(tmp_path)
    again = Ensemble.from_pretrained(tmp_path, TINY["vit"].build())
    assert type(again) is Shifted
    inputs, _ = TINY["vit"].batch(ROWS)
    assert torch.equal(again(**inputs).logits, ensemble(**inputs).logits)

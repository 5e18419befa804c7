"""What members learned, in the weights: layers whose answer is known, and the command."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from lora_ensemble import Experiment, LoraEnsemble, LoraEnsembleConfig, Training, train
from lora_ensemble.backbones.digits_vit import DigitsViT
from lora_ensemble.cli import main
from lora_ensemble.datasets.digits import Digits
from lora_ensemble.engine.layers.lora import MemberLinear
from lora_ensemble.engine.networks import NetworkEnsemble
from lora_ensemble.engine.updates import updates_of
from lora_ensemble.errors import UserError
from lora_ensemble.methods.lora import Lora


class Plain(nn.Module):
    """One square projection and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.q_proj, self.head = nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.q_proj(x))
        return logits


def ensemble(members: int = 3) -> tuple[LoraEnsemble, MemberLinear]:
    config = LoraEnsembleConfig(members=members, r=2, lora_alpha=2, target_modules=["q_proj"], modules_to_save=["head"])
    made = LoraEnsemble(Plain(), config)
    (layer,) = (m for m in made.modules() if isinstance(m, MemberLinear))
    with torch.no_grad():  # singular values 8 .. 1, the singular vectors are the axes
        layer.base_layer.weight.copy_(torch.diag(torch.arange(8.0, 0, -1)))
        layer.lora_A.zero_()
        layer.lora_B.zero_()
    return made, layer


def test_a_direction_of_its_own_and_one_that_was_there() -> None:
    made, layer = ensemble()
    with torch.no_grad():
        layer.lora_A[0, 0, 0] = layer.lora_B[0, 0, 0] = 2.0  # strengthens the first axis, by 4
        layer.lora_A[1, 0] = 1.0
        layer.lora_B[1, :, 0] = 5.0 / 8**0.5  # equally along all axes, and the largest of all
    (found,) = updates_of(made, top=3)
    assert found.name == "q_proj"
    size = math.sqrt(sum(k * k for k in range(1, 9)))
    assert found.norm_M == pytest.approx((4 / size, 5 * 8**0.5 / size, 0), abs=1e-5)
    assert found.new_M[:2] == pytest.approx((1, 1 / 8**0.5), abs=1e-5)
    assert math.isnan(found.new_M[2])
    assert found.intruders_M == (0, 1, 0)
    one, other = (layer.update(m).detach() for m in (0, 1))
    cosine = (one * other).sum() / (one.norm() * other.norm())
    assert found.cosine_MM[0][1] == pytest.approx(float(cosine), abs=1e-6)
    assert found.cosine_MM[0][0] == pytest.approx(1)
    assert math.isnan(found.cosine_MM[0][2])


def test_networks_have_no_updates() -> None:
    with pytest.raises(UserError, match="'networks' has no adapted layers"):
        updates_of(NetworkEnsemble([Plain(), Plain()]))


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    training = Training(max_steps=4, batch_size=16, device="cpu")
    folder = tmp_path / "run"
    train(Experiment(DigitsViT(), Lora(members=3, r=2), Digits(), training), folder, on_progress=lambda _: None)
    assert main(["members", str(folder), "--weights", "--format", "json"]) == 0
    (found,) = json.loads(capsys.readouterr().out).values()
    assert found["curve"]["sizes"] == [1, 2, 3]
    assert len(found["layers"]) == 16
    assert sorted(found["selection"]["order"]) == [0, 1, 2]
    assert main(["members", str(folder), "--scores", "nll,smooth_ece"]) == 0
    shown = capsys.readouterr().out
    assert "smooth_ece" in shown
    assert "one more" in shown
    assert "correlation of errors" in shown
    assert main(["members", str(folder), "--scores", "nlll"]) == 2
    assert "Did you mean 'nll'?" in capsys.readouterr().err

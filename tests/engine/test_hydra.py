"""HydraEnsemble: M heads over one network, against one head after another; saved, loaded, and run on own rows."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from lora_ensemble import Ensemble
from lora_ensemble.contracts import LoadedBackbone
from lora_ensemble.errors import ConfigurationError
from lora_ensemble.methods.hydra import Hydra
from tiny_models import CLASSES, TINY
from tolerance import close

MEMBERS, ROWS = 3, 4
NAMES = ["vit", "timm-vit", "bert", "roberta", "llama-classifier"]


def hydra(name: str, seed: int = 0) -> Ensemble:
    tiny = TINY[name]
    backbone = LoadedBackbone(tiny.build(), dict, dict, tiny.head)  # type: ignore[arg-type]
    ensemble = Hydra(members=MEMBERS, r=2).build(backbone, seed)
    for parameter in ensemble.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter, std=0.2, generator=torch.Generator().manual_seed(1))
    return ensemble.eval()


@pytest.mark.parametrize("name", NAMES)
def test_a_member_is_its_part_of_one_network(name: str) -> None:
    ensemble = hydra(name)
    inputs, labels = TINY[name].batch(ROWS)
    with torch.no_grad():
        out = ensemble(labels=labels, **inputs)
        plain = ensemble.body.member(0).eval()(**inputs)  # type: ignore[attr-defined]
    logits = plain if isinstance(plain, torch.Tensor) else plain.logits
    assert out.logits.shape == (MEMBERS, ROWS, CLASSES)
    for m in range(MEMBERS):
        close(out.logits[m], logits[:, m * CLASSES : (m + 1) * CLASSES])
        close(out.member_losses[m], nn.functional.cross_entropy(out.logits[m], labels))
    assert (out.logits[0] - out.logits[1]).abs().max() > 0.1


@pytest.mark.parametrize("name", NAMES)
def test_rows_of_their_own_and_passes(name: str) -> None:
    ensemble = hydra(name)
    inputs, _ = TINY[name].batch(MEMBERS * ROWS)
    with torch.no_grad():
        own = ensemble(shared=False, **inputs).logits
        for m in range(MEMBERS):
            rows = {k: v[m * ROWS : (m + 1) * ROWS] for k, v in inputs.items()}
            close(own[m], ensemble(**rows).logits[m])
            close(ensemble(members=range(m, m + 1), **rows).logits[0], own[m])


@pytest.mark.parametrize("name", ["vit", "roberta"])
def test_saved_and_loaded(name: str, tmp_path: Path) -> None:
    ensemble = hydra(name)
    ensemble.save_pretrained(tmp_path)
    again = Ensemble.from_pretrained(tmp_path, TINY[name].build())
    inputs, _ = TINY[name].batch(ROWS)
    assert (again.kind, again.method, again.members) == ("hydra", "hydra", MEMBERS)
    assert torch.equal(again.predict(**inputs).logits_MBC, ensemble.predict(**inputs).logits_MBC)
    assert (tmp_path / "member-000" / "adapter_config.json").is_file()


def test_what_has_no_heads_is_refused() -> None:
    backbone = LoadedBackbone(TINY["llama"].build(), dict, dict, None)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="this backbone has no head"):
        Hydra(members=2).build(backbone, 0)
    assert Hydra(members=0, r=0).problems() == [
        "method.members = 0: must be at least 1",
        "method.r = 0: must be at least 1",
    ]

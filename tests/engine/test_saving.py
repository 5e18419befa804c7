"""Saved ensembles: what is on disk, and every way in which a folder can be wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from lora_ensemble.engine.config import LoraEnsembleConfig
from lora_ensemble.engine.ensemble import Ensemble
from lora_ensemble.engine.lora import LoraEnsemble
from lora_ensemble.engine.networks import NetworkEnsemble
from lora_ensemble.engine.saving import MANIFEST
from lora_ensemble.errors import FileFormatError, NoMatchError, UnknownNameError, UserError
from lora_ensemble.saved import load_ensemble
from tiny_models import TINY

ROWS = 4


def make(name: str = "vit", seed: int = 1, **config: Any) -> LoraEnsemble:
    ensemble = LoraEnsemble(TINY[name].build(), LoraEnsembleConfig(**({"members": 2, "r": 2} | config)))
    torch.manual_seed(seed)
    for parameter in ensemble.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.2)
    return ensemble.eval()


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    make().save_pretrained(tmp_path)
    return tmp_path


@pytest.mark.parametrize("fused", ["separate", "joint"])
@pytest.mark.parametrize("name", sorted(TINY))
def test_there_and_back(name: str, fused: str, tmp_path: Path) -> None:
    ensemble = make(name, fused_qkv=fused, first_member=3, seed=1, rank_pattern={TINY[name].projections[0]: 3})
    ensemble.method = "single-lora"
    ensemble.save_pretrained(tmp_path)
    loaded = LoraEnsemble.from_pretrained(tmp_path, TINY[name].build())
    inputs, _ = TINY[name].batch(ROWS)
    assert torch.equal(loaded(**inputs).logits, ensemble(**inputs).logits)
    assert loaded.config.to_json_dict() == ensemble.config.to_json_dict()
    assert (loaded.first_member, loaded.method, loaded.source) == (3, "single-lora", ensemble.source)
    assert not loaded.training
    loaded.save_pretrained(tmp_path / "again")
    for file in ("ensemble.json", "member-003/adapter_model.safetensors", "member-004/adapter_model.safetensors"):
        assert (tmp_path / file).read_bytes() == (tmp_path / "again" / file).read_bytes()


def test_what_is_on_disk(saved: Path) -> None:
    assert sorted(str(p.relative_to(saved)) for p in saved.rglob("*") if p.is_file()) == [
        "ensemble.json",
        "member-000/adapter_config.json",
        "member-000/adapter_model.safetensors",
        "member-001/adapter_config.json",
        "member-001/adapter_model.safetensors",
    ]
    manifest = json.loads((saved / MANIFEST).read_text())
    assert manifest["format"] == "lora-ensemble"
    assert manifest["version"] == 1
    assert manifest["members"] == 2
    assert manifest["member_folders"] == ["member-000", "member-001"]
    assert manifest["backbone"]["class"] == "ViTForImageClassification"
    tensors = load_file(saved / "member-001" / "adapter_model.safetensors")
    assert tensors["base_model.model.vit.layers.0.attention.q_proj.lora_A.weight"].shape == (2, 16)
    assert tensors["base_model.model.classifier.bias"].shape == (5,)
    assert len(tensors) == 2 * 8 + 2


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_the_backbone_is_loaded_from_where_it_came(tmp_path: Path) -> None:
    TINY["vit"].build().save_pretrained(tmp_path / "base")
    model = type(TINY["vit"].build()).from_pretrained(tmp_path / "base")
    ensemble = LoraEnsemble(model, LoraEnsembleConfig(members=2)).eval()
    ensemble.save_pretrained(tmp_path / "ensemble")
    inputs, _ = TINY["vit"].batch(ROWS)
    assert torch.equal(Ensemble.from_pretrained(tmp_path / "ensemble")(**inputs).logits, ensemble(**inputs).logits)
    (tmp_path / "base").rename(tmp_path / "gone")
    with pytest.raises(FileFormatError, match=r"the backbone .* cannot be loaded: ") as raised:
        Ensemble.from_pretrained(tmp_path / "ensemble")
    assert "\n" not in str(raised.value)


def test_without_a_source_the_backbone_must_be_given(saved: Path) -> None:
    with pytest.raises(FileFormatError, match=r"does not say where the backbone is from; give it: from_pretrained\("):
        Ensemble.from_pretrained(saved)


def edit(**changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        manifest = json.loads((folder / MANIFEST).read_text()) | changes
        (folder / MANIFEST).write_text(json.dumps({k: v for k, v in manifest.items() if v is not None}))

    return change


def rewrite(change: Callable[[dict[str, torch.Tensor]], Any]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        file = folder / "member-001" / "adapter_model.safetensors"
        tensors = load_file(file)
        change(tensors)
        save_file(tensors, file)

    return apply


def cut(name: str, size: int) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:size]) and None


WEIGHTS = "member-001/adapter_model.safetensors"
Q = "base_model.model.vit.layers.0.attention.q_proj.lora_A.weight"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / MANIFEST).unlink(), r"has no ensemble\.json$"),
        (cut(MANIFEST, 40), r"ensemble\.json is not JSON: "),
        (lambda folder: (folder / MANIFEST).write_text("[]"), r"ensemble\.json is not a JSON object but a list$"),
        (edit(format="other"), r"is not a manifest of lora-ensemble$"),
        (edit(version=2), r"was written in format 2; this version reads up to 1$"),
        (edit(version=None), r"was written in format None"),
        (edit(members=None, config=None), r"ensemble\.json lacks members$"),
        (edit(members="2"), r"ensemble\.json: members is \"2\", expected a whole number$"),
        (edit(members=True), r"ensemble\.json: members is true, expected a whole number$"),
        (edit(config=[1]), r"ensemble\.json: config is a list, expected a JSON object$"),
        (edit(member_folders=["member-000", 1]), r"member_folders holds 1, expected texts$"),
        (edit(member_folders=["member-000", "../member-001"]), r"'\.\./member-001' is no path inside of "),
        (lambda folder: (folder / MANIFEST).write_text('{"a":' * 100_000), r"ensemble\.json .* nested too deeply$"),
        (edit(config={"members": 2, "rank": 2}), r"unknown fields in the configuration of an ensemble: rank$"),
        (edit(member_folders=["member-000"]), r"lists 1 folders for 2 members$"),
        (edit(member_folders=["member-000", "member-007"]), r"member-007 has no adapter_model\.safetensors$"),
        (lambda folder: (folder / WEIGHTS).unlink(), r"member-001 has no adapter_model\.safetensors$"),
        (cut(WEIGHTS, 500), r"adapter_model\.safetensors is not a complete safetensors file: "),
        (lambda folder: (folder / WEIGHTS).write_bytes(b"PK\x03\x04 a zip"), r"is not a complete safetensors file: "),
        (rewrite(lambda t: t.pop(Q)), rf"member-001 does not fit the model: 1 tensors missing\['{Q}'\], 0 unknown"),
        (rewrite(lambda t: t.update(x=torch.zeros(1))), r"0 tensors missing, 1 unknown\['x'\]"),
        (
            rewrite(lambda t: t.update({Q: torch.zeros(2, 3)})),
            r"lora_A\.weight has shape \(2, 3\), the model needs \(2, 16\)",
        ),
    ],
)
def test_damaged_folders(saved: Path, damage: Callable[[Path], None], message: str) -> None:
    """As an older version wrote them, without digests."""
    edit(digest=None, files=None)(saved)
    damage(saved)
    with pytest.raises(FileFormatError, match=message) as raised:
        Ensemble.from_pretrained(saved, TINY["vit"].build())
    assert "\n" not in str(raised.value)


def flip(name: str) -> Callable[[Path], None]:
    """The lowest bit of the last byte: still a file of its kind, with another number in it."""

    def change(folder: Path) -> None:
        data = bytearray((folder / name).read_bytes())
        data[-1] ^= 1
        (folder / name).write_bytes(data)

    return change


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (edit(first_member=1), r"ensemble\.json was changed after it was written"),
        (edit(files=None), r"ensemble\.json was changed after it was written"),
        (lambda folder: (folder / WEIGHTS).unlink(), r"there is no file .*member-001/adapter_model\.safetensors$"),
        (flip(WEIGHTS), r"member-001/adapter_model\.safetensors is damaged: "),
        (flip("member-000/adapter_config.json"), r"member-000/adapter_config\.json is damaged: "),
        (cut(WEIGHTS, 0), r"member-001/adapter_model\.safetensors is damaged: "),
    ],
)
def test_every_change_is_seen(saved: Path, damage: Callable[[Path], None], message: str) -> None:
    damage(saved)
    with pytest.raises(FileFormatError, match=message):
        Ensemble.from_pretrained(saved, TINY["vit"].build())


def test_an_unknown_kind(saved: Path) -> None:
    edit(kind="loar", digest=None)(saved)
    with pytest.raises(UnknownNameError, match=r"unknown kind of ensemble 'loar'\. Did you mean 'lora'\?"):
        load_ensemble(saved, TINY["vit"].build())


def test_another_backbone(saved: Path) -> None:
    with pytest.raises(FileFormatError, match=r"classifier\.(weight|bias) has shape \(5.*\), the model needs \(7"):
        Ensemble.from_pretrained(saved, TINY["vit"].build(labels=7))
    with pytest.raises(FileFormatError, match="0 tensors missing, 8 unknown"):
        Ensemble.from_pretrained(saved, TINY["vit"].build(layers=1))
    with pytest.raises(NoMatchError, match=r"no target module '[kovq]_proj' in this model"):
        Ensemble.from_pretrained(saved, TINY["bert"].build())


def test_the_class_that_is_asked_for(saved: Path) -> None:
    with pytest.raises(FileFormatError, match="holds a LoraEnsemble, not a NetworkEnsemble"):
        NetworkEnsemble.from_pretrained(saved, TINY["vit"].build())


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match=r"is neither a folder nor the id of a hub repository"):
        Ensemble.from_pretrained(tmp_path / "nothing", TINY["vit"].build())


def test_half_written_ensembles_cannot_be_read(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with members of two ensembles must not look whole."""
    from lora_ensemble.engine import adapters

    written = []

    def full_after_one(path: Path, tensors: Any) -> None:
        if written:
            raise OSError(28, "No space left on device")
        written.append(path)
        save_file(tensors, path)

    monkeypatch.setattr(adapters, "write_tensors", full_after_one)
    with pytest.raises(UserError, match=r"cannot write .*: No space left on device"):
        make(seed=2).save_pretrained(saved)
    assert written
    with pytest.raises(FileFormatError, match=r"has no ensemble\.json"):
        Ensemble.from_pretrained(saved, TINY["vit"].build())


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=r"cannot write .*file"):
        make().save_pretrained(tmp_path / "file")

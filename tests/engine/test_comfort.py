"""What a user types first: short forms, a plain LoraConfig, inputs without names, numpy, loaders; what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import peft
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, TensorDataset

from lora_ensemble.engine.config import LoraEnsembleConfig
from lora_ensemble.engine.ensemble import Ensemble
from lora_ensemble.engine.lora import LoraEnsemble
from lora_ensemble.engine.networks import NetworkEnsemble
from lora_ensemble.errors import ConfigurationError, DataError, FileFormatError
from lora_ensemble.methods.lora import Lora
from tiny_models import TINY
from tolerance import close

ROWS = 7


def make(name: str = "vit", **fields: Any) -> LoraEnsemble:
    return LoraEnsemble(TINY[name].build(), **({"members": 2, "r": 2} | fields)).eval()


# Configurations ---------------------------------------------------------------------------------------------------


def test_fields_in_place_of_a_configuration() -> None:
    short, long = make(r=3, seed=4), LoraEnsemble(TINY["vit"].build(), LoraEnsembleConfig(members=2, r=3, seed=4))
    assert short.config.to_json_dict() == long.config.to_json_dict()
    changed = LoraEnsemble(TINY["vit"].build(), LoraEnsembleConfig(members=2, r=3), members=5)
    assert (changed.members, changed.config.r) == (5, 3)


def test_a_plain_config_of_peft_means_what_it_means_there() -> None:
    config = peft.LoraConfig(r=2, target_modules=["q_proj"], lora_dropout=0.1)
    ensemble = LoraEnsemble(TINY["vit"].build(), config, members=3)
    assert ensemble.members == 3
    assert {target.scale for target in ensemble.targets.values()} == {8 / 2}  # its lora_alpha is 8, whatever r
    assert {path.rpartition(".")[2] for path in ensemble.targets} == {"q_proj"}
    with pytest.raises(ConfigurationError, match="use_dora = True has no meaning for an ensemble"):
        LoraEnsemble(TINY["vit"].build(), peft.LoraConfig(use_dora=True), members=3)


@pytest.mark.parametrize("r", [1, 2, 8])
def test_the_default_scale_is_one(r: int) -> None:
    assert {target.scale for target in make(r=r).targets.values()} == {1.0}
    assert Lora(r=r).lora_alpha is None  # r, see config_fields
    assert LoraEnsembleConfig(r=2, lora_alpha=8).lora_alpha == 8
    assert LoraEnsembleConfig.of(LoraEnsembleConfig(r=2), r=r).lora_alpha == r
    assert LoraEnsembleConfig.of(LoraEnsembleConfig(r=2, lora_alpha=8), r=r).lora_alpha == 8


def test_manifests_from_before_keep_their_scale(tmp_path: Path) -> None:
    """They do not say lora_alpha where it was PEFT's default, 8."""
    ensemble = make(lora_alpha=8)
    ensemble.save_pretrained(tmp_path)
    manifest = json.loads((tmp_path / "ensemble.json").read_text())
    del manifest["config"]["lora_alpha"], manifest["digest"]
    (tmp_path / "ensemble.json").write_text(json.dumps(manifest))
    assert LoraEnsemble.from_pretrained(tmp_path, TINY["vit"].build()).config.lora_alpha == 8


def test_configurations_that_are_none() -> None:
    with pytest.raises(ConfigurationError, match=r"^there is no field 'member'\. Did you mean 'members'\?$"):
        make(member=2)
    with pytest.raises(ConfigurationError, match=r"^config is dict, expected LoraEnsembleConfig or peft.LoraConfig$"):
        LoraEnsemble(TINY["vit"].build(), {"r": 2})  # type: ignore[arg-type]


def test_trainable_parameters_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    ensemble = make()
    ensemble.print_trainable_parameters()
    trained = sum(p.numel() for p in ensemble.parameters() if p.requires_grad)
    out = capsys.readouterr().out
    assert out.startswith(f"trainable params: {trained:,} || all params: ")
    assert out.endswith("|| members: 2\n")


# Inputs -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["vit", "timm-vit", "plain", "llama"])
def test_the_first_input_needs_no_name(name: str) -> None:
    ensemble = make(name)
    inputs, labels = TINY[name].batch(ROWS)
    first = next(iter(inputs.values()))
    expected = ensemble(labels=labels, **inputs)
    own = ensemble(first, labels=labels)
    assert torch.equal(own.logits, expected.logits)
    arrays = ensemble(first.numpy().astype("float64" if first.is_floating_point() else "int64"), labels=labels.numpy())
    assert torch.equal(arrays.logits, expected.logits)
    assert torch.equal(arrays.loss, expected.loss)
    assert torch.equal(ensemble(first, labels=labels.tolist()).loss, expected.loss)


def test_inputs_that_are_none() -> None:
    ensemble = make()
    x = TINY["vit"].batch(ROWS)[0]["pixel_values"]
    with pytest.raises(DataError, match=r"has no input 'pixel_value'\. Did you mean 'pixel_values'\? It takes: "):
        ensemble(pixel_value=x)
    with pytest.raises(DataError, match=r"^PlainTransformer has no input 'pixels'\. It takes: x\.$"):
        make("plain")(pixels=x)
    with pytest.raises(DataError, match=r"^2 inputs without a name: give the model's arguments by name"):
        ensemble(x, x)
    with pytest.raises(DataError, match=r"^the first input is pixel_values, which is also given by its name$"):
        ensemble(x, pixel_values=x)
    with pytest.raises(DataError, match=r"^an input is an array of object; numbers are expected$"):
        ensemble(np.array([None, "a"]))
    with pytest.raises(DataError, match=r"^labels are list; class indices, whole numbers, are expected$"):
        ensemble(x, labels=[[1], [2, 3]])


# Predictions of many rows -----------------------------------------------------------------------------------------


class Rows(Dataset[dict[str, Any]]):
    def __init__(self, labelled: bool = True):
        self.inputs, self.labels = TINY["vit"].batch(ROWS)
        self.labelled = labelled

    def __len__(self) -> int:
        return ROWS

    def __getitem__(self, i: int) -> dict[str, Any]:
        row = {"pixel_values": self.inputs["pixel_values"][i]}
        return row | {"labels": self.labels[i]} if self.labelled else row


@pytest.mark.parametrize("kind", ["rows", "pairs", "loader", "dicts", "tensors"])
def test_loaders_and_data_sets_are_predicted_in_batches(kind: str) -> None:
    inputs, labels = TINY["vit"].batch(ROWS)
    x = inputs["pixel_values"]
    ensemble = make()
    data: Any = {
        "rows": Rows(),
        "pairs": TensorDataset(x, labels),
        "loader": DataLoader(TensorDataset(x, labels), batch_size=3),
        "dicts": [{"pixel_values": x[:4], "label": labels[:4]}, {"pixel_values": x[4:], "label": labels[4:]}],
        "tensors": iter([x[:5], x[5:]]),
    }[kind]
    expected = ensemble.predict(labels=labels, **inputs)
    own = ensemble.predict(data, batch_size=2)
    close(own.logits_MBC, expected.logits_MBC)
    if kind == "tensors":
        assert own.labels_B is None
    else:
        assert torch.equal(own.labels_B, labels)
    assert ensemble.predict(x).labels_B is None
    assert ensemble.predict(Rows(labelled=False)).labels_B is None


def test_data_that_are_none() -> None:
    ensemble = make()
    with pytest.raises(DataError, match=r"^str is neither inputs, nor a data set, nor a loader of batches$"):
        ensemble.predict("photos")
    with pytest.raises(DataError, match=r"^there is nothing to predict"):
        ensemble.predict([])
    with pytest.raises(DataError, match=r"^a batch is a mapping, a pair of inputs and labels, or a tensor; got int$"):
        ensemble.predict([1, 2])
    with pytest.raises(DataError, match=r"^give either data in batches, or inputs and labels by name$"):
        ensemble.predict(Rows(), labels=torch.zeros(ROWS))


# Folders ----------------------------------------------------------------------------------------------------------


def test_names_that_are_neither_folder_nor_repository(tmp_path: Path) -> None:
    for name in ("owner/na me", "owner/"):
        with pytest.raises(FileFormatError, match="is neither a folder nor the id of a hub repository") as raised:
            Ensemble.from_pretrained(name)
        assert "\n" not in str(raised.value)


def test_one_adapter_needs_no_list(tmp_path: Path) -> None:
    ensemble = make()
    ensemble.save_pretrained(tmp_path)
    inputs, _ = TINY["vit"].batch(ROWS)
    logits = ensemble(**inputs).logits
    for given in (tmp_path / "member-001", str(tmp_path / "member-001"), [tmp_path / "member-001"]):
        close(LoraEnsemble.from_peft(TINY["vit"].build(), given).eval()(**inputs).logits[0], logits[1])


def test_other_ensembles_take_the_same() -> None:
    x, labels = TINY["vit"].batch(ROWS)[0]["pixel_values"], TINY["vit"].batch(ROWS)[1]
    ensemble = NetworkEnsemble([TINY["vit"].build(), TINY["vit"].build(seed=1)]).eval()
    close(ensemble(x.numpy(), labels=labels.numpy()).logits, ensemble(pixel_values=x).logits)

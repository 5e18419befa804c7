"""Members of a model that answers, as PEFT adapters of the plain model, and back."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig

from lora_ensemble import LoraEnsemble, LoraEnsembleConfig
from lora_ensemble.backbones.causal_lm import CausalLM
from lora_ensemble.engine.adapters import PREFIX
from lora_ensemble.engine.ensemble import Ensemble
from lora_ensemble.engine.networks import NetworkEnsemble
from lora_ensemble.errors import FileFormatError, UserError
from lora_ensemble.methods.lora import Lora
from lora_ensemble.methods.mc_dropout import McDropout
from tiny_language_models import QUESTIONS, questions, save_model
from tiny_models import around_peft
from tolerance import close

pytestmark = around_peft

SIZE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
EACH = pytest.mark.parametrize("architecture", ["llama", "gpt2"])


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return {name: save_model(tmp_path_factory.mktemp(name), name) for name in ("llama", "gpt2")}


def trained(name: str, **fields):
    """A backbone, an ensemble whose members differ, and inputs."""
    backbone = CausalLM(name, dtype="fp32").load(3)
    ensemble = Lora(members=2, r=4, lora_alpha=8, **fields).build(backbone, 0).eval()
    for _, layer in ensemble.member_layers():
        nn.init.normal_(layer.lora_B, std=0.1)
    return backbone, ensemble, backbone.prepare(backbone.collate(QUESTIONS))


def letters_of(logits: torch.Tensor, backbone) -> torch.Tensor:
    return logits[:, -1].log_softmax(-1)[:, backbone.model.letters]


@EACH
def test_a_member_is_an_adapter_of_the_plain_model(folders, architecture: str, tmp_path: Path) -> None:
    backbone, ensemble, inputs = trained(folders[architecture])
    ensemble.save_pretrained(tmp_path)
    own = ensemble.predict(**inputs).logits_MBC
    plain_inputs = {name: value for name, value in inputs.items() if name != "choices"}
    for m in range(2):
        plain = AutoModelForCausalLM.from_pretrained(folders[architecture])
        member = PeftModel.from_pretrained(plain, tmp_path / f"member-{m:03d}").eval()
        with torch.no_grad():
            expected = letters_of(member(**plain_inputs).logits, backbone)
        expected[1, 2] = own[m, 1, 2]  # no choice of that question
        close(own[m, :, :3], expected)
        with torch.no_grad():
            close(ensemble.member(m)(**inputs), own[m], depth=256)
    assert (own[0] - own[1]).abs().max() > 0.01


@EACH
def test_it_loads_by_its_manifest_and_into_the_plain_model(folders, architecture: str, tmp_path: Path) -> None:
    _, ensemble, inputs = trained(folders[architecture])
    ensemble.save_pretrained(tmp_path)
    loaded = Ensemble.from_pretrained(tmp_path)
    assert torch.equal(loaded.predict(**inputs).logits_MBC, ensemble.predict(**inputs).logits_MBC)
    plain = LoraEnsemble.from_pretrained(tmp_path, AutoModelForCausalLM.from_pretrained(folders[architecture]))
    tokens = inputs["input_ids"][2:]
    with torch.no_grad():
        logits = plain(input_ids=tokens).logits
    assert logits.shape == (2, 1, tokens.shape[1], 401)
    rows = ensemble.predict(input_ids=tokens, choices=torch.tensor([3])).logits_MBC[:, 0, :3]
    letters = ensemble.model.letters
    close(logits[:, 0, -1].log_softmax(-1)[:, letters], rows)


def test_members_start_as_in_the_plain_model(folders) -> None:
    """So that a member of a seed is the same one with and without the wrapper."""
    _, ensemble, _ = trained(folders["llama"])
    config = LoraEnsembleConfig(members=2, r=4, lora_alpha=8, seed=0)
    plain = LoraEnsemble(AutoModelForCausalLM.from_pretrained(folders["llama"]), config)
    for (name, layer), (other, same) in zip(ensemble.member_layers(), plain.member_layers(), strict=True):
        assert name == other
        assert torch.equal(layer.lora_A, same.lora_A)


def test_anybodys_adapters_load_into_it(folders, tmp_path: Path) -> None:
    for k in range(2):
        torch.manual_seed(k)
        config = LoraConfig(r=3, lora_alpha=5, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
        get_peft_model(AutoModelForCausalLM.from_pretrained(folders["llama"]), config).save_pretrained(
            tmp_path / str(k)
        )
    backbone = CausalLM(folders["llama"], dtype="fp32").load(3)
    inputs = backbone.prepare(backbone.collate(QUESTIONS[:1]))
    ensemble = LoraEnsemble.from_peft(backbone.model, [tmp_path / "0", tmp_path / "1"])
    own = ensemble.predict(**inputs).logits_MBC
    for k in range(2):
        peft = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(folders["llama"]), tmp_path / str(k))
        del_choices = {name: value for name, value in inputs.items() if name != "choices"}
        with torch.no_grad():
            expected = letters_of(peft.eval()(**del_choices).logits, backbone)
        close(own[k, :, :3], expected)


def test_adapters_of_another_base_model(folders, tmp_path: Path) -> None:
    trained(folders["llama"])[1].save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"^no target module 'k_proj' in this model\."):
        Ensemble.from_pretrained(tmp_path, CausalLM(folders["gpt2"]).load(3).model)
    with (
        pytest.warns(UserWarning, match=r"member-000 was trained over .*llama.*; the model is .*gpt2"),
        pytest.raises(UserError, match=r"^no target module .* in this model\."),
    ):
        LoraEnsemble.from_peft(CausalLM(folders["gpt2"]).load(3).model, [tmp_path / "member-000"])
    wider = AutoModelForCausalLM.from_config(LlamaConfig(vocab_size=401, **SIZE | {"hidden_size": 64}))
    with pytest.raises(FileFormatError, match=r"lora_A.weight has shape \(4, 32\), the model needs \(4, 64\)"):
        Ensemble.from_pretrained(tmp_path, wider)


@EACH
def test_loss_and_gradients_are_those_of_peft(folders, architecture: str, tmp_path: Path) -> None:
    """Solo equivalence of the letter's loss: the plain model's own loss, with every label but the letter ignored."""
    backbone, ensemble, _ = trained(folders[architecture], fused_qkv="joint")
    ensemble.save_pretrained(tmp_path)
    split = questions(6)
    batch = backbone.prepare(backbone.collate_labelled(split.examples, split.labels))
    out = ensemble.train()(**batch)
    out.loss.backward()
    labels = batch.pop("labels")
    del batch["choices"]
    letters = backbone.model.letters[labels]
    with_answer = {
        "input_ids": torch.cat([batch["input_ids"], letters[:, None]], 1),
        "attention_mask": torch.nn.functional.pad(batch["attention_mask"], (0, 1), value=1),
    }
    with_answer = backbone.prepare(with_answer)
    ignored = torch.full_like(batch["input_ids"], -100)
    for m in range(2):
        plain = AutoModelForCausalLM.from_pretrained(folders[architecture])
        member = PeftModel.from_pretrained(plain, tmp_path / f"member-{m:03d}", is_trainable=True).train()
        loss = member(**with_answer, labels=torch.cat([ignored, letters[:, None]], 1)).loss
        close(out.member_losses[m], loss)
        loss.backward()
        expected = get_peft_model_state_dict(
            member, {n: p.grad for n, p in member.named_parameters() if p.grad is not None}
        )
        for path, layer in ensemble.member_layers():
            for key, parameter in (("lora_A", layer.lora_A), ("lora_B", layer.lora_B)):
                close(parameter.grad[m], expected[f"{PREFIX}{path}.{key}.weight"])


def test_gradient_checkpointing_changes_no_number(folders) -> None:
    gradients = []
    for checkpointing in (False, True):
        backbone = CausalLM(folders["llama"], dtype="fp32").load(3)
        ensemble = Lora(members=3).build(backbone, 0).train()
        ensemble.members_per_pass = 2
        if checkpointing:
            ensemble.gradient_checkpointing_enable()
        split = questions(6)
        ensemble(**backbone.prepare(backbone.collate_labelled(split.examples, split.labels))).loss.backward()
        gradients.append([p.grad for p in ensemble.parameters() if p.requires_grad])
    for plain, again in zip(*gradients, strict=True):
        close(again, plain)
    assert max(g.abs().max() for g in gradients[0]) > 1e-3


def test_whole_networks_are_saved_without_the_wrapper(folders, tmp_path: Path) -> None:
    backbone = CausalLM(folders["llama"], dtype="fp32").load(3)
    inputs = backbone.prepare(backbone.collate(QUESTIONS))
    ensemble = NetworkEnsemble([backbone.model])
    ensemble.source = backbone.source
    ensemble.save_pretrained(tmp_path)
    AutoModelForCausalLM.from_pretrained(tmp_path / "member-000")
    loaded = Ensemble.from_pretrained(tmp_path)
    assert torch.equal(loaded.predict(**inputs).logits_MBC, ensemble.predict(**inputs).logits_MBC)


def test_attention_keys_are_dropped_inside_the_wrapper(folders) -> None:
    backbone = CausalLM(folders["llama"], dtype="fp32").load(3)
    p = McDropout(members=3, p=0.3).build(backbone, 0).predict(**backbone.prepare(backbone.collate(QUESTIONS)))
    assert p.epistemic_B.min() > 0
    assert AutoTokenizer.from_pretrained(folders["llama"]).pad_token is None  # and yet it was padded

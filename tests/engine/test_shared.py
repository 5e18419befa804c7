"""What a LoRA ensemble trains once for all members: gradients, clipping, and folders that PEFT reads."""

from __future__ import annotations

import copy
import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from lora_ensemble import Ensemble, LoraEnsemble, LoraEnsembleConfig
from lora_ensemble.errors import ConfigurationError, FileFormatError, NoMatchError
from tiny_models import TINY, around_peft
from tolerance import close

NORM = "classifier.layernorm"
PATCHES = "audio_spectrogram_transformer.embeddings.patch_embeddings"
POSITIONS = "audio_spectrogram_transformer.embeddings.position_embeddings"
EMBEDDINGS = "audio_spectrogram_transformer.embeddings"


def ensemble_of(also_trained, members=3, **options):
    config = LoraEnsembleConfig(
        members=members, r=2, lora_alpha=2, modules_to_save=["classifier.dense"], also_trained=also_trained, **options
    )
    ensemble = LoraEnsemble(TINY["ast"].build(), config)
    with torch.no_grad():
        for name, parameter in ensemble.named_parameters():
            if "lora_B" in name:
                parameter.normal_(generator=torch.Generator().manual_seed(len(name)))
    return ensemble


def gradients(ensemble):
    inputs, labels = TINY["ast"].batch(4)
    ensemble.train()
    for members in ensemble.passes():
        ensemble(members=members, labels=labels, **inputs).loss.backward()
    return {name: p.grad.clone() for name, p in ensemble.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("also", [[NORM], [PATCHES, NORM], [POSITIONS], ["position_embeddings", "patch_embeddings"]])
def test_their_gradient_is_the_sum_over_members(also):
    ensemble = ensemble_of(also)
    frozen = {name for name, p in ensemble.named_parameters() if not p.requires_grad}
    got = gradients(ensemble)
    shared = {n.removeprefix("model.") for n in got if "lora_" not in n and "dense" not in n}
    assert all(any(name in n for n in shared) for name in also)
    assert all(any(name in n for name in also) for n in shared)
    assert frozen.isdisjoint(got)
    total = dict.fromkeys(shared, 0.0)
    inputs, labels = TINY["ast"].batch(4)
    for m in range(3):
        alone = ensemble.member(m).train()
        torch.nn.functional.cross_entropy(alone(**inputs).logits, labels).backward()
        own = dict(alone.named_parameters())
        total = {name: total[name] + own[name].grad for name in shared}
    for name in shared:
        close(got[f"model.{name}"], total[name])


def test_passes_change_no_number():
    one, two = (gradients(ensemble_of([NORM, PATCHES], members_per_pass=n)) for n in (None, 2))
    for name, gradient in one.items():
        close(two[name], gradient)


def test_they_are_clipped_by_themselves_or_with_all():
    ensemble = ensemble_of([NORM, POSITIONS])
    raw = gradients(ensemble)
    shared = [name for name in raw if "lora_" not in name and "dense" not in name]
    norm = torch.stack([raw[name].norm() for name in shared]).norm()
    everything = torch.stack([g.norm() for g in raw.values()]).norm()
    members_M = ensemble.clip_grad_norm_(float("inf"))
    assert members_M.shape == (3,)
    torch.testing.assert_close(members_M.square().sum() + norm.square(), everything.square())
    for joint, scale in ((False, 0.1 / norm), (True, 0.1 / everything)):
        for name, p in ensemble.named_parameters():
            p.grad = raw[name].clone() if name in raw else None
        ensemble.clip_grad_norm_(0.1, joint=joint)
        for name, p in ensemble.named_parameters():
            if name in shared:
                close(p.grad, raw[name] * scale, depth=8)


def trained(also):
    ensemble = ensemble_of(also, members=2)
    with torch.no_grad():
        for parameter in ensemble.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter), alpha=0.3)
    return ensemble.eval()


@torch.no_grad()
@around_peft
@pytest.mark.parametrize(
    ("also", "holders"),
    [([NORM, PATCHES], [PATCHES, NORM]), ([POSITIONS], [EMBEDDINGS]), ([PATCHES, POSITIONS], [EMBEDDINGS])],
)
def test_each_folder_is_a_whole_member_to_peft(also, holders, tmp_path):
    from peft import PeftModel

    ensemble, (inputs, _) = trained(also), TINY["ast"].batch(4)
    assert ensemble.shared_modules() == holders
    expected = ensemble(**inputs).logits
    ensemble.save_pretrained(tmp_path)
    for m in range(2):
        model = PeftModel.from_pretrained(TINY["ast"].build(), tmp_path / f"member-{m:03d}").eval()
        close(model(**inputs).logits, expected[m])
    again = Ensemble.from_pretrained(tmp_path, TINY["ast"].build())
    assert torch.equal(again(**inputs).logits, expected)
    assert again.config.also_trained == also
    assert again.trainable_state().keys() == ensemble.trainable_state().keys()
    theirs = LoraEnsemble.from_peft(TINY["ast"].build(), [tmp_path / f"member-{m:03d}" for m in range(2)])
    close(theirs.eval()(**inputs).logits, expected)


def without_digests(folder):
    """As older versions wrote their manifest: what was exchanged shows by its contents alone."""
    path = folder / "ensemble.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps({k: v for k, v in manifest.items() if k not in ("files", "digest")}))


def test_folders_of_other_ensembles_do_not_mix(tmp_path):
    trained([NORM]).save_pretrained(tmp_path)
    file = tmp_path / "member-001" / "adapter_model.safetensors"
    tensors = load_file(file)
    name = f"base_model.model.{NORM}.weight"
    save_file(tensors | {name: tensors[name] + 1}, file)
    without_digests(tmp_path)
    with pytest.raises(FileFormatError, match=r"member-001: classifier.layernorm.weight, which members share, is not"):
        Ensemble.from_pretrained(tmp_path, TINY["ast"].build())
    save_file(tensors | {name: tensors[name][:3]}, file)
    with pytest.raises(FileFormatError, match=r"has shape \(3,\), the model needs \(16,\)"):
        Ensemble.from_pretrained(tmp_path, TINY["ast"].build())


def test_what_cannot_be_shared_is_named():
    with pytest.raises(NoMatchError, match=r"no module or parameter to train 'layer_norm'.*Did you mean '.*layernorm'"):
        ensemble_of(["layer_norm"])
    with pytest.raises(ConfigurationError, match=r"also_trained: classifier holds classifier.dense"):
        ensemble_of(["classifier"])
    with pytest.raises(ConfigurationError, match="of which each member has its own"):
        ensemble_of(["audio_spectrogram_transformer.layers.0"])


def test_nothing_is_shared_by_default():
    ensemble = ensemble_of(None)
    assert ensemble.shared_modules() == []
    assert ensemble.shared_tensors() == {}
    assert copy.copy(ensemble.config).to_json_dict().get("also_trained") is None

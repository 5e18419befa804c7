"""PEFT's format both ways: PEFT loads our members, and we load anybody's adapters, with the same logits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lora_ensemble.engine.config import LoraEnsembleConfig
from lora_ensemble.engine.lora import LoraEnsemble
from lora_ensemble.errors import ConfigurationError, FileFormatError, NoMatchError, UserError
from tiny_models import TINY, around_peft
from tolerance import close

pytestmark = around_peft

MEMBERS, ROWS = 2, 4


def shake(model: nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter, std=0.2, generator=generator)


def make(name: str, **config: Any) -> LoraEnsemble:
    defaults = {"members": MEMBERS, "r": 3, "lora_alpha": 5}
    ensemble = LoraEnsemble(TINY[name].build(), LoraEnsembleConfig(**(defaults | config)))
    shake(ensemble, seed=1)
    return ensemble.eval()


def logits_of(output: Any) -> Tensor:
    return getattr(output, "logits", output).detach()


def exported_agree(name: str, ensemble: LoraEnsemble, folder: Path) -> None:
    """Member alone, PEFT from the folder, PEFT merged, and the row of logits."""
    ensemble.save_pretrained(folder)
    inputs, _ = TINY[name].batch(ROWS)
    logits = ensemble(**inputs).logits
    for m in range(MEMBERS):
        peft = PeftModel.from_pretrained(TINY[name].build(), folder / f"member-{m:03d}").eval()
        close(logits_of(peft(**inputs)), logits[m])
        close(logits_of(peft.merge_and_unload()(**inputs)), logits[m])
        close(logits_of(ensemble.member(m)(**inputs)), logits[m])


# Ours to PEFT -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(TINY))
def test_peft_loads_our_members(name: str, tmp_path: Path) -> None:
    exported_agree(name, make(name), tmp_path)


@pytest.mark.filterwarnings("error:fan_in_fan_out")  # ours says so itself
def test_peft_is_told_of_transposed_layers(tmp_path: Path) -> None:
    exported_agree("gpt2", make("gpt2", fused_qkv="joint"), tmp_path)


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("vit", {"use_rslora": True}),
        ("vit", {"rank_pattern": {"k_proj": 2, r"layers\.1\.attention\.q_proj": 6}, "alpha_pattern": {"k_proj": 7}}),
        ("vit", {"target_modules": "all-linear", "layers_to_transform": None, "exclude_modules": ["fc2"]}),
        ("vit", {"target_modules": r".*\.(q_proj|fc1)"}),
        ("vit", {"modules_to_save": []}),
        ("bert", {"layers_to_transform": [1]}),
        ("timm-vit", {"layers_to_transform": [1]}),
        ("timm-vit", {"use_rslora": True, "rank_pattern": {"qkv": 2}, "alpha_pattern": {"qkv": 7}}),
        ("timm-vit", {"fused_qkv": "joint"}),
        ("gpt2", {"use_rslora": True}),
        ("roberta", {"target_modules": ["query", "dense"]}),
    ],
)
def test_peft_loads_every_configuration(name: str, config: dict[str, Any], tmp_path: Path) -> None:
    exported_agree(name, make(name, **config), tmp_path)


# PEFT's to ours ---------------------------------------------------------------------------------------------------


def adapter(name: str, folder: Path, seed: int, **config: Any) -> Tensor:
    """Write an adapter that PEFT made; its logits."""
    model = get_peft_model(TINY[name].build(), LoraConfig(**({"r": 2, "lora_alpha": 3} | config))).eval()
    shake(model, seed)
    model.save_pretrained(folder)
    return logits_of(model(**TINY[name].batch(ROWS)[0]))


def ours(name: str, *folders: Path, **config: Any) -> LoraEnsemble:
    return LoraEnsemble.from_peft(TINY[name].build(), folders, **config).eval()


DIFFERENT: dict[str, list[dict[str, Any]]] = {
    "vit": [
        {"target_modules": ["q_proj", "v_proj"]},
        {"target_modules": ["q_proj", "fc1"], "r": 5, "lora_alpha": 1, "modules_to_save": ["classifier"]},
        {"target_modules": ["o_proj"], "use_rslora": True, "r": 4},
        {"target_modules": ["q_proj", "k_proj"], "rank_pattern": {"k_proj": 3}, "alpha_pattern": {"k_proj": 9}},
        {"target_modules": ["v_proj"], "layers_to_transform": [1], "modules_to_save": ["classifier"]},
    ],
    "bert": [
        {"target_modules": ["query"], "task_type": "SEQ_CLS"},
        {"target_modules": ["query", "value"], "task_type": "SEQ_CLS", "r": 4},
    ],
    "llama": [{"target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM"}, {"target_modules": "all-linear"}],
    "gpt2": [{"target_modules": ["c_attn"], "fan_in_fan_out": True}, {"target_modules": ["c_attn", "c_proj"], "r": 4}],
    "timm-vit": [{"target_modules": ["qkv"]}, {"target_modules": ["qkv", "attn.proj"], "modules_to_save": ["head"]}],
}


@pytest.mark.parametrize("name", sorted(DIFFERENT))
def test_adapters_that_differ_become_one_ensemble(name: str, tmp_path: Path) -> None:
    expected = [adapter(name, tmp_path / str(i), i, **config) for i, config in enumerate(DIFFERENT[name])]
    folders = [tmp_path / str(i) for i in range(len(expected))]
    ensemble = ours(name, *folders)
    inputs, labels = TINY[name].batch(ROWS)
    close(ensemble(**inputs).logits, torch.stack(expected))
    close(ensemble.merge()(**inputs).logits, torch.stack(expected))
    ensemble.save_pretrained(tmp_path / "saved")
    again = LoraEnsemble.from_pretrained(tmp_path / "saved", TINY[name].build())
    close(again(**inputs).logits, torch.stack(expected))
    for m, logits in enumerate(expected):
        peft = PeftModel.from_pretrained(TINY[name].build(), tmp_path / "saved" / f"member-{m:03d}").eval()
        close(logits_of(peft(**inputs)), logits)
    ensemble.train()(labels=labels, **inputs).loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in ensemble.parameters() if p.requires_grad)


def rename_to_old(folder: Path, names: list[tuple[str, str]], **config: Any) -> None:
    """Rewrite an adapter as it was before transformers 5."""
    file = folder / "adapter_model.safetensors"
    tensors = {}
    for key, value in load_file(file).items():
        for new, old in names:
            key = key.replace(new, old)
        tensors[key] = value
    save_file(tensors, file)
    settings = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(settings | config))


OLD_VIT = [
    (".layers.", ".encoder.layer."),
    ("attention.q_proj", "attention.attention.query"),
    ("attention.v_proj", "attention.attention.value"),
    ("attention.o_proj", "attention.output.dense"),
    ("mlp.fc1", "intermediate.dense"),
    ("mlp.fc2", "output.dense"),
]


@pytest.mark.parametrize("name", ["vit", "ast", "deit"])
def test_names_from_before_transformers_5(name: str, tmp_path: Path) -> None:
    """As they are on the hub; PEFT itself does not load them. The pattern speaks of the old names, too."""
    targets = ["q_proj", "v_proj", "o_proj", "fc1", "fc2"]
    new = {"target_modules": targets, "alpha_pattern": {"v_proj": 11}, "modules_to_save": ["classifier"]}
    expected = adapter(name, tmp_path, 0, **new)
    old = ["query", "value", "dense"]
    rename_to_old(tmp_path, OLD_VIT, target_modules=old, alpha_pattern={"value": 11})
    assert any(
        "encoder.layer.0.attention.attention.query" in key for key in load_file(tmp_path / "adapter_model.safetensors")
    )
    close(ours(name, tmp_path)(**TINY[name].batch(ROWS)[0]).logits[0], expected)


def test_a_layer_that_only_some_adapt_and_a_head_that_only_some_have(tmp_path: Path) -> None:
    adapter("vit", tmp_path / "a", 0, target_modules=["q_proj"])
    adapter("vit", tmp_path / "b", 1, target_modules=["v_proj"], modules_to_save=["classifier"])
    ensemble = ours("vit", tmp_path / "a", tmp_path / "b")
    attention = ensemble.model.vit.layers[0].attention
    assert not attention.v_proj.update(0).any()
    assert not attention.q_proj.update(1).any()
    assert attention.q_proj.update(0).any()
    assert torch.equal(ensemble.model.classifier.weight[0], TINY["vit"].build().classifier.weight)


def test_ours_come_back_with_their_settings(tmp_path: Path) -> None:
    ensemble = make("vit", lora_dropout=0.1)
    ensemble.save_pretrained(tmp_path)
    again = ours("vit", *sorted(tmp_path.glob("member-*")), seed=3, members_per_pass=1)
    inputs, _ = TINY["vit"].batch(ROWS)
    close(again(**inputs).logits, ensemble(**inputs).logits)
    assert again.config.lora_alpha == 5
    assert again.config.lora_dropout == 0.1
    assert (again.config.seed, again.members_per_pass) == (3, 1)


# Bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"use_dora": True}, r"use_dora = True is not supported yet: its update depends on the norms"),
        ({"bias": "all"}, r"bias = 'all' is not supported yet: members have no bias of their own"),
        ({"init_lora_weights": "pissa"}, r"init_lora_weights = 'pissa' is not supported yet: it changes the weights"),
        ({"init_lora_weights": "olora"}, r"init_lora_weights = 'olora' is not supported yet"),
        ({"lora_bias": True}, r"lora_bias = True is not supported yet: members have no bias of their own"),
        ({"target_parameters": ["x.weight"]}, r"target_parameters = \['x.weight'\] is not supported yet"),
        ({"r": 3}, r"lora_A\.weight is of rank 2, adapter_config\.json says r = 3$"),
        ({"r": 10**9}, r"lora_A\.weight is of rank 2, adapter_config\.json says r = 1000000000$"),
        ({"r": -1}, r"r"),
        ({"r": "two"}, r"is no configuration of a LoRA adapter: 'two' where a number is expected$"),
        ({"lora_alpha": None}, r"is no configuration of a LoRA adapter: None where a number is expected$"),
        ({"rank_pattern": {"q_proj": 4}}, r"lora_A\.weight is of rank 2, adapter_config\.json says r = 4$"),
    ],
)
def test_adapters_that_mean_something_else(config: dict[str, Any], message: str, tmp_path: Path) -> None:
    adapter("vit", tmp_path, 0, target_modules=["q_proj"])
    rename_to_old(tmp_path, [], **config)
    model = TINY["vit"].build()
    before = {name: parameter.data_ptr() for name, parameter in model.named_parameters()}
    with pytest.raises(UserError, match=message) as raised:
        LoraEnsemble.from_peft(model, tmp_path)
    assert "\n" not in str(raised.value)
    assert {name: parameter.data_ptr() for name, parameter in model.named_parameters()} == before


def test_a_failing_from_peft_leaves_the_model_as_it_was(tmp_path: Path) -> None:
    adapter("vit", tmp_path, 0, target_modules=["q_proj"], modules_to_save=["classifier"])
    file = tmp_path / "adapter_model.safetensors"
    tensors = load_file(file)
    last = "base_model.model.classifier.bias"  # found to be wrong when all else is in place
    save_file(tensors | {last: torch.ones(7)}, file)
    model = TINY["vit"].build()
    model.vit.layers[0].requires_grad_(False)
    inputs, _ = TINY["vit"].batch(ROWS)
    names, logits = dict(model.named_modules()), model(**inputs).logits
    wanted = [p.requires_grad for p in model.parameters()]
    with pytest.raises(FileFormatError, match=r"classifier\.bias has shape"):
        LoraEnsemble.from_peft(model, tmp_path)
    assert dict(model.named_modules()) == names
    assert [p.requires_grad for p in model.parameters()] == wanted
    assert torch.equal(model(**inputs).logits, logits)
    save_file(tensors, file)
    LoraEnsemble.from_peft(model, tmp_path)  # and it is not spoilt


def test_adapters_of_another_base_are_warned_of(tmp_path: Path) -> None:
    adapter("vit", tmp_path, 0, target_modules=["q_proj"])
    rename_to_old(tmp_path, [], base_model_name_or_path="google/vit-base-patch16-224")
    model = TINY["vit"].build()
    model.config.name_or_path = "facebook/dino-vitb16"
    with pytest.warns(
        UserWarning, match=r"trained over google/vit-base-patch16-224; the model is facebook/dino-vitb16$"
    ):
        LoraEnsemble.from_peft(model, tmp_path)
    model = TINY["vit"].build()
    model.config.name_or_path = "/data/vit-base-patch16-224"
    LoraEnsemble.from_peft(model, tmp_path)


class Harm:
    def __reduce__(self) -> Any:
        return (Path("/tmp/harm").touch, ())


def test_older_adapters_are_read_and_nothing_in_them_runs(tmp_path: Path) -> None:
    expected = adapter("vit", tmp_path, 0, target_modules=["q_proj"], modules_to_save=["classifier"])
    file = tmp_path / "adapter_model.safetensors"
    tensors = load_file(file)
    file.unlink()
    torch.save(tensors, tmp_path / "adapter_model.bin")
    close(ours("vit", tmp_path)(**TINY["vit"].batch(ROWS)[0]).logits[0], expected)
    torch.save({"x": Harm()}, tmp_path / "adapter_model.bin")
    with pytest.raises(FileFormatError, match=r"adapter_model\.bin is no file of tensors: ") as raised:
        ours("vit", tmp_path)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "config", "message"),
    [
        (
            "bert",
            {"target_modules": ["word_embeddings"]},
            r"lora_embedding_A is not supported yet: it adapts embeddings",
        ),
        ("vit", {"target_modules": ["q_proj"], "use_dora": True}, r"use_dora = True is not supported yet"),
    ],
)
def test_adapters_with_other_parts(name: str, config: dict[str, Any], message: str, tmp_path: Path) -> None:
    adapter(name, tmp_path, 0, **config)
    with pytest.raises(ConfigurationError, match=message):
        ours(name, tmp_path)


def test_folders_that_are_no_adapters(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="adapters: at least one folder is needed"):
        ours("vit")
    with pytest.raises(FileFormatError, match=r"has no adapter_config\.json"):
        ours("vit", tmp_path)
    (tmp_path / "adapter_config.json").write_text('{"peft_type": "IA3"}')
    with pytest.raises(FileFormatError, match="holds a PEFT adapter of type IA3, expected LORA"):
        ours("vit", tmp_path)
    with pytest.raises(FileFormatError, match="is neither a folder nor the id of a hub repository"):
        ours("vit", tmp_path / "nothing")


def test_tensors_that_do_not_fit(tmp_path: Path) -> None:
    adapter("vit", tmp_path, 0, target_modules=["q_proj"], modules_to_save=["classifier"])
    file = tmp_path / "adapter_model.safetensors"
    whole = load_file(file)
    q = "vit.layers.0.attention.q_proj"

    def raises(message: str, **changes: Tensor | None) -> None:
        changed = whole | {f"base_model.model.{k.replace('__', '.')}": v for k, v in changes.items()}
        save_file({k: v for k, v in changed.items() if v is not None}, file)
        with pytest.raises(FileFormatError, match=message) as raised:
            ours("vit", tmp_path)
        assert "\n" not in str(raised.value)

    raises(rf"{q} lacks lora_B\.weight", **{f"{q}.lora_B.weight": None})
    raises(
        rf"{q}\.lora_A\.weight has shape \(2, 9\), the model needs \(2, 16\)",
        **{f"{q}.lora_A.weight": torch.ones(2, 9)},
    )
    raises(
        rf"{q}\.lora_B\.weight has shape \(16, 3\), the model needs \(16, 2\)",
        **{f"{q}.lora_B.weight": torch.ones(16, 3)},
    )
    raises(r"classifier\.bias has shape \(7,\), the model needs \(5,\)", **{"classifier.bias": torch.ones(7)})
    raises(r"the model has no layer for vit\.conv\.weight \(1 tensors in all\)", **{"vit.conv.weight": torch.ones(7)})
    file.write_bytes(file.read_bytes()[:300])
    with pytest.raises(FileFormatError, match="is not a complete safetensors file"):
        ours("vit", tmp_path)
    save_file({"base_model.model.classifier.bias": torch.ones(5)}, file)
    with pytest.raises(FileFormatError, match="holds no LoRA weights"):
        ours("vit", tmp_path)


def test_adapters_of_another_model(tmp_path: Path) -> None:
    adapter("bert", tmp_path / "bert", 0, target_modules=["query"])
    with pytest.raises(NoMatchError, match=r"no target module 'bert\.encoder\.layer\.0\.attention\.self\.query'"):
        ours("llama", tmp_path / "bert")
    adapter("timm-vit", tmp_path / "convolution", 0, target_modules=["proj"])
    with pytest.raises(FileFormatError, match=r"no layer for patch_embed\.proj\.lora_A\.weight|no target module"):
        ours("timm-vit", tmp_path / "convolution")

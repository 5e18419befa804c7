"""LoraEnsembleConfig: what it refuses, and its way to JSON and to PEFT."""

from __future__ import annotations

import json
from typing import Any

import pytest
from peft import LoraConfig

from lora_ensemble.engine.config import LoraEnsembleConfig
from lora_ensemble.errors import ConfigurationError, FileFormatError


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"members": 0}, "members = 0: must be a whole number of at least 1"),
        ({"members": 2.5}, "members = 2.5: must be a whole number of at least 1"),
        ({"first_member": -1}, "first_member = -1: must be a whole number of at least 0"),
        ({"r": 0}, "r = 0: must be a whole number of at least 1"),
        ({"members_per_pass": 0}, "members_per_pass = 0: must be a whole number of at least 1"),
        ({"rank_pattern": {"q": 0}}, "rank_pattern['q'] = 0: must be a whole number of at least 1"),
        ({"lora_dropout": 1.0}, "lora_dropout = 1.0: must be at least 0 and below 1"),
        ({"init_a": "xaver"}, "init_a = 'xaver': must be one of kaiming, xavier, gaussian. Did you mean 'xavier'?"),
        ({"head_init": "zero"}, "head_init = 'zero': must be one of default, gaussian, xavier, kaiming, copy."),
        ({"fused_qkv": "both"}, "fused_qkv = 'both': must be one of separate, joint."),
        ({"use_dora": True}, "use_dora = True has no meaning for an ensemble"),
        ({"bias": "all"}, "bias = 'all' has no meaning for an ensemble"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights = 'pissa' has no meaning for an ensemble; use init_a"),
        ({"trainable_token_indices": [1]}, "trainable_token_indices = [1] has no meaning for an ensemble"),
        ({"target_modules": "q_.*", "layers_to_transform": [1]}, "`layers_to_transform` cannot be used when"),
    ],
)
def test_refuses_nonsense_by_name(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        LoraEnsembleConfig(**fields)
    assert str(raised.value).startswith(message)
    assert "\n" not in str(raised.value)


def test_lists_every_problem() -> None:
    with pytest.raises(ConfigurationError) as raised:
        LoraEnsembleConfig(members=0, r=0, use_dora=True)
    assert len(raised.value.problems) == 3


FIELDS: dict[str, Any] = {
    "members": 3,
    "first_member": 2,
    "seed": 5,
    "r": 4,
    "lora_alpha": 6,
    "use_rslora": True,
    "lora_dropout": 0.1,
    "target_modules": ["q_proj", "v_proj"],
    "exclude_modules": ["x"],
    "layers_to_transform": [1],
    "layers_pattern": "layers",
    "rank_pattern": {"q_proj": 2},
    "alpha_pattern": {"q_proj": 3},
    "modules_to_save": ["head"],
    "init_a": "xavier",
    "init_gain": 10.0,
    "head_init": "copy",
    "fused_qkv": "joint",
    "members_per_pass": 2,
    "task_type": "SEQ_CLS",
}


def test_to_json_and_back() -> None:
    config = LoraEnsembleConfig(**FIELDS)
    values = json.loads(json.dumps(config.to_json_dict()))
    assert values == FIELDS
    assert LoraEnsembleConfig.from_json_dict(values) == config
    assert LoraEnsembleConfig().to_json_dict() == {"lora_alpha": 8}  # r: what it is by default depends on it
    with pytest.raises(FileFormatError, match="unknown fields in the configuration of an ensemble: ranks"):
        LoraEnsembleConfig.from_json_dict({"ranks": 4})


def test_to_peft() -> None:
    plain = LoraEnsembleConfig(**FIELDS).peft_config(inference_mode=True)
    assert type(plain) is LoraConfig
    assert plain.inference_mode
    assert plain == LoraConfig(
        **{k: v for k, v in FIELDS.items() if k in LoraConfig.__dataclass_fields__}, inference_mode=True
    )

"""Causal language models and their tokenizers, from the hub or from a local folder."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer

from lora_ensemble.conversions.quiet import quiet
from lora_ensemble.engine.surgery import in_out, output_layer
from lora_ensemble.errors import FileFormatError, UserError, first_line

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

_RELATIVE = ("bloom", "mpt")
"""Models that know distances alone, and so take no position_ids."""


def load_tokenizer(name: str) -> Any:
    """Raises UserError for a name without one."""
    try:
        return AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise UserError(
            f"no tokenizer of {name!r}: expected a local folder or a hub id (owner/name); {first_line(error)}"
        ) from error


@dataclass(frozen=True)
class Encoder:
    """From texts to token ids."""

    tokenizer: Any

    def __call__(self, texts: Sequence[str]) -> list[list[int]]:
        ids: list[list[int]] = self.tokenizer(list(texts), return_attention_mask=False, verbose=False)["input_ids"]
        return ids


def special_tokens_before(tokenizer: Any) -> int:
    """How many special tokens (beginning of text) a text begins with."""
    ids, special = Encoder(tokenizer)(["a"])[0], set(tokenizer.all_special_ids)
    return next((i for i, token in enumerate(ids) if token not in special), 0)


def special_tokens_around(tokenizer: Any) -> tuple[int, int]:
    """How many special tokens a text begins and ends with."""
    ids, special = Encoder(tokenizer)(["a"])[0], set(tokenizer.all_special_ids)
    known = [token in special for token in ids]
    if all(known):
        return special_tokens_before(tokenizer), 0
    return known.index(False), known[::-1].index(False)


def first_token(tokenizer: Any) -> int:
    """What stands before a text of which nothing is given: the beginning of text, else its end. Raises UserError for a
    tokenizer that has neither."""
    for token in (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id):
        if token is not None:
            return int(token)
    raise UserError("the tokenizer has no token for the beginning or the end of a text, which continuations need")


def load_model(name: str, dtype: str, quantise: str) -> Any:
    """Raises UserError for a name that cannot be loaded or a model that does not fit, FileFormatError for weights that
    are damaged or incomplete."""
    options: dict[str, Any] = {"dtype": _DTYPES[dtype], "ignore_mismatched_sizes": True}  # the report below has them
    if quantise == "4bit":
        options["quantization_config"] = _four_bits(_DTYPES[dtype])
    try:
        with quiet():
            loaded: Any = AutoModelForCausalLM.from_pretrained(name, output_loading_info=True, **options)
            model, report = loaded
    except SafetensorError as error:
        raise FileFormatError(f"the weights of {name!r} cannot be read: {error}") from error
    except (OSError, ValueError) as error:
        raise UserError(
            f"no causal language model {name!r}: expected a local folder or a hub id (owner/name); {first_line(error)}"
        ) from error
    if missing := sorted([*report["missing_keys"], *(key for key, *_ in report["mismatched_keys"])]):
        raise FileFormatError(
            f"the weights of {name!r} do not fit its config.json: {missing[0]}, {len(missing)} in all"
        )
    readable = takes_positions(model) or model.config.model_type in _RELATIVE
    if not readable or "logits_to_keep" not in inspect.signature(model.forward).parameters:
        raise UserError(f"{type(model).__name__} ({name!r}) is no decoder that reads texts padded on the left")
    return model


def takes_positions(model: Any) -> bool:
    """Whether the positions of tokens are an argument."""
    return "position_ids" in inspect.signature(model.forward).parameters


def vocabulary_size(model: Any) -> int:
    """How many tokens the output layer knows."""
    layer = output_layer(model)
    assert layer is not None
    return in_out(layer)[1]


def _four_bits(compute: torch.dtype) -> Any:
    try:
        import bitsandbytes  # noqa: F401
    except ImportError as error:
        raise UserError("quantise = '4bit' needs bitsandbytes: pip install 'lora-ensemble[quant]'") from error
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=compute)

"""Sequence classifiers of transformers and their tokenizers, from the hub or from a local folder."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from lora_ensemble.conversions.quiet import quiet
from lora_ensemble.engine.surgery import find_head
from lora_ensemble.errors import FileFormatError, UserError, first_line

POOLERS = ("pooler", "pre_classifier", "classifier", "score", "head", "dense")
"""Parts of a classifier that an encoder without a task lacks, and that are drawn anew."""

_ENDLESS = 1 << 20  # tokens: tokenizers without a limit say 10 ** 30


def load_tokenizer(name: str) -> Any:
    """With a padding token, the end of text where it has none of its own. Raises UserError for a name without one."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise UserError(
            f"no tokenizer of {name!r}: expected a local folder or a hub id (owner/name); {first_line(error)}"
        ) from error
    tokenizer.padding_side = "right"
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    if tokenizer.pad_token_id is None:
        raise UserError(f"the tokenizer of {name!r} has no token to pad with")
    return tokenizer


def load_model(name: str, num_classes: int, padding: int) -> tuple[Any, bool]:
    """The model in fp32, and whether its head is a pretrained one.

    padding: the padding token, which decoders need to find the last token of a text. Raises UserError for a name that
    cannot be loaded, FileFormatError for weights that do not fit.
    """
    try:
        with quiet():
            loaded: Any = AutoModelForSequenceClassification.from_pretrained(
                name,
                num_labels=num_classes,
                ignore_mismatched_sizes=True,
                dtype=torch.float32,
                output_loading_info=True,
            )
            model, report = loaded
    except SafetensorError as error:
        raise FileFormatError(f"the weights of {name!r} cannot be read: {error}") from error
    except (OSError, ValueError) as error:
        raise UserError(
            f"no text classifier {name!r}: expected a local folder or a hub id (owner/name); {first_line(error)}"
        ) from error
    drawn = {*report["missing_keys"], *(key for key, *_ in report["mismatched_keys"])}
    if wrong := sorted(key for key in drawn if not any(part in POOLERS for part in key.split("."))):
        raise FileFormatError(f"the weights of {name!r} do not fit its config.json: {wrong[0]}, {len(wrong)} in all")
    model.config.problem_type = "single_label_classification"
    if getattr(model.config, "pad_token_id", None) is None:
        model.config.pad_token_id = padding
    head = find_head(model)
    return model, not any(key.startswith(f"{head}.") for key in drawn)


def arguments(model: Any) -> tuple[str, ...]:
    """What of a tokenizer's output the model takes."""
    known = inspect.signature(model.forward).parameters
    return tuple(name for name in ("input_ids", "attention_mask", "token_type_ids") if name in known)


def limit(tokenizer: Any, model: Any, wanted: int | None) -> int | None:
    """Most tokens of a text: as many as the model can read, or fewer where wanted; None for any number."""
    places = getattr(model.config, "max_position_embeddings", None)
    if places is not None and model.config.model_type in _OFFSET:
        places -= (model.config.pad_token_id or 0) + 1
    known = [n for n in (tokenizer.model_max_length, places, wanted) if n is not None and 0 < n < _ENDLESS]
    return min(known, default=None)


_OFFSET = (
    "roberta",
    "xlm-roberta",
    "camembert",
    "mpnet",
    "longformer",
    "xlm-roberta-xl",
    "roberta-prelayernorm",
    "esm",
)
"""Models whose positions are counted from behind the padding token's on."""

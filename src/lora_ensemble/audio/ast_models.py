"""Audio Spectrogram Transformers from their two kinds of checkpoints: of images, and of AudioSet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import ASTConfig, ASTForAudioClassification

from lora_ensemble.conversions.ast_imagenet import Shape, ast_config, ast_state, renamed
from lora_ensemble.conversions.ast_positions import fitted
from lora_ensemble.conversions.quiet import quiet
from lora_ensemble.conversions.torchvision import read_pickle
from lora_ensemble.engine.saving import read_tensors
from lora_ensemble.errors import FileFormatError, UserError, first_line

HEAD = "classifier"
_FILES = ("model.safetensors", "pytorch_model.bin")
_WRAPPERS = ("model", "state_dict")


def converted(
    state: Mapping[str, Tensor], num_labels: int, shape: Shape, num_heads: int | None = None
) -> ASTForAudioClassification:
    """See `backbones.ast.from_imagenet`."""
    found = renamed(state)
    sizes, tensors = ast_config(found, shape, num_heads), ast_state(found, shape)
    config = ASTConfig(**sizes | {"num_labels": num_labels})
    if config.hidden_size % config.num_attention_heads:
        raise FileFormatError(f"width {config.hidden_size} does not divide by {config.num_attention_heads} heads")
    model = ASTForAudioClassification(config)
    own = model.state_dict()
    missing = sorted(name for name in own.keys() - tensors.keys() if not name.startswith(f"{HEAD}."))
    wrong = sorted(n for n, t in tensors.items() if n not in own or t.shape != own[n].shape)
    if missing or wrong:
        raise FileFormatError(f"no whole ViT or DeiT: {(missing + wrong)[0]} is missing or of a wrong shape")
    model.load_state_dict(tensors, strict=False)
    model.eval()
    return model


def pretrained(name: str, num_labels: int, shape: Shape) -> tuple[ASTForAudioClassification, bool]:
    """An AST from the hub or a local folder, its positions fitted to the spectrograms, and whether its head is the
    pretrained one. A head with another number of labels is drawn anew, and its layer norm becomes the identity.

    Raises UserError for a name that cannot be loaded, FileFormatError for weights that do not fit."""
    try:
        with quiet():
            loaded: Any = ASTForAudioClassification.from_pretrained(
                name,
                num_labels=num_labels,
                ignore_mismatched_sizes=True,
                dtype=torch.float32,
                attn_implementation="sdpa",
                output_loading_info=True,
            )
    except SafetensorError as error:
        raise FileFormatError(f"the weights of {name!r} cannot be read: {first_line(error)}") from error
    except (OSError, ValueError) as error:
        raise UserError(
            f"no Audio Spectrogram Transformer {name!r}: expected a local folder or a hub id (owner/name); "
            f"{first_line(error)}"
        ) from error
    model, report = loaded
    drawn = {*report["missing_keys"], *(key for key, *_ in report["mismatched_keys"])}
    if wrong := sorted(key for key in drawn if not key.startswith(f"{HEAD}.")):
        raise FileFormatError(f"the weights of {name!r} are no whole AST: {wrong[0]}, {len(wrong)} in all")
    if drawn:
        model.classifier.layernorm.reset_parameters()
    refit(model, shape)
    return model.eval(), not drawn


@torch.no_grad()
def refit(model: ASTForAudioClassification, shape: Shape) -> None:
    """Make a model listen to spectrograms of another shape, in place."""
    c: Any = model.config
    here = Shape(c.max_length, c.num_mel_bins, c.frequency_stride, c.time_stride)
    if here == shape:
        return
    embeddings: Any = model.audio_spectrogram_transformer.embeddings
    old = here.grid(c.patch_size)
    tokens, of_patches = embeddings.position_embeddings[0].split([2, old[0] * old[1]])
    new = fitted(of_patches.unflatten(0, old), *shape.grid(c.patch_size)).flatten(0, 1)
    embeddings.position_embeddings = nn.Parameter(torch.cat([tokens, new])[None])
    embeddings.patch_embeddings.projection.stride = (shape.frequency_stride, shape.time_stride)
    c.max_length, c.num_mel_bins, c.frequency_stride, c.time_stride = shape


def read_weights(weights: str) -> dict[str, Tensor]:
    """The state dict in a local file (.safetensors, or what torch.save wrote), a folder with one, or a hub repository.

    Raises UserError for what does not exist, FileFormatError for what holds no state dict."""
    path = Path(weights)
    if path.is_dir():
        found = [path / name for name in _FILES if (path / name).is_file()]
        if not found:
            raise UserError(f"backbone.weights = {weights!r}: the folder has no {' and no '.join(_FILES)}")
        path = found[0]
    elif not path.is_file():
        path = _from_hub(weights)
    if path.suffix == ".safetensors":
        return read_tensors(path)
    state = read_pickle(path)
    for wrapper in _WRAPPERS:
        if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
            state = state[wrapper]
    if not isinstance(state, dict) or not all(isinstance(t, Tensor) for t in state.values()):
        raise FileFormatError(f"{path} holds no state dict")
    return state


def _from_hub(weights: str) -> Path:
    if (
        weights.count("/") != 1
        or weights.startswith((".", "/", "~"))
        or Path(weights).suffix in (".bin", ".pth", ".pt")
    ):
        raise UserError(f"backbone.weights = {weights!r}: neither a file, nor a folder, nor a hub id (owner/name)")
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError

    for name in _FILES:
        try:
            return Path(hf_hub_download(weights, name))
        except LocalEntryNotFoundError as error:
            raise UserError(f"{weights} is no local file, and the hub did not give it: {first_line(error)}") from error
        except EntryNotFoundError:
            continue
        except (HfHubHTTPError, OSError) as error:
            raise UserError(f"{weights} is no local file, and the hub did not give it: {first_line(error)}") from error
    raise UserError(f"the hub repository {weights} has no {' and no '.join(_FILES)}")

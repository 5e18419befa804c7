"""Audio Spectrogram Transformers: pretrained on AudioSet, or made from the ImageNet weights of a ViT or DeiT."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal, Self

from lora_ensemble.contracts import Backbone, LoadedBackbone, Split
from lora_ensemble.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import ASTForAudioClassification

    from lora_ensemble.audio.inputs import SpectrogramInputs

AUDIOSET = "MIT/ast-finetuned-audioset-10-10-0.4593"

_EMBEDDINGS = "audio_spectrogram_transformer.embeddings"


@dataclass(frozen=True)
class Ast(Backbone):
    """transformers' ASTForAudioClassification (Gong et al., arXiv 2104.01778) on log-mel filter banks.

    The defaults are those of the experiments on ESC-50 in LoRA-Ensemble (arXiv 2405.14438), which start from weights =
    "timm/deit_base_distilled_patch16_384.fb_in1k", with fused_qkv, and head_norm = "shared"."""

    modality = "audio"

    name: str = AUDIOSET
    """Hub id or local folder of a transformers model pretrained on AudioSet; used where there are no `weights`."""
    weights: str | None = None
    """ImageNet weights to start from: a ViT or DeiT of timm or transformers, as a file, a folder or a hub id."""
    frames: int = 512
    """Length of the spectrogram; a frame is 10 ms. What is longer is cut off, what is shorter filled with zeros."""
    bins: int = 128
    """Mel bands of the spectrogram."""
    frequency_stride: int = 10
    """Bands from one patch to the next."""
    time_stride: int = 10
    """Frames from one patch to the next."""
    normalisation: Literal["given", "training"] = "given"
    """Spectrograms become (x - mean) / (2 std), with `mean` and `std`, or those of the training split."""
    mean: float = -6.6268077
    """Mean of the spectrograms. The default is that of ESC-50."""
    std: float = 5.358466
    """Standard deviation of the spectrograms. The default is that of ESC-50."""
    head_norm: Literal["member", "shared"] = "member"
    """The layer norm before the head: each member's own, or one for all members of a LoRA ensemble, as published."""
    fused_qkv: bool = False
    """Query, key and value in one linear layer: with method.fused_qkv = "joint", one low-rank pair, as published."""
    train_patch_embedding: bool = False
    """Train the patch embedding of a LoRA ensemble, too, one for all members. Other methods train everything."""
    train_position_embedding: bool = False
    """Train the position embedding of a LoRA ensemble, too, one for all members. Other methods train everything."""

    def problems(self) -> list[str]:
        found = [
            f"backbone.{name} = {getattr(self, name)}: must be at least 1"
            for name in ("frames", "bins", "frequency_stride", "time_stride")
            if getattr(self, name) < 1
        ]
        if self.std <= 0:
            found.append(f"backbone.std = {self.std}: must be above 0")
        if self.weights is not None and self.name != AUDIOSET:
            found.append(f"backbone.name = {self.name!r}: is not used where there are weights = {self.weights!r}")
        return found

    def fitted(self, split: Split) -> Self:
        """With the mean and standard deviation of all values of the split's spectrograms, where asked for."""
        if self.normalisation == "given":
            return self
        mean, std = self.inputs().statistics(split.examples)
        return dataclasses.replace(self, normalisation="given", mean=mean, std=std)

    def load(self, num_classes: int) -> LoadedBackbone:
        """The head of a checkpoint with `num_classes` labels is kept; a method may draw it anew.

        Raises UserError for a name or weights that cannot be loaded, FileFormatError for weights that do not fit."""
        if problems := self.problems():
            raise UserError(problems[0])
        if self.normalisation == "training":
            raise UserError("backbone.normalisation = 'training': load what fitted(training split) returns")
        return self.around(*self._model(num_classes), num_classes)

    def around(self, model: ASTForAudioClassification, own_head: bool, num_classes: int) -> LoadedBackbone:
        """What `load` returns, with a model that is in memory; attention is fused in place. own_head: whether its head
        is a pretrained one."""
        from lora_ensemble.audio.ast_attention import fuse

        if self.fused_qkv:
            fuse(model)
        shared = {
            "classifier.layernorm": self.head_norm == "shared",
            f"{_EMBEDDINGS}.patch_embeddings": self.train_patch_embedding,
            f"{_EMBEDDINGS}.position_embeddings": self.train_position_embedding,
        }
        inputs, fields = self.inputs(), asdict(self)
        if self.weights is not None:
            del fields["name"]  # it names no part of this model
        return LoadedBackbone(
            model=model,
            collate=inputs.collate,
            prepare=inputs.prepare,
            head="classifier.dense" if self.head_norm == "shared" else "classifier",
            own_head=own_head,
            also_trained=tuple(path for path, trained in shared.items() if trained),
            source=fields,
        )

    def inputs(self) -> SpectrogramInputs:
        """How sounds become the model's inputs."""
        from lora_ensemble.audio.inputs import SpectrogramInputs

        return SpectrogramInputs.of(self.frames, self.bins, self.mean, self.std)

    def _model(self, num_classes: int) -> tuple[ASTForAudioClassification, bool]:
        """The model, and whether its head is a pretrained one."""
        from lora_ensemble.audio.ast_models import converted, pretrained, read_weights
        from lora_ensemble.conversions.ast_imagenet import Shape

        shape = Shape(self.frames, self.bins, self.frequency_stride, self.time_stride)
        if self.weights is None:
            return pretrained(self.name, num_classes, shape)
        return converted(read_weights(self.weights), num_classes, shape), False


def from_imagenet(
    state_dict: Mapping[str, Tensor],
    num_labels: int,
    frames: int = 512,
    *,
    bins: int = 128,
    frequency_stride: int = 10,
    time_stride: int = 10,
    num_heads: int | None = None,
) -> ASTForAudioClassification:
    """An Audio Spectrogram Transformer with the weights of a vision transformer, in evaluation mode, with a new head.

    state_dict: of a ViT or a (distilled) DeiT of any size, with the names of timm or transformers; its heads are left
    out. The patch convolution is summed over the colours. Along each axis of the spectrogram, the position embedding is
    cut to its middle where there are fewer patches than in the image, and interpolated linearly where there are more. A
    ViT without a distillation token lends its class token, and the position of it. num_heads: attention heads, which no
    tensor tells; by default one for each 64 of the width, as in every published size up to ViT-L.

    Raises FileFormatError for a state dict that lacks a tensor, has one that an AST has no place for, or of a wrong
    shape.
    """
    from lora_ensemble.audio.ast_models import converted
    from lora_ensemble.conversions.ast_imagenet import Shape

    return converted(state_dict, num_labels, Shape(frames, bins, frequency_stride, time_stride), num_heads)

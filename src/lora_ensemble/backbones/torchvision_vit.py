"""torchvision's vision transformers (vit_b_16 to vit_h_14) in transformers' architecture, weight for weight."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lora_ensemble.contracts import Backbone, LoadedBackbone
from lora_ensemble.errors import FileFormatError

if TYPE_CHECKING:
    from torch import Tensor

    from lora_ensemble.images.inputs import ImageInputs

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class TorchvisionVit(Backbone):
    """The backbone of the image experiments of LoRA-Ensemble (arXiv 2405.14438), which use vit_b_32.

    Images are resized whole, without a crop, with antialiasing."""

    arch: Literal["vit_b_16", "vit_b_32", "vit_l_16", "vit_l_32", "vit_h_14"] = "vit_b_32"
    """torchvision's name of the architecture."""
    weights: str = "IMAGENET1K_V1"
    """torchvision's name of the weights (IMAGENET1K_V1, IMAGENET1K_SWAG_E2E_V1, ...), a local state dict, or random."""
    normalisation: Literal["imagenet", "none"] = "imagenet"
    """Subtract ImageNet's mean and divide by its standard deviation, as in pretraining, or only divide by 255."""

    def load(self, num_classes: int) -> LoadedBackbone:
        """A head that already has `num_classes` outputs is kept; a method may draw it anew.

        Raises UserError for weights that cannot be had, FileFormatError for a file that does not fit."""
        state = {} if self.weights == "random" else self.state()
        model = vit(state, num_classes) if state else self._random(num_classes)
        inputs = self.inputs(model.config.image_size)
        return LoadedBackbone(
            model=model,
            collate=inputs.collate,
            prepare=inputs.prepare,
            head="classifier",
            own_head=len(state.get("heads.head.weight", ())) == num_classes,
        )

    def state(self) -> dict[str, Tensor]:
        """torchvision's state dict."""
        from lora_ensemble.conversions.torchvision import check_architecture, published_weights, read_state

        if not Path(self.weights).is_file():
            return published_weights(self.arch, self.weights)
        state = read_state(Path(self.weights))
        check_architecture(state, self.arch)
        return state

    def inputs(self, image_size: int) -> ImageInputs:
        """How images of any size become square ones of `image_size` pixels."""
        from lora_ensemble.images.inputs import ImageInputs

        scaled = self.normalisation == "imagenet"
        return ImageInputs(
            size=(image_size, image_size),
            mean=IMAGENET_MEAN if scaled else (0.0,) * 3,
            std=IMAGENET_STD if scaled else (1.0,) * 3,
            interpolation="bicubic" if "SWAG" in self.weights else "bilinear",
        )

    def _random(self, num_classes: int) -> Any:
        from transformers import ViTConfig, ViTForImageClassification

        from lora_ensemble.conversions.torchvision import ARCHITECTURES

        arch = ARCHITECTURES[self.arch]
        config: dict[str, Any] = {
            "hidden_size": arch.width,
            "num_hidden_layers": arch.layers,
            "num_attention_heads": arch.heads,
            "intermediate_size": 4 * arch.width,
            "patch_size": arch.patch_size,
            "layer_norm_eps": 1e-6,
            "num_labels": num_classes,
        }
        return ViTForImageClassification(ViTConfig(**config)).eval()


def vit(state: Mapping[str, Tensor], num_classes: int, num_heads: int | None = None) -> Any:
    """transformers' ViTForImageClassification, in evaluation mode, with the weights of a torchvision state dict.

    A head of another number of classes, or none, is drawn anew. num_heads: see `interop.torchvision`. Raises
    FileFormatError for a state dict that lacks a tensor, has an unknown one, or one of a wrong shape.
    """
    import torch
    from transformers import ViTConfig, ViTForImageClassification

    from lora_ensemble.conversions.quiet import quiet
    from lora_ensemble.conversions.torchvision import HEAD, transformers_config, transformers_state

    config = ViTConfig(**{**transformers_config(state, num_heads), "num_labels": num_classes})
    tensors = transformers_state(state)
    head = tensors.get(f"{HEAD}.weight")
    if head is None or len(head) != num_classes:
        tensors = {name: t for name, t in tensors.items() if not name.startswith(f"{HEAD}.")}
    with quiet():
        loaded: Any = ViTForImageClassification.from_pretrained(
            None,
            config=config,
            state_dict=tensors,
            dtype=torch.float32,
            attn_implementation="sdpa",
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    model, report = loaded
    wrong = {*report["missing_keys"], *report["unexpected_keys"], *(key for key, *_ in report["mismatched_keys"])}
    if wrong := {key for key in wrong if not (key.startswith(f"{HEAD}.") and f"{HEAD}.weight" not in tensors)}:
        raise FileFormatError(
            f"no whole torchvision ViT: {min(wrong)} is missing or of a wrong shape ({len(wrong)} tensors in all)"
        )
    return model

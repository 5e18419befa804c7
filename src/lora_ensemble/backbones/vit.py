"""Any image classifier of transformers or timm, from the hub or from a local folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lora_ensemble.contracts import Backbone, LoadedBackbone
from lora_ensemble.errors import FileFormatError, UserError, did_you_mean, first_line

if TYPE_CHECKING:
    from torch import nn

    from lora_ensemble.images.inputs import ImageInputs


@dataclass(frozen=True)
class ViT(Backbone):
    """A ViT, or anything else that AutoModelForImageClassification or timm.create_model can load.

    Size, mean, standard deviation and interpolation of the images are the model's own. Images are resized whole,
    without a crop."""

    name: str = "google/vit-base-patch16-224-in21k"
    """Hub id or local folder of a transformers model, or `timm/` and an architecture: `timm/vit_tiny_patch16_224`."""
    weights: str | None = None
    """Local weights file, or a folder with model.safetensors, for a `timm/` architecture; unset: those of the hub."""

    image_size: int | None = None
    """Side of the images, in pixels, for a `timm/` architecture: position embeddings are interpolated, and the cost
    falls or grows with the number of patches. Unset: the size of the pretrained model."""

    def problems(self) -> list[str]:
        found = []
        if self.weights is not None and not self.name.startswith("timm/"):
            found.append(f"backbone.weights = {self.weights!r}: is for timm/ names only; {self.name!r} brings its own")
        if self.image_size is not None and not self.name.startswith("timm/"):
            found.append(f"backbone.image_size = {self.image_size}: is for timm/ names only, not {self.name!r}")
        if self.image_size is not None and self.image_size < 1:
            found.append(f"backbone.image_size = {self.image_size}: must be at least 1")
        return found

    def load(self, num_classes: int) -> LoadedBackbone:
        """A head that already has `num_classes` outputs is kept; a method may draw it anew.

        Raises UserError for a name that cannot be loaded, FileFormatError for weights that do not fit."""
        from lora_ensemble.engine.surgery import find_head

        if problems := self.problems():
            raise UserError(problems[0])
        if self.name.startswith("timm/"):
            model, inputs, own_head = self._timm(self.name.removeprefix("timm/"), num_classes)
        else:
            model, inputs, own_head = self._transformers(num_classes)
        return LoadedBackbone(
            model=model,
            collate=inputs.collate,
            prepare=inputs.prepare,
            head=find_head(model),
            own_head=own_head,
        )

    def _transformers(self, num_classes: int) -> tuple[nn.Module, ImageInputs, bool]:
        import torch
        from safetensors import SafetensorError
        from transformers import AutoModelForImageClassification

        from lora_ensemble.conversions.quiet import quiet
        from lora_ensemble.engine.surgery import find_head

        try:
            with quiet():
                model, report = AutoModelForImageClassification.from_pretrained(
                    self.name,
                    num_labels=num_classes,
                    ignore_mismatched_sizes=True,
                    dtype=torch.float32,
                    output_loading_info=True,
                )
        except SafetensorError as error:
            raise FileFormatError(f"the weights of {self.name!r} cannot be read: {error}") from error
        except (OSError, ValueError) as error:
            raise UserError(
                f"no image classifier {self.name!r}: expected a local folder, a hub id (owner/name) or "
                f"timm/architecture; {first_sentence(error)}"
            ) from error
        head = find_head(model)
        drawn = {*report["missing_keys"], *(key for key, *_ in report["mismatched_keys"])}
        if wrong := sorted(key for key in drawn if not key.startswith(f"{head}.")):
            raise FileFormatError(
                f"the weights of {self.name!r} do not fit its config.json: {wrong[0]}, {len(wrong)} in all"
            )
        return model, transformers_inputs(self.name, model.config), not drawn

    def _timm(self, architecture: str, num_classes: int) -> tuple[nn.Module, ImageInputs, bool]:
        try:
            import timm
        except ImportError as error:
            raise UserError(f"name = {self.name!r} needs timm: pip install 'lora-ensemble[vision]'") from error

        known = timm.list_models()
        if architecture.split(".")[0] not in known:
            hint = did_you_mean(self.name, [f"timm/{name}" for name in known])
            raise UserError(f"timm has no architecture {architecture!r}.{hint} timm.list_models() names all.")
        local = {} if self.weights is None else {"file": str(_weights_file(self.weights)), "custom_load": False}
        size: dict[str, Any] = {} if self.image_size is None else {"img_size": self.image_size}
        try:
            model = timm.create_model(
                architecture, pretrained=True, num_classes=num_classes, pretrained_cfg_overlay=local, **size
            )
        except TypeError as error:
            if self.image_size is None:
                raise
            wrong = f"backbone.image_size = {self.image_size}: {architecture!r} takes none ({first_sentence(error)})"
            raise UserError(wrong) from None
        except Exception as error:
            where = self.weights or "the hub"
            raise FileFormatError(f"weights of {architecture!r} from {where}: {first_sentence(error)}") from error
        pretrained: Any = model.pretrained_cfg
        return model, timm_inputs(model, self.image_size), pretrained.get("num_classes") == num_classes


def transformers_inputs(name: str, config: Any) -> ImageInputs:
    """What the model's preprocessor_config.json says. Without one (which is warned of): the configuration's image size,
    and 0.5 as mean and standard deviation."""
    import warnings

    from transformers import AutoImageProcessor

    from lora_ensemble.images.inputs import ImageInputs

    channels = getattr(config, "num_channels", 3)
    try:
        processor = AutoImageProcessor.from_pretrained(name)
    except (OSError, ValueError):
        warnings.warn(f"{name} has no preprocessor_config.json: images are normalised by 0.5, 0.5", stacklevel=2)
        side = config.image_size
        size = (side, side) if isinstance(side, int) else tuple(side)
        return ImageInputs(size=size, mean=(0.5,) * channels, std=(0.5,) * channels)
    side = getattr(processor, "crop_size", None) or processor.size
    square = side.get("shortest_edge")
    scaled = processor.do_normalize
    return ImageInputs(
        size=(square, square) if square else (side["height"], side["width"]),
        mean=tuple(processor.image_mean)[:channels] if scaled else (0.0,) * channels,
        std=tuple(processor.image_std)[:channels] if scaled else (1.0,) * channels,
        interpolation="bicubic" if processor.resample == 3 else "bilinear",  # PIL.Image.Resampling
    )


def timm_inputs(model: nn.Module, side: int | None = None) -> ImageInputs:
    """What timm's data configuration of the model says; side: of the images, in pixels, where it is another one."""
    import inspect

    from timm.data.config import resolve_model_data_config

    from lora_ensemble.images.inputs import ImageInputs

    data = resolve_model_data_config(model)
    return ImageInputs(
        size=data["input_size"][1:] if side is None else (side, side),
        mean=data["mean"],
        std=data["std"],
        interpolation="bicubic" if data["interpolation"] == "bicubic" else "bilinear",
        argument=next(iter(inspect.signature(model.forward).parameters)),
    )


def first_sentence(error: Exception) -> str:
    """Of a foreign library's message, which may go on with advice that is not ours."""
    return first_line(error).split(". ")[0].rstrip(".")


def _weights_file(path: str) -> Path:
    file = Path(path) / "model.safetensors" if Path(path).is_dir() else Path(path)
    if not file.is_file():
        raise FileFormatError(f"weights = {path!r}: no such file, and no folder with a model.safetensors")
    return file

"""LoRA ensemble: one frozen backbone, a low-rank update of the attention and a head per member, trained at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from lora_ensemble.contracts import LoadedBackbone, Method

if TYPE_CHECKING:
    from lora_ensemble.engine.ensemble import Ensemble
    from lora_ensemble.training.options import Training


@dataclass(frozen=True)
class Lora(Method):
    """See LoraEnsembleConfig for what each field does to the model."""

    first_member: int = 0
    """Index of the first member within a larger ensemble."""
    r: int = 8
    """Rank of the updates."""
    lora_alpha: float | None = None
    """Scale of the updates: alpha / r. Default: r, which is scale 1."""
    use_rslora: bool = False
    """Scale by alpha / sqrt(r) instead."""
    lora_dropout: float = 0.0
    """Dropout before A, in training."""
    target_modules: tuple[str, ...] | None = None
    """Names of the layers to adapt. Default: query, key, value and output projection of every attention layer."""
    layers_to_transform: tuple[int, ...] | None = None
    """Numbers of the blocks to adapt. Default: all. Everything below the first of them runs once for all members."""
    last: int | None = None
    """Adapt the last so many blocks, in place of their numbers."""
    read_rows: bool | None = None
    """Run the last block at the positions alone that the head reads: less work, the same numbers up to rounding."""
    init_a: Literal["kaiming", "xavier", "gaussian"] = "kaiming"
    """Start of A: kaiming (PEFT's default), xavier or gaussian."""
    init_gain: float = 1.0
    """Gain of xavier."""
    init_std: float = 0.02
    """Standard deviation of gaussian."""
    init_mean: float | None = None
    """Mean of gaussian. Default: 0."""
    head_init: Literal["default", "gaussian", "xavier", "kaiming", "copy"] = "default"
    """Start of the heads: default (torch's, redrawn per member), gaussian, xavier, kaiming or copy."""
    head_gain: float = 1.0
    """Gain of xavier for the heads."""
    head_std: float = 0.02
    """Standard deviation of gaussian for the heads."""
    head_mean: float | None = None
    """Mean of gaussian for the heads. Default: 0."""
    fused_qkv: Literal["separate", "joint"] = "separate"
    """A fused projection gets one low-rank pair each for q, k and v (separate), or one for all (joint)."""
    lora_l2: float = 0.0
    """Weight of the sum of ||B A||_F^2 over the adapted layers in each member's loss."""
    repulsion: float | None = None
    """Weight of a term that drives members' answers to a batch apart (function space, arXiv 2106.11642). Default: none.
    All members run in one pass and see the same batches."""
    bandwidth: float | None = None
    """Of the repulsion's kernel, a squared distance of logits. Default: by the median, anew in each batch."""

    def build(self, backbone: LoadedBackbone, seed: int) -> Ensemble:
        from lora_ensemble.engine.config import LoraEnsembleConfig
        from lora_ensemble.engine.lora import LoraEnsemble

        config = LoraEnsembleConfig(**self.config_fields(backbone), seed=seed)
        return LoraEnsemble(backbone.model, config)

    def config_fields(self, backbone: LoadedBackbone) -> dict[str, Any]:
        """The arguments of LoraEnsembleConfig."""
        return {
            "members": self.members,
            "first_member": self.first_member,
            "r": self.r,
            "lora_alpha": self.r if self.lora_alpha is None else self.lora_alpha,
            "use_rslora": self.use_rslora,
            "lora_dropout": self.lora_dropout,
            "target_modules": names_of_targets(backbone, self.target_modules),
            "layers_to_transform": self._layers(backbone),
            "modules_to_save": [] if backbone.head is None else [backbone.head],
            "init_a": self.init_a,
            "init_gain": self.init_gain,
            "init_std": self.init_std,
            "init_mean": self.init_mean or 0.0,
            "head_init": self.head_init,
            "head_gain": self.head_gain,
            "head_std": self.head_std,
            "head_mean": self.head_mean or 0.0,
            "fused_qkv": self.fused_qkv,
            "also_trained": list(backbone.also_trained) or None,
            "lora_l2": self.lora_l2,
            "read_rows": bool(self.read_rows),
            "repulsion": self.repulsion,
            "bandwidth": self.bandwidth,
        }

    def _layers(self, backbone: LoadedBackbone) -> list[int] | None:
        """Numbers of the blocks to adapt. Raises ConfigurationError for more of them than there are."""
        from lora_ensemble.engine.surgery import attention_projections, blocks
        from lora_ensemble.engine.wrapping import unwrapped
        from lora_ensemble.errors import ConfigurationError

        if self.last is None:
            return None if self.layers_to_transform is None else list(self.layers_to_transform)
        plain = unwrapped(backbone.model)
        depth = len(blocks(plain, attention_projections(plain)))
        if self.last > depth:
            raise ConfigurationError([f"method.last = {self.last}: the backbone has {depth} blocks"])
        return list(range(depth - self.last, depth))

    def problems(self) -> list[str]:
        found = super().problems()
        if self.r < 1:
            found.append(f"method.r = {self.r}: must be at least 1")
        if not 0 <= self.lora_dropout < 1:
            found.append(f"method.lora_dropout = {self.lora_dropout}: must be at least 0 and below 1")
        if not 0 <= self.lora_l2 < float("inf"):
            found.append(f"method.lora_l2 = {self.lora_l2}: must be a number of at least 0")
        if self.last is not None and self.last < 1:
            found.append(f"method.last = {self.last}: must be at least 1")
        if self.last is not None and self.layers_to_transform is not None:
            found.append(f"method.last = {self.last}: method.layers_to_transform names the blocks already")
        if self.first_member < 0:
            found.append(f"method.first_member = {self.first_member}: must be at least 0")
        if self.repulsion is not None and not 0 <= self.repulsion < float("inf"):
            found.append(f"method.repulsion = {self.repulsion}: must be a number of at least 0")
        if self.repulsion and self.members < 2:
            found.append(f"method.repulsion = {self.repulsion}: needs at least 2 members, there is {self.members}")
        if self.bandwidth is not None and not (self.repulsion and 0 < self.bandwidth < float("inf")):
            found.append(f"method.bandwidth = {self.bandwidth}: must be above 0, and needs method.repulsion")
        return found

    def training_problems(self, training: Training) -> list[str]:
        found = super().training_problems(training)
        if self.repulsion and (training.members_per_pass or self.members) < self.members:
            found.append(f"training.members_per_pass = {training.members_per_pass}: method.repulsion needs all at once")
        if self.repulsion and training.data_order == "independent":
            found.append("training.data_order = 'independent': method.repulsion compares answers to the same batch")
        return found


def names_of_targets(backbone: LoadedBackbone, given: tuple[str, ...] | None) -> list[str] | None:
    """Names of the layers to adapt: those given, else the backbone's; None: found by themselves."""
    from lora_ensemble.engine.targets import short_names
    from lora_ensemble.engine.wrapping import unwrapped

    return list(given or short_names(unwrapped(backbone.model), backbone.targets)) or None

"""Last-layer ensemble: a head per member on one network, which is frozen or adapted once for all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from lora_ensemble.contracts import LoadedBackbone
from lora_ensemble.errors import ConfigurationError
from lora_ensemble.methods.lora import Lora

if TYPE_CHECKING:
    from lora_ensemble.engine.ensemble import Ensemble


@dataclass(frozen=True)
class LastLayer(Lora):
    """network: frozen uses the fields of members and heads alone; those of updates (r, lora_alpha ...) need adapted."""

    network: Literal["frozen", "adapted"] = "frozen"
    """The pretrained network as it is, or with one low-rank update that all heads share and train."""

    def build(self, backbone: LoadedBackbone, seed: int) -> Ensemble:
        if backbone.head is None:
            raise ConfigurationError(
                ["method last-layer: this backbone has no head that members could have of their own; take lora"]
            )
        return super().build(backbone, seed)

    def config_fields(self, backbone: LoadedBackbone) -> dict[str, Any]:
        adapter = "none" if self.network == "frozen" else "shared-lora"
        return {**super().config_fields(backbone), "adapter": adapter}

    def problems(self) -> list[str]:
        found = super().problems()
        if self.network == "frozen":
            found += [
                f"method.{name} = {getattr(self, name)}: needs method.network = 'adapted'"
                for name in ("lora_l2", "lora_dropout", "target_modules", "layers_to_transform", "last")
                if getattr(self, name)
            ]
        elif self.first_member:
            found.append(
                f"method.first_member = {self.first_member}: heads that train one update together are no part of a "
                "larger ensemble; needs method.network = 'frozen'"
            )
        return found

"""Zero-shot: the pretrained model as it is, nothing trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lora_ensemble.contracts import LoadedBackbone, Method
from lora_ensemble.errors import ConfigurationError

if TYPE_CHECKING:
    from lora_ensemble.engine.ensemble import Ensemble


@dataclass(frozen=True)
class ZeroShot(Method):
    """For language models, which answer with their own output layer, and for classifiers that were trained on the same
    classes. `train` is done at once."""

    members: int = 1
    """Always 1."""

    def build(self, backbone: LoadedBackbone, seed: int) -> Ensemble:
        from lora_ensemble.engine.pretrained import PretrainedEnsemble

        if backbone.head is not None and not backbone.own_head:
            raise ConfigurationError(
                [
                    f"method zero-shot: the head {backbone.head!r} of this backbone would be random, for it was not "
                    "pretrained on these classes; train it (lora, single), or take a language model"
                ]
            )
        return PretrainedEnsemble(backbone.model)

    def problems(self) -> list[str]:
        found = super().problems()
        if self.members > 1:
            found.append(f"method.members = {self.members}: zero-shot has one, the others would be the same")
        return found

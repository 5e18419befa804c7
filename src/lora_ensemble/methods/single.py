"""Single network: the pretrained network with a new head, all weights trained. The baseline."""

from __future__ import annotations

from dataclasses import dataclass

from lora_ensemble.methods.deep import Deep


@dataclass(frozen=True)
class Single(Deep):
    """An explicit ensemble of one member."""

    members: int = 1
    """Always 1."""

    def problems(self) -> list[str]:
        found = super().problems()
        return found if self.members == 1 else [*found, f"method.members = {self.members}: single has one; use deep"]

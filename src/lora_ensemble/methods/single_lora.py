"""Single network with LoRA: one member of a LoRA ensemble."""

from __future__ import annotations

from dataclasses import dataclass

from lora_ensemble.methods.lora import Lora


@dataclass(frozen=True)
class SingleLora(Lora):
    """A LoRA ensemble of one member."""

    members: int = 1
    """Always 1."""

    def problems(self) -> list[str]:
        found = super().problems()
        return (
            found if self.members == 1 else [*found, f"method.members = {self.members}: single-lora has one; use lora"]
        )

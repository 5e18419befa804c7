"""PretrainedEnsemble: one pretrained network as it is, an ensemble of one member that nothing trains."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from torch import nn

from lora_ensemble.engine.fingerprint import fingerprint
from lora_ensemble.engine.networks import NetworkEnsemble
from lora_ensemble.engine.saving import saving, write_manifest
from lora_ensemble.engine.wrapping import unwrapped


class PretrainedEnsemble(NetworkEnsemble):
    """Saved as a manifest without weights: the backbone has them all."""

    kind = "pretrained"

    def __init__(self, network: nn.Module, method: str = "zero-shot"):
        super().__init__([network.requires_grad_(False)], method=method)

    def fingerprint(self) -> dict[str, Any] | None:
        return fingerprint(unwrapped(self.networks[0]).state_dict())

    def save_pretrained(self, folder: str | Path) -> None:
        """A manifest, which says which backbone it is."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        with saving(Path(folder), []):
            write_manifest(self, Path(folder), [], {})

    @classmethod
    def load(cls, model: nn.Module, folder: Path, manifest: dict[str, Any]) -> Self:
        """From a saved folder; see Ensemble.from_pretrained."""
        return cls(model, manifest["method"])

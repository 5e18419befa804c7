"""SnapshotEnsemble: one network under a cyclic learning rate; its weights at the end of each cycle are the members.

Source: Huang et al., "Snapshot Ensembles: Train 1, Get M for Free", ICLR 2017.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from lora_ensemble.engine.ensemble import Ensemble
from lora_ensemble.engine.folding import run_apart
from lora_ensemble.engine.networks import load_networks, save_networks
from lora_ensemble.errors import ConfigurationError


class SnapshotEnsemble(Ensemble):
    """In training it is one network; in evaluation, the snapshots taken so far. `taken` counts them."""

    kind = method = "snapshot"
    taken: Tensor

    def __init__(self, network: nn.Module, members: int):
        super().__init__(members)
        self.network = network
        self.snapshots = nn.ModuleList(copy.deepcopy(network).requires_grad_(False) for _ in range(members))
        self.register_buffer("taken", torch.tensor(0))

    def called_model(self) -> nn.Module:
        return self.network

    def trained_members(self) -> range:
        return range(1)

    def member_logits(self, members: range, inputs: dict[str, Any], shared: bool) -> Tensor:
        if self.training:
            return run_apart([self.network], inputs, shared)
        if members.stop > int(self.taken):
            raise ConfigurationError(
                [f"{int(self.taken)} of {self.members} snapshots were taken: train to the end of the last cycle first"]
            )
        return run_apart([self.snapshots[m] for m in members], inputs, shared)

    def member_gradients(self) -> Iterable[tuple[range, list[Tensor]]]:
        yield range(1), [p.grad[None] for p in self.network.parameters() if p.grad is not None]

    def on_cycle_end(self, cycle: int) -> None:
        """Take snapshot number `cycle`."""
        self.snapshots[cycle].load_state_dict(self.network.state_dict())
        self.taken.fill_(cycle + 1)

    def member(self, m: int) -> nn.Module:
        """Snapshot m, a plain network."""
        return self.snapshots[m]

    def trainable_state(self) -> dict[str, Tensor]:
        return self.state_dict()

    def gradient_checkpointing_enable(self, gradient_checkpointing_kwargs: dict[str, Any] | None = None) -> None:
        from lora_ensemble.engine.checkpointing import checkpoint_blocks

        checkpoint_blocks(self.network)

    def save_pretrained(self, folder: str | Path) -> None:
        """A manifest and one folder with all weights per snapshot."""
        save_networks(self, Path(folder), list(self.snapshots)[: int(self.taken)], {"taken": int(self.taken)})

    @classmethod
    def load(cls, model: nn.Module, folder: Path, manifest: dict[str, Any]) -> Self:
        """From a saved folder; see Ensemble.from_pretrained."""
        ensemble = cls(model, manifest["members"])
        load_networks(list(ensemble.snapshots)[: manifest["config"]["taken"]], folder, manifest)
        ensemble.taken.fill_(manifest["config"]["taken"])
        return ensemble

"""DropoutEnsemble: Monte Carlo dropout. One network whose dropout stays on at prediction; every pass is a member.

DropKey drops attention keys (see `dropkey`), as arXiv 2405.14438 does; ordinary dropout is Gal & Ghahramani, ICML 2016.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from torch import Tensor, nn

from lora_ensemble.engine import surgery
from lora_ensemble.engine.dropkey import use_dropkey
from lora_ensemble.engine.ensemble import Ensemble
from lora_ensemble.engine.folding import batch_size, fold, unfold
from lora_ensemble.engine.initialisation import Start, member_generator
from lora_ensemble.engine.layers.member import MemberLayer
from lora_ensemble.engine.layers.passes import Pass, PassState
from lora_ensemble.engine.layers.per_member import per_member
from lora_ensemble.engine.networks import load_networks, save_networks
from lora_ensemble.errors import NoMatchError

_DEFAULT = Start()


class DropoutEnsemble(Ensemble):
    """M stochastic passes of one network, all in one batch.

    p: probability of dropping. dropout: "dropkey" or "dropout". member_heads: path of a head of which every member gets
    one, trained on a pass of its own; None: all share the network's, and a training step runs one pass.
    """

    kind, method = "dropout", "mc-dropout"

    def __init__(
        self,
        network: nn.Module,
        members: int,
        *,
        p: float,
        dropout: str = "dropkey",
        member_heads: str | None = None,
    ):
        super().__init__(members)
        self.options = {"p": p, "dropout": dropout, "member_heads": member_heads}
        self.state = PassState(members if member_heads else 1)
        if member_heads:
            head = per_member(surgery.get(network, member_heads), self.state, members)
            surgery.replace(network, member_heads, head)
        if dropout == "dropkey":
            use_dropkey(network, p)
        else:
            use_dropout(network, p)
        self.network = network

    def called_model(self) -> nn.Module:
        return self.network

    def draw_heads(self, seed: int, start: Start = _DEFAULT) -> None:
        """Draw each member's head from the generator of (seed, member)."""
        for name, layer in self.network.named_modules():
            if isinstance(layer, MemberLayer):
                for m in range(self.members):
                    layer.draw(m, member_generator(seed, m, name), start)

    def trained_members(self) -> range:
        return range(self.members if self.options["member_heads"] else 1)

    def member_logits(self, members: range, inputs: dict[str, Any], shared: bool) -> Tensor:
        inputs, rows = fold(inputs, len(members)) if shared else (inputs, batch_size(inputs))
        if not self.options["member_heads"]:
            return unfold(self.network(**inputs), len(members), rows)
        with self.state.running(Pass(members, rows, shared)):
            return unfold(self.network(**inputs), len(members), rows)

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        if not mode and self.options["dropout"] == "dropout":
            for module in self.network.modules():
                if isinstance(module, nn.Dropout):
                    module.train()
        return self

    def gradient_checkpointing_enable(self, gradient_checkpointing_kwargs: dict[str, Any] | None = None) -> None:
        from lora_ensemble.engine.checkpointing import checkpoint_blocks

        checkpoint_blocks(self.network, self.state)

    def save_pretrained(self, folder: str | Path) -> None:
        """A manifest and one folder with all weights."""
        save_networks(self, Path(folder), [self.network], self.options)

    @classmethod
    def load(cls, model: nn.Module, folder: Path, manifest: dict[str, Any]) -> Self:
        """From a saved folder; see Ensemble.from_pretrained."""
        ensemble = cls(model, manifest["members"], **manifest["config"])
        load_networks([ensemble.network], folder, manifest)
        return ensemble


def use_dropout(network: nn.Module, p: float) -> None:
    """Set every dropout layer of the network to p. Raises NoMatchError where there is none."""
    layers = [m for m in network.modules() if isinstance(m, nn.Dropout)]
    if not layers:
        raise NoMatchError("the model has no torch.nn.Dropout layer; use dropout = 'dropkey'")
    for layer in layers:
        layer.p = p

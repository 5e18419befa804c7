"""HydraEnsemble: one network with a LoRA update and M heads. Its members cost one forward pass together.

Source: Tran et al., "Hydra: Preserving Ensemble Diversity for Model Distillation", arXiv 2001.04694.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from torch import Tensor, nn

from lora_ensemble.engine import surgery
from lora_ensemble.engine.adapters import load_members, save_adapters
from lora_ensemble.engine.config import LoraEnsembleConfig
from lora_ensemble.engine.ensemble import Ensemble
from lora_ensemble.engine.lora import LoraEnsemble
from lora_ensemble.engine.saving import member_folder, write_manifest
from lora_ensemble.engine.wrapping import unwrapped
from lora_ensemble.errors import ConfigurationError


class HydraEnsemble(Ensemble):
    """M heads over one network, which is rewritten in place. On disk it is one adapter with a head of M * C outputs.

    head: path of the head, whose last linear layer is widened. config: of the network's LoRA update, one member.
    """

    kind = method = "hydra"

    def __init__(self, model: nn.Module, members: int, head: str, config: LoraEnsembleConfig):
        super().__init__(members)
        if config.members != 1:
            raise ConfigurationError([f"members = {config.members}: the heads share one update"])
        self.head = head
        with surgery.unchanged_on_error(model):
            _widen(unwrapped(model), head, members)
            self.body = LoraEnsemble(model, config)

    def member_logits(self, members: range, inputs: dict[str, Any], shared: bool) -> Tensor:
        logits_BMC = self.body.member_logits(range(1), inputs, True)[0].unflatten(-1, (self.members, -1))
        if shared:
            logits_MBC: Tensor = logits_BMC.transpose(0, 1)[members.start : members.stop]
            return logits_MBC
        every = logits_BMC.unflatten(0, (len(members), -1))[:, :, members.start : members.stop]
        own_MBC: Tensor = every.diagonal(dim1=0, dim2=2).movedim(-1, 0)
        return own_MBC

    def called_model(self) -> nn.Module:
        return self.body.called_model()

    def penalty_M(self, members: range) -> Tensor | None:
        of_body = self.body.penalty_M(range(1))
        return None if of_body is None else of_body.expand(len(members)) / self.members

    def fingerprint(self) -> dict[str, Any] | None:
        return self.body.fingerprint()

    def gradient_checkpointing_enable(self, gradient_checkpointing_kwargs: dict[str, Any] | None = None) -> None:
        self.body.gradient_checkpointing_enable(gradient_checkpointing_kwargs)

    def load_trainable_state(self, state: Any) -> None:
        self.body.unmerge()
        super().load_trainable_state(state)

    def save_pretrained(self, folder: str | Path) -> None:
        """A manifest and one PEFT adapter folder."""
        save_adapters(self.body, Path(folder))
        config = {"head": self.head, "body": self.body.config.to_json_dict()}
        write_manifest(self, Path(folder), [member_folder(0)], config)

    @classmethod
    def load(cls, model: nn.Module, folder: Path, manifest: dict[str, Any]) -> Self:
        """From a saved folder; see Ensemble.from_pretrained."""
        config = manifest["config"]
        body = LoraEnsembleConfig.from_json_dict(config["body"])
        ensemble = cls(model, manifest["members"], config["head"], body)
        load_members(ensemble.body, [folder / name for name in manifest["member_folders"]])
        return ensemble


def _widen(model: nn.Module, head: str, members: int) -> None:
    """M times as many outputs of the head's last linear layer. Raises ConfigurationError where there is none."""
    root = surgery.get(model, head)
    found = [name for name, module in root.named_modules() if type(module) is nn.Linear]
    if not found:
        raise ConfigurationError([f"the head {head!r} has no linear layer, of which a member could have its own"])
    path = f"{head}.{found[-1]}" if found[-1] else head
    last = surgery.get(model, path)
    assert isinstance(last, nn.Linear)
    device, dtype = last.weight.device, last.weight.dtype
    wide = nn.Linear(last.in_features, members * last.out_features, last.bias is not None, device, dtype)
    surgery.replace(model, path, wide)

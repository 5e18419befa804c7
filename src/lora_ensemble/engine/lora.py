"""LoraEnsemble: one frozen backbone, M members with a low-rank update of the attention projections and a head each.

Source of the method: Halbheer et al., "LoRA-Ensemble: Efficient Uncertainty Modelling for Self-Attention Networks",
arXiv 2405.14438.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from torch import Tensor, nn

from lora_ensemble.engine import kinds, layers, shared, surgery
from lora_ensemble.engine.adapters import load_members, save_adapters
from lora_ensemble.engine.checkpointing import checkpoint_blocks, forget_checkpointing
from lora_ensemble.engine.config import LoraEnsembleConfig
from lora_ensemble.engine.ensemble import Ensemble
from lora_ensemble.engine.fingerprint import fingerprint
from lora_ensemble.engine.folding import batch_size, fold, unfold
from lora_ensemble.engine.initialisation import member_generator
from lora_ensemble.engine.layers.adapter import AdapterLayer
from lora_ensemble.engine.layers.member import MemberLayer
from lora_ensemble.engine.layers.passes import Pass, PassState
from lora_ensemble.engine.layers.per_member import per_member
from lora_ensemble.engine.open_attention import close_attention, open_attention
from lora_ensemble.engine.provenance import source_of
from lora_ensemble.engine.reads import find_read_rows
from lora_ensemble.engine.repulsion import log_density
from lora_ensemble.engine.targets import find_targets
from lora_ensemble.engine.tasks import find_task
from lora_ensemble.engine.trunk import SharedTrunk, forget_trunk
from lora_ensemble.engine.wrapping import unwrapped
from lora_ensemble.errors import ConfigurationError


class LoraEnsemble(Ensemble):
    """An ensemble of LoRA members over any transformers, timm or plain torch model, which is rewritten in place.

    config: a LoraEnsembleConfig, or a plain peft.LoraConfig; fields: changes to it, or all that there is, as in
    `LoraEnsemble(model, members=4, r=8)`. A call `ensemble(labels=y, **inputs)` runs B rows through all members at
    once: `.logits` (M, B, C), `.loss` the sum of the members' mean losses, `.member_losses` (M,). Raises NoMatchError
    when a pattern matches no layer, ConfigurationError for a configuration without meaning.
    """

    kind = method = "lora"

    def __init__(self, model: nn.Module, config: LoraConfig | None = None, **fields: Any):
        config = LoraEnsembleConfig.of(config, **fields)  # a copy: what it leaves open is filled in
        super().__init__(config.members, config.first_member, config.members_per_pass)
        if any(isinstance(m, MemberLayer) for m in model.modules()):
            raise ConfigurationError(["the model already has members; give the plain model"])
        self.config = config
        self.state = PassState(config.members)
        plain = unwrapped(model)
        self._task = find_task(plain, config.task_type)
        self.source = source_of(plain)
        with surgery.unchanged_on_error(model):
            open_attention(plain)
            self.heads = config.modules_to_save = _heads(plain, config)
            found = [] if config.adapter == "none" else find_targets(plain, config)
            self.targets = {target.path: target for target in found}
            self._rewrite(model, plain)
            self._read = find_read_rows(model) if config.read_rows else None
        self.model = model
        self.trunk = SharedTrunk(model, self.state)
        self._draw()

    def _rewrite(self, model: nn.Module, plain: nn.Module) -> None:
        """Put members in place of the layers to adapt and of the heads; freeze everything else."""
        c = self.config
        model.requires_grad_(False)
        for path, target in self.targets.items():
            adapter = kinds.find(AdapterLayer, c.adapter, layers, "adapters", "kind of adapter")
            surgery.replace(plain, path, adapter.adapt(surgery.get(plain, path), self.state, target, c))
            surgery.ensure_called(plain, path)
        for head in self.heads:
            surgery.replace(plain, head, per_member(surgery.get(plain, head), self.state, c.members))
        self.also_trained = shared.find_shared(plain, c.also_trained or ())
        for parameter in shared.parameters(plain, self.also_trained):
            parameter.requires_grad_(True)

    def _draw(self) -> None:
        c = self.config
        for name, layer in self.member_layers():
            start = c.adapter_start if name in self.targets else c.head_start
            for m in range(self.members):
                layer.draw(m, member_generator(c.seed, c.first_member + m, name), start)

    # Running ------------------------------------------------------------------------------------------------------

    def member_logits(self, members: range, inputs: dict[str, Any], shared: bool) -> Tensor:
        inputs, rows = fold(inputs, len(members)) if shared else (inputs, batch_size(inputs))
        if getattr(getattr(self.model, "config", None), "use_cache", False):
            inputs = {"use_cache": False} | inputs  # keys and values of M*B rows would be kept for nothing
        read = nullcontext() if self._read is None else self._read.only(inputs)
        with self.state.running(Pass(members, rows, shared)), self.trunk.watching(), read:
            output = self.model(**inputs)
        return unfold(output, len(members), rows)

    def called_model(self) -> nn.Module:
        return self.model

    @property
    def task(self) -> str | None:
        return self._task

    def member_layers(self) -> list[tuple[str, MemberLayer]]:
        """Layers that hold members, by their path in the plain backbone."""
        return [(name, m) for name, m in unwrapped(self.model).named_modules() if isinstance(m, MemberLayer)]

    def adapters(self) -> list[tuple[str, AdapterLayer]]:
        """The adapted layers, by their path in the plain backbone."""
        return [(name, m) for name, m in unwrapped(self.model).named_modules() if isinstance(m, AdapterLayer)]

    def penalty_M(self, members: range) -> Tensor | None:
        """lora_l2 times the sum over the adapted layers of ||B_m A_m||_F^2, arXiv 2402.12264. As published, of the
        product itself, without the scale alpha / r."""
        if not self.config.lora_l2:
            return None
        norms = [n for _, layer in self.member_layers() if (n := layer.squared_norms(members)) is not None]
        if not norms:
            raise ConfigurationError([f"lora_l2: adapter = {self.config.adapter!r} has nothing that it penalises"])
        return self.config.lora_l2 * torch.stack(norms).sum(0)

    def repulsion_M(self, logits: Tensor, members: range) -> Tensor | None:
        """config.repulsion times the logarithm of the density of the members' answers; see `repulsion`."""
        if not self.config.repulsion or not self.training:
            return None
        if len(members) < self.members:
            raise ConfigurationError([f"repulsion: all {self.members} members must run in one pass"])
        return self.config.repulsion * log_density(logits, self.config.bandwidth)

    def member_gradients(self) -> Iterable[tuple[range, list[Tensor]]]:
        groups: dict[range, list[Tensor]] = {range(self.members): []}
        for _, layer in self.member_layers():
            for members, gradients in layer.gradients():
                groups.setdefault(members, []).extend(gradients)
        yield from groups.items()
        common = shared.parameters(unwrapped(self.model), self.also_trained)
        yield range(self.members, self.members + 1), [p.grad[None] for p in common if p.grad is not None]

    def gradient_checkpointing_enable(self, gradient_checkpointing_kwargs: dict[str, Any] | None = None) -> None:
        checkpoint_blocks(self.model, self.state)

    # One member ---------------------------------------------------------------------------------------------------

    def member(self, m: int) -> nn.Module:
        """Member m alone: a copy of the backbone as a plain model, its update merged and its head in place."""
        if not 0 <= m < self.members:
            raise ConfigurationError([f"member {m} does not exist: there are members 0 to {self.members - 1}"])
        # Deep copies of member layers would be thrown away.
        plain = copy.deepcopy(self.model, memo={id(layer): layer for _, layer in self.member_layers()})
        for name, layer in self.member_layers():
            surgery.replace(unwrapped(plain), name, layer.member_layer(m))
        close_attention(plain)
        forget_trunk(plain)
        forget_checkpointing(plain)
        for parameter in plain.parameters():
            parameter.requires_grad_(parameter.is_floating_point())  # quantised weights cannot be trained
        return plain

    def merge(self) -> LoraEnsemble:
        """Merge every member's update for prediction: M copies of each adapted weight, no low-rank products. Sets
        evaluation mode; training mode unmerges."""
        self.eval()
        for _, layer in self.member_layers():
            layer.merge()
        return self

    def unmerge(self) -> LoraEnsemble:
        """The inverse of `merge`."""
        for _, layer in self.member_layers():
            layer.unmerge()
        return self

    def train(self, mode: bool = True) -> LoraEnsemble:
        """Training or evaluation mode. Frozen batch norms stay in evaluation: members must not see others' rows."""
        if mode:
            self.unmerge()
        super().train(mode)
        for module in self.model.modules():
            trained = any(p.requires_grad for p in module.parameters(recurse=False))
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and not trained:
                module.eval()
        return self

    def load_trainable_state(self, state: Mapping[str, Tensor]) -> None:
        self.unmerge()
        super().load_trainable_state(state)

    # On disk ------------------------------------------------------------------------------------------------------

    def shared_modules(self) -> list[str]:
        """Paths of the modules that are, or hold, what is trained once for all members (`also_trained`)."""
        return shared.holders(unwrapped(self.model), self.also_trained)

    def shared_tensors(self) -> dict[str, Tensor]:
        """Every tensor of those modules, by its path in the plain backbone."""
        return shared.tensors(unwrapped(self.model), self.also_trained)

    def fingerprint(self) -> dict[str, Any] | None:
        """Of what is frozen, by its names in the plain backbone."""
        members = tuple(f"{path}." for path, _ in self.member_layers())
        common = self.shared_tensors().keys()
        frozen = {}
        for name, tensor in unwrapped(self.model).state_dict().items():
            if name not in common and (".base_layer." in name or not name.startswith(members)):
                frozen[name.replace(".base_layer.", ".")] = tensor
        return fingerprint(frozen)

    def save_pretrained(self, folder: str | Path) -> None:
        """A manifest (`ensemble.json`) and one standard PEFT adapter folder per member, which PEFT, vLLM and the hub
        can use without this library."""
        save_adapters(self, Path(folder))

    @classmethod
    def load(cls, model: nn.Module, folder: Path, manifest: dict[str, Any]) -> LoraEnsemble:
        """From a saved folder; see Ensemble.from_pretrained."""
        config = LoraEnsembleConfig.from_json_dict(manifest["config"])
        ensemble = cls(model, config)
        load_members(ensemble, [folder / name for name in manifest["member_folders"]])
        return ensemble

    @classmethod
    def from_peft(cls, model: nn.Module, adapters: str | Path | Sequence[str | Path], **config: Any) -> LoraEnsemble:
        """Anybody's PEFT LoRA adapters over one base model as an ensemble. Ranks and target modules may differ."""
        from lora_ensemble.interop.peft import from_adapters

        return from_adapters(model, adapters, **config)


def _heads(model: nn.Module, config: LoraEnsembleConfig) -> list[str]:
    """Paths of the heads. Raises NoMatchError where a classifier's head is not found."""
    if config.modules_to_save is not None:
        return surgery.matching(model, config.modules_to_save, "module to save")
    heads = surgery.find_heads(model)
    if not heads and surgery.output_layer(model) is None:
        what = f"classification head (name it in modules_to_save, or say [] for none) in {type(model).__name__}"
        raise surgery.nothing_matches(what, "", surgery.linears(model))
    return heads

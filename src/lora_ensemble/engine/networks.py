"""NetworkEnsemble: M whole networks, each with weights of its own. The explicit (deep) ensemble; M = 1: one network.

Source: Lakshminarayanan et al., "Simple and Scalable Predictive Uncertainty Estimation using Deep Ensembles", NeurIPS
2017."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from lora_ensemble.engine import surgery
from lora_ensemble.engine.ensemble import Ensemble
from lora_ensemble.engine.folding import run_apart
from lora_ensemble.engine.initialisation import Start, init_linear, member_generator
from lora_ensemble.engine.saving import member_folder, read_tensors, saving, write_manifest, write_tensors
from lora_ensemble.engine.wrapping import unwrapped
from lora_ensemble.errors import FileFormatError

WEIGHTS = "model.safetensors"


class NetworkEnsemble(Ensemble):
    """Networks of one architecture over the same inputs, run one after another."""

    kind = "networks"

    def __init__(
        self,
        networks: Iterable[nn.Module],
        *,
        method: str = "deep",
        first_member: int = 0,
        members_per_pass: int | None = None,
    ):
        networks = list(networks)
        super().__init__(len(networks), first_member, members_per_pass)
        self.method = method
        self.networks = nn.ModuleList(networks)

    def member_logits(self, members: range, inputs: dict[str, Any], shared: bool) -> Tensor:
        return run_apart([self.networks[m] for m in members], inputs, shared)

    def called_model(self) -> nn.Module:
        return self.networks[0]

    def member_gradients(self) -> Iterable[tuple[range, list[Tensor]]]:
        for m in self.trained_members():
            yield range(m, m + 1), [p.grad[None] for p in self.networks[m].parameters() if p.grad is not None]

    def member(self, m: int) -> nn.Module:
        """Member m, the network itself."""
        return self.networks[m]

    def gradient_checkpointing_enable(self, gradient_checkpointing_kwargs: dict[str, Any] | None = None) -> None:
        from lora_ensemble.engine.checkpointing import checkpoint_blocks

        for network in self.networks:
            checkpoint_blocks(network)

    def save_pretrained(self, folder: str | Path) -> None:
        """A manifest and one folder with all weights per member."""
        save_networks(self, Path(folder), self.networks, {})

    @classmethod
    def load(cls, model: nn.Module, folder: Path, manifest: dict[str, Any]) -> Self:
        """From a saved folder; see Ensemble.from_pretrained."""
        networks = [copy.deepcopy(model) for _ in manifest["member_folders"]]
        load_networks(networks, folder, manifest)
        first = manifest["first_member"]
        return cls(networks, method=manifest["method"], first_member=first, members_per_pass=1)


def redraw_head(
    model: nn.Module,
    head: str | None,
    seed: int,
    member: int,
    init: str = "default",
    gain: float = 1.0,
    std: float = 0.02,
    mean: float = 0.0,
) -> None:
    """Draw the linear layers of the head anew, from the generator of (seed, member)."""
    if head is None or init == "copy":
        return
    root = surgery.get(model, head)
    for name, module in root.named_modules():
        if isinstance(module, nn.Linear):
            path = f"{head}.{name}" if name else head
            start = Start(init, gain, std, mean)
            init_linear(module.weight, module.bias, member_generator(seed, member, path), start)


def perturb(model: nn.Module, scale: float, last_blocks: int | None, seed: int, member: int) -> None:
    """Add noise to the weight matrices of the last transformer blocks: W + scale * N(0, std(W)^2), as the optional
    weight noise of the explicit ensemble in arXiv 2405.14438. `last_blocks` None: all blocks."""
    paths = surgery.blocks(model, surgery.attention_projections(model))
    chosen = paths if last_blocks is None else paths[-last_blocks:]
    with torch.no_grad():
        for block in chosen:
            for name, parameter in model.get_submodule(block).named_parameters():
                if parameter.ndim >= 2:
                    noise = torch.randn(parameter.shape, generator=member_generator(seed, member, f"{block}.{name}"))
                    parameter.add_(noise.to(parameter) * parameter.std(), alpha=scale)


def save_networks(ensemble: Ensemble, folder: Path, networks: Iterable[nn.Module], config: dict[str, Any]) -> None:
    """Every network's whole state in a folder of its own, then the manifest."""
    networks = list(networks)
    names = [member_folder(ensemble.first_member + m) for m in range(len(networks))]
    with saving(folder, names):
        for name, network in zip(names, map(unwrapped, networks), strict=True):
            state = {n: t.detach().cpu().contiguous() for n, t in network.state_dict().items()}
            write_tensors(folder / name / WEIGHTS, _untied(state))
            own_config: Any = getattr(network, "config", None)
            if hasattr(own_config, "save_pretrained"):
                own_config.save_pretrained(folder / name)
        write_manifest(ensemble, folder, names, config)


def load_networks(networks: Iterable[nn.Module], folder: Path, manifest: dict[str, Any]) -> None:
    """The weights of saved networks, strict (tied weights are stored once)."""
    for network, name in zip(map(unwrapped, networks), manifest["member_folders"], strict=True):
        path = folder / name / WEIGHTS
        tensors, own = read_tensors(path), network.state_dict()
        missing = sorted(_untied(own).keys() - tensors.keys())
        foreign = sorted(tensors.keys() - own.keys())
        wrong = sorted(n for n in tensors.keys() & own.keys() if tensors[n].shape != own[n].shape)
        if missing or foreign or wrong:
            name = (missing + foreign + wrong)[0]
            raise FileFormatError(
                f"{path} does not fit the model: {len(missing)} tensors missing, {len(foreign)} unknown, "
                f"{len(wrong)} of another shape (first: {name})"
            )
        network.load_state_dict(tensors, strict=False)


def _untied(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Without the second name of tensors that share their memory, which safetensors refuses."""
    seen: set[int] = set()
    kept = {}
    for name, tensor in state.items():
        if tensor.numel() and tensor.data_ptr() in seen:
            continue
        seen.add(tensor.data_ptr())
        kept[name] = tensor
    return kept

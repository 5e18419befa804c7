"""A LoRA ensemble on disk: one standard PEFT adapter folder per member, which PEFT, vLLM and the hub can use."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from peft import LoraConfig
from torch import Tensor

from lora_ensemble.engine import surgery
from lora_ensemble.engine.layers.member import MemberLayer
from lora_ensemble.engine.saving import member_folder, read_tensors, saving, write_manifest, write_tensors
from lora_ensemble.engine.tasks import peft_task
from lora_ensemble.engine.wrapping import unwrapped
from lora_ensemble.errors import FileFormatError

if TYPE_CHECKING:
    from lora_ensemble.engine.lora import LoraEnsemble

PREFIX = "base_model.model."
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"

HEADS_OF_TASKS = {
    "SEQ_CLS": ["classifier", "score"],
    "TOKEN_CLS": ["classifier", "score"],
    "QUESTION_ANS": ["qa_outputs"],
}
"""What PEFT saves besides `modules_to_save`, by task."""


def save_adapters(ensemble: LoraEnsemble, folder: Path) -> None:
    """One PEFT folder per member (adapter_config.json, adapter_model.safetensors), then the manifest. Of adapters that
    PEFT does not know there are only the weights."""
    config, layers, common = member_config(ensemble), ensemble.member_layers(), _common_tensors(ensemble)
    names = [member_folder(ensemble.first_member + m) for m in range(ensemble.members)]
    with saving(folder, names):
        for m, name in enumerate(names):
            (folder / name / CONFIG).unlink(missing_ok=True)
            write_tensors(folder / name / WEIGHTS, member_tensors(layers, m) | common)
            if config is not None:
                config.save_pretrained(str(folder / name))
        write_manifest(ensemble, folder, names, ensemble.config.to_json_dict())


def load_members(ensemble: LoraEnsemble, folders: Sequence[Path]) -> None:
    """The weights of saved members, strict."""
    if len(folders) != ensemble.members:
        raise FileFormatError(f"the manifest lists {len(folders)} folders for {ensemble.members} members")
    layers, common = ensemble.member_layers(), _shared_tensors(ensemble)
    beside = _tensors_beside(ensemble).keys()
    for m, folder in enumerate(folders):
        tensors, expected = read_tensors(folder / WEIGHTS), member_tensors(layers, m) | common
        missing = sorted(expected.keys() - tensors.keys())
        foreign = sorted(tensors.keys() - expected.keys() - beside)
        if missing or foreign:
            raise FileFormatError(
                f"{folder} does not fit the model: {len(missing)} tensors missing{missing[:1] or ''}, "
                f"{len(foreign)} unknown{foreign[:1] or ''}"
            )
        for path, layer in layers:
            state = layer.member_state(m)
            own = {name: tensors[f"{PREFIX}{path}.{name}"] for name in state}
            check_shapes(str(folder), path, own, state)
            layer.load_member_state(m, own)
        _load_shared(ensemble, folder, tensors, first=m == 0)


def member_tensors(layers: Sequence[tuple[str, MemberLayer]], m: int) -> dict[str, Tensor]:
    """One member's tensors under PEFT's names."""
    return {
        f"{PREFIX}{path}.{name}": tensor.cpu().contiguous()
        for path, layer in layers
        for name, tensor in layer.member_state(m).items()
    }


def member_config(ensemble: LoraEnsemble) -> LoraConfig | None:
    """PEFT's configuration of one member, with the full paths of what it adapts; None where PEFT cannot express it,
    or would not call an adapted layer."""
    c, adapters = ensemble.config, ensemble.adapters()
    forms = {path: form for path, layer in adapters if (form := layer.peft_form()) is not None}
    known = bool(forms) and len(forms) == len(adapters)
    if not known or any(surgery.is_read(ensemble.plain_model(), path) for path, _ in adapters):
        return None
    ranks, alphas = dict(c.rank_pattern or {}), dict(c.alpha_pattern or {})
    for path, form in forms.items():
        if form.rank != ensemble.targets[path].r:
            ranks = {f"^{re.escape(path)}": form.rank} | ranks
            alpha = form.scale * (math.sqrt(form.rank) if c.use_rslora else form.rank)
            alphas = {f"^{re.escape(path)}": whole(alpha)} | alphas
    config = c.peft_config(
        target_modules=sorted(forms),
        exclude_modules=None,
        layers_to_transform=None,
        layers_pattern=None,
        fan_in_fan_out=any(form.transposed for form in forms.values()),
        rank_pattern=ranks,
        alpha_pattern=alphas,
        modules_to_save=[*ensemble.heads, *ensemble.shared_modules()] or None,
        base_model_name_or_path=ensemble.source.get("name"),
        task_type=peft_task(ensemble.plain_model(), c.task_type),
        auto_mapping=_auto_mapping(ensemble),
        inference_mode=True,
    )
    config.target_modules = sorted(forms)  # PEFT made it a set, and would write it in the order of the hashes
    return config


def _auto_mapping(ensemble: LoraEnsemble) -> dict[str, str] | None:
    """What PEFT's AutoPeftModel loads the base model with, where no task type says it."""
    if ensemble.source.get("library") != "transformers":
        return None
    kind = type(ensemble.plain_model())
    return {"base_model_class": kind.__name__, "parent_library": kind.__module__}


def _common_tensors(ensemble: LoraEnsemble) -> dict[str, Tensor]:
    """What each member's folder has besides the member: what members share and train, and what PEFT asks for."""
    return _shared_tensors(ensemble) | _tensors_beside(ensemble)


def _shared_tensors(ensemble: LoraEnsemble) -> dict[str, Tensor]:
    """What members share and train, under PEFT's names."""
    return {f"{PREFIX}{path}": tensor.cpu().contiguous() for path, tensor in ensemble.shared_tensors().items()}


def _tensors_beside(ensemble: LoraEnsemble) -> dict[str, Tensor]:
    """Frozen modules whose names only end like one to save, as `pre_classifier` ends with `classifier`. PEFT takes them
    for modules to save as well, and does not load an adapter without them."""
    saved = [*ensemble.heads, *ensemble.shared_modules()]
    task = peft_task(ensemble.plain_model(), ensemble.config.task_type)
    endings = tuple({*saved, *HEADS_OF_TASKS.get(str(task), [])})
    members = [path for path, _ in ensemble.member_layers()]
    found: dict[str, Tensor] = {}
    for path, module in unwrapped(ensemble.model).named_modules():
        ours = any(f"{path}.".startswith(f"{s}.") or s.startswith(f"{path}.") for s in [*saved, *members])
        if path.endswith(endings) and not ours:
            found |= {f"{PREFIX}{path}.{n}": t.detach().cpu().contiguous() for n, t in module.state_dict().items()}
    return found


def _load_shared(ensemble: LoraEnsemble, folder: Path, tensors: dict[str, Tensor], first: bool) -> None:
    """Take what members share from the first one's folder; make sure that the others have the same."""
    for path, own in ensemble.shared_tensors().items():
        given = tensors[f"{PREFIX}{path}"]
        check_shapes(str(folder), path, {"tensor": given}, {"tensor": own})
        if not first and not torch.equal(given.to(own), own):
            raise FileFormatError(f"{folder}: {path}, which members share, is not the first member's")
        with torch.no_grad():
            own.copy_(given)


def check_shapes(name: str, path: str, tensors: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """Raises FileFormatError that names the first tensor of another shape."""
    for key, tensor in tensors.items():
        if tensor.shape != expected[key].shape:
            shape, needed = tuple(tensor.shape), tuple(expected[key].shape)
            raise FileFormatError(f"{name}: {path}.{key} has shape {shape}, the model needs {needed}")


def whole(value: float) -> Any:
    """An int where the number is whole: PEFT's alphas are ints."""
    return int(value) if float(value).is_integer() else value

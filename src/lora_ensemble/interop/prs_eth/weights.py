"""Published weights of LoRA-Ensemble, from the hub (prs-eth/LoRA-Ensemble) or a local file, as our ensembles."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lora_ensemble.backbones.torchvision_vit import TorchvisionVit, vit
from lora_ensemble.conversions.torchvision import (
    ARCHITECTURES,
    HEAD,
    check_architecture,
    transformers_config,
)
from lora_ensemble.engine import surgery
from lora_ensemble.engine.ensemble import Ensemble
from lora_ensemble.errors import FileFormatError
from lora_ensemble.interop.prs_eth import ast_weights
from lora_ensemble.interop.prs_eth.ast_formats import AstDeepFile, AstLoraFile
from lora_ensemble.interop.prs_eth.files import Expected, local_file
from lora_ensemble.interop.prs_eth.formats import PROJECTIONS, DeepFile, DropoutFile, LoraFile, read_weights
from lora_ensemble.interop.prs_eth.tensors import Heads, copy_into


def load_weights(
    file: str | Path,
    torchvision_state_dict: Mapping[str, Tensor] | str | Path | None = None,
    *,
    members: int | None = None,
    r: int | None = None,
    num_classes: int | None = None,
    p_drop: float | None = None,
    seed: int | None = None,
) -> Ensemble:
    """The ensemble in a published weights file, in evaluation mode.

    file: a local `.pt` file, `prs-eth/LoRA-Ensemble/<file name>`, or the name of a published one. Its kind is read from
    its contents: LoRA_Former and AST_Former become a LoraEnsemble, Deep_Ensemble and Explicit_AST a NetworkEnsemble,
    MCDropout a DropoutEnsemble. torchvision_state_dict: the frozen backbone of a LoRA_Former, or a local file of it;
    torchvision's IMAGENET1K_V1 weights if None. For AST_Former it is the distilled DeiT that the AST is made from, with
    the names of timm or transformers, as a state dict, a local file or a hub id; the published one if None. The other
    kinds bring all their weights. members, r, num_classes: what is expected of the file; the members by default as its
    name says. p_drop: dropout rate of MCDropout, which is in no file; by default that of the settings in the file's
    name, else 0.2. seed: the heads of MCDropout are in no file either, the published code draws them from the seed of
    the settings for each evaluation; so does this, where a file has none.

    Images are to be divided by 255 and nothing more, as in training; sounds are prepared by the backbone `ast`. Raises
    FileFormatError for a file that is none of these, or holds other numbers than expected (both are named); UserError
    for weights that cannot be had.
    """
    path = local_file(str(file))
    given = {"members": members, "r": r, "num_classes": num_classes, "p_drop": p_drop, "seed": seed}
    expected = Expected.of(path.stem, **given)
    content = read_weights(path, expected.members)
    try:
        if isinstance(content, LoraFile):
            ensemble = _lora(content, torchvision_state_dict, expected)
        elif isinstance(content, DeepFile):
            ensemble = _deep(content, expected)
        elif isinstance(content, AstLoraFile):
            ensemble = ast_weights.lora_ensemble(content, torchvision_state_dict, expected)
        elif isinstance(content, AstDeepFile):
            ensemble = ast_weights.network_ensemble(content, expected)
        else:
            ensemble = _dropout(content, expected)
    except FileFormatError as error:
        raise FileFormatError(f"{path.name}: {error}") from None
    return ensemble.eval()


def _lora(content: LoraFile, frozen: Mapping[str, Tensor] | str | Path | None, expected: Expected) -> Ensemble:
    from lora_ensemble.engine.config import LoraEnsembleConfig
    from lora_ensemble.engine.lora import LoraEnsemble

    members, classes, _ = content.heads.weight.shape
    expected.check(members=members, r=content.r, num_classes=classes)
    named = None
    if frozen is None or isinstance(frozen, str | Path):
        named = TorchvisionVit(arch=expected.arch, weights=str(frozen or "IMAGENET1K_V1"))  # type: ignore[arg-type]
        frozen = named.state()
    model = vit(frozen, classes)
    if (layers := model.config.num_hidden_layers) != content.layers:
        raise FileFormatError(f"{content.layers} layers, the backbone has {layers}")
    projections = surgery.attention_projections(model)  # q, k, v and out, layer by layer
    config = LoraEnsembleConfig(members=members, r=content.r, lora_alpha=content.r, modules_to_save=[HEAD])
    ensemble = LoraEnsemble(model, config)
    members_of: dict[str, Any] = dict(ensemble.member_layers())
    for i, path in enumerate(projections):
        A, B = content.low_rank[i // len(PROJECTIONS), PROJECTIONS[i % len(PROJECTIONS)]]
        copy_into(members_of[path].lora_A, A, "low-rank matrices")
        copy_into(members_of[path].lora_B, B, "low-rank matrices")
    _fill(members_of[HEAD], content.heads)
    if named:
        ensemble.source = _source(named, classes)
    return ensemble


def _deep(content: DeepFile, expected: Expected) -> Ensemble:
    from lora_ensemble.engine.networks import NetworkEnsemble

    classes = len(content.networks[0]["heads.head.weight"])
    expected.check(members=len(content.networks), num_classes=classes)
    ensemble = NetworkEnsemble([vit(state, classes) for state in content.networks], members_per_pass=1)
    ensemble.source = _random_source(content.networks[0], classes)
    return ensemble


def _dropout(content: DropoutFile, expected: Expected) -> Ensemble:
    from lora_ensemble.engine.dropout import DropoutEnsemble

    heads = content.heads or _drawn_heads(content.network, expected)
    members, classes, _ = heads.weight.shape
    expected.check(members=members, num_classes=classes)
    ensemble = DropoutEnsemble(vit(content.network, classes), members, p=expected.p_drop, member_heads=HEAD)
    _fill(ensemble.network.get_submodule(HEAD), heads)
    ensemble.source = _random_source(content.network, classes)
    return ensemble


def _drawn_heads(network: Mapping[str, Tensor], expected: Expected) -> Heads:
    """The heads of MCDropout as the published code draws them: after torchvision's network, and a head that is thrown
    away, from one global seed."""
    from torchvision.models import VisionTransformer

    seed, members, classes = expected.seed, expected.members, expected.drawn_classes
    if seed is None or members is None or classes is None:
        raise FileFormatError("holds no heads, which are drawn from the seed: say seed, members and num_classes")
    c = transformers_config(network)
    width = c["hidden_size"]
    shape = [c[f] for f in ("image_size", "patch_size", "num_hidden_layers", "num_attention_heads", "hidden_size")]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        VisionTransformer(*shape, mlp_dim=c["intermediate_size"])
        nn.Linear(width, classes)
        heads = [nn.Linear(width, classes) for _ in range(members)]
    return Heads(torch.stack([h.weight.detach() for h in heads]), torch.stack([h.bias.detach() for h in heads]))


def _fill(layer: Any, heads: Heads) -> None:
    copy_into(layer.weight, heads.weight, "heads")
    copy_into(layer.bias, heads.bias, "heads")


def _random_source(state: Mapping[str, Tensor], num_classes: int) -> dict[str, Any]:
    """The backbone that a saved copy of the ensemble is loaded into; its weights are all replaced."""
    for arch in ARCHITECTURES:
        try:
            check_architecture(state, arch)
        except FileFormatError:
            continue
        return _source(TorchvisionVit(arch=arch, weights="random"), num_classes)  # type: ignore[arg-type]
    return {"library": None, "class": "ViTForImageClassification"}


def _source(backbone: TorchvisionVit, num_classes: int) -> dict[str, Any]:
    return {"kind": "torchvision-vit", "num_classes": num_classes, **vars(backbone), "normalisation": "none"}

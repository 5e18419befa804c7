"""Which published weights file is meant, and what it should hold by its name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lora_ensemble.errors import FileFormatError, UserError, first_line
from lora_ensemble.interop.prs_eth.command_line import DATASETS
from lora_ensemble.interop.prs_eth.table import read_settings

HUB = "prs-eth/LoRA-Ensemble"
_NAME = re.compile(r"\w+?_ViT_(?P<config>[a-z]+|DeiT_base384)_(?P<patch>\d+)_(?P<members>\d+)_members_(?P<settings>.+)")


@dataclass(frozen=True)
class Expected:
    """What is known of a file beforehand, from the caller or from the published form of its name."""

    members: int | None = None
    """To be checked, as are the next two."""
    r: int | None = None
    num_classes: int | None = None
    arch: str = "vit_b_32"
    """Not in the file, as what follows."""
    p_drop: float = 0.2
    seed: int | None = None
    drawn_classes: int | None = None
    """Classes of heads that have to be drawn."""

    @classmethod
    def of(cls, name: str, **given: Any) -> Expected:
        """name: of the file, as in `LoRA_Former_ViT_base_32_4_members_CIFAR100_settings_LoRA1`. Given values win."""
        known: dict[str, Any] = {}
        given["drawn_classes"] = given.get("num_classes")
        if match := _NAME.fullmatch(name):
            known = {"members": int(match["members"])}
            known |= {"arch": f"vit_{match['config'][0]}_{match['patch']}"} if match["config"].islower() else {}
            known |= _from_settings(match["settings"])
        return cls(**(known | {k: v for k, v in given.items() if v is not None}))

    def check(self, **found: int) -> None:
        """Raises FileFormatError with both numbers."""
        for what, number in found.items():
            wanted = getattr(self, what)
            if wanted is not None and wanted != number:
                raise FileFormatError(f"{what} = {number} in the file, expected {wanted}")


def _from_settings(name: str) -> dict[str, Any]:
    try:
        settings = read_settings(name)
    except UserError:  # of somebody's own, or a name that stands in two studies
        return {}
    data_set = settings.values["data.data_set"]
    return {
        "p_drop": settings.get("MCDropout.p_drop", Expected.p_drop),
        "seed": settings.values["training.random_seed"],
        "drawn_classes": DATASETS[data_set][1] if data_set in DATASETS else None,
    }


def local_file(file: str) -> Path:
    """The file itself, or where the hub's copy was put. Raises UserError where there is none."""
    name = file if file.endswith(".pt") else f"{file}.pt"
    for path in (Path(file), Path(name)):
        if path.is_file():
            return path
    if name.startswith(f"{HUB}/"):
        name = name.removeprefix(f"{HUB}/")
    elif "/" in name or not _NAME.fullmatch(name.removesuffix(".pt")):
        raise UserError(
            f"no file {file!r}; expected a path, {HUB}/<file name>, or the name of a published file, such as "
            "LoRA_Former_ViT_base_32_16_members_CIFAR100_settings_LoRA1.pt"
        )
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(HUB, name))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise UserError(f"{name} is no local file, and the hub did not give it: {first_line(error)}") from error

"""What the shared trunk saves: a training step when only the last 6 or 3 of 12 layers are adapted, against all 12."""

from __future__ import annotations

import warnings
from collections.abc import Callable

from torch import Tensor

from engine import TARGETS
from lora_ensemble import LoraEnsemble, LoraEnsembleConfig
from side_by_side import arguments, in_turns, save, table
from vit_b32 import backbone, batch


def step(layers: int, members: int, x: Tensor, y: Tensor, dtype: str, shared: bool) -> Callable[[], object]:
    """Forward and backward of an ensemble over the last layers, with or without the trunk."""
    config = LoraEnsembleConfig(
        members=members, r=8, target_modules=TARGETS, layers_to_transform=list(range(12 - layers, 12))
    )
    ensemble = LoraEnsemble(backbone(x.device.type, dtype), config).to(x.device).train()
    ensemble.trunk.enabled = shared

    def run() -> None:
        ensemble(pixel_values=x, labels=y).loss.backward()
        ensemble.zero_grad(set_to_none=True)

    return run


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.set_defaults(members=16)
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    x, y = batch(options.batch, options.device, options.dtype)
    contenders = {
        "all 12 layers": step(12, options.members, x, y, options.dtype, True),
        "last 6, shared trunk": step(6, options.members, x, y, options.dtype, True),
        "last 3, shared trunk": step(3, options.members, x, y, options.dtype, True),
        "last 6, nothing shared": step(6, options.members, x, y, options.dtype, False),
    }
    timings = in_turns(contenders, options.rounds)
    print(f"ViT-B/32, {options.members} members x batch {options.batch}, {options.dtype}, {options.device}\n")
    print(table(timings, "all 12 layers"))
    save(options.json, {"training step": timings})


if __name__ == "__main__":
    main()

"""What digests cost: processor time inside the functions of `disk.digests` in a training that writes many checkpoints.

    python benchmarks/digests.py --members 16 --steps 8

Trains LoRA members of a ViT with random weights, ViT-B/32 unless --width and --layers say otherwise, with a checkpoint
after every step, and counts: the run's processor time, that of digests, and how much a checkpoint's are. Scaled to a
checkpoint every 60 s of training, which is the default.
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lora_ensemble.disk import digests

EVERY = 60.0
"""Seconds between two checkpoints, as `training.checkpoint_seconds` is by default."""


class Spent:
    """Processor time in functions; what one of them calls of the others is counted once."""

    def __init__(self) -> None:
        self.seconds, self.calls, self.inside = 0.0, 0, False

    def counted(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*args: Any, **options: Any) -> Any:
            if self.inside:
                return function(*args, **options)
            self.inside, began = True, time.process_time()
            try:
                return function(*args, **options)
            finally:
                self.seconds += time.process_time() - began
                self.calls += 1
                self.inside = False

        return call


def watch(spent: Spent) -> None:
    """Count every call of a digest from now on, whoever imported it."""
    own = {
        name: f for name, f in vars(digests).items() if callable(f) and getattr(f, "__module__", "") == digests.__name__
    }
    counted = {name: spent.counted(function) for name, function in own.items()}
    for module in [m for name, m in sys.modules.items() if name.startswith("lora_ensemble")]:
        for name, function in own.items():
            if vars(module).get(name) is function:
                setattr(module, name, counted[name])


def backbone(folder: Path, width: int, layers: int) -> str:
    """A ViT of 224 x 224 pixels in patches of 32, as transformers saves it."""
    from transformers import ViTConfig, ViTForImageClassification

    config = ViTConfig(
        hidden_size=width, num_hidden_layers=layers, num_attention_heads=12, intermediate_size=4 * width,
        image_size=224, patch_size=32, num_labels=10,
    )  # fmt: skip
    ViTForImageClassification(config).save_pretrained(folder)
    processor = {"size": {"height": 224, "width": 224}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3, "resample": 2}
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return str(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, default=16)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--batch-size", type=int, default=2)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--layers", type=int, default=12)
    given = parser.parse_args()

    import torch

    from lora_ensemble.backbones.vit import ViT
    from lora_ensemble.datasets.digits import Digits
    from lora_ensemble.methods.lora import Lora
    from lora_ensemble.training import fitting
    from lora_ensemble.training.checkpoints import CHECKPOINTS, checkpoints
    from lora_ensemble.training.options import Training

    torch.set_num_threads(1)
    spent = Spent()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        loaded = ViT(name=backbone(folder / "vit", given.width, given.layers)).load(10)
        ensemble = Lora(members=given.members, r=8).build(loaded, 0)
        training = Training(
            max_steps=given.steps, batch_size=given.batch_size, checkpoint_seconds=0, save="steps", save_steps=1,
            device="cpu",
        )  # fmt: skip
        split = Digits().load("train")
        watch(spent)
        began = time.process_time()
        fitting.fit(ensemble, split, loaded, training, seed=0, folder=folder)
        total, alone = time.process_time() - began, spent.seconds
        written = checkpoints(folder / CHECKPOINTS)
        size = sum(path.stat().st_size for path in written[-1].folder.iterdir())
        before = spent.seconds
        for checkpoint in written:
            digests.digests_in(checkpoint.folder)
        each = (spent.seconds - before) / len(written)
    print(f"processor time of the run: {total:.1f} s; of its digests: {alone:.2f} s in {spent.calls} calls")
    print(
        f"{len(written)} checkpoints of {size / 1e6:.0f} MB: {alone / total:.2%} of the run, with one after every step"
    )
    print(f"digests of one checkpoint: {each:.3f} s; one every {EVERY:.0f} s: {each / EVERY:.2%}")
    print(
        f"all digests of the run, as if it had taken {EVERY:.0f} s a checkpoint: {alone / (EVERY * len(written)):.2%}"
    )


if __name__ == "__main__":
    main()

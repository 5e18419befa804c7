"""What the points on the curve of quality against price cost: training steps of a ViT-Tiny in a loop of one's own.

    python benchmarks/price.py --dtype bf16 --members 4 --batch 32

Processor seconds (other work on the machine hardly changes them), in turns: one network, fully trained, as timm gives
it; the frozen backbone on M * B rows; the ensemble; with only the rows that are read; with the last 4 and 2 blocks
adapted.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lora_ensemble import LoraEnsemble


def network(size: int) -> nn.Module:
    return timm.create_model("vit_tiny_patch16_224", img_size=size, num_classes=7).train()


def step(loss_of: Callable[[], Tensor], parameters: list[nn.Parameter], dtype: str) -> Callable[[], None]:
    """Forward, backward and an update."""
    optimizer = torch.optim.AdamW(parameters, lr=1e-4) if parameters else None

    def run() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bf16"):
            loss = loss_of()
        loss.backward()
        if optimizer is not None:
            optimizer.step()
            optimizer.zero_grad()

    return run


def single(x: Tensor, y: Tensor, dtype: str) -> Callable[[], None]:
    model = network(x.shape[-1])
    return step(lambda: F.cross_entropy(model(x).float(), y), list(model.parameters()), dtype)


def bare(x: Tensor, y: Tensor, members: int, dtype: str) -> Callable[[], None]:
    """Through the whole frozen backbone: what it embeds requires a gradient."""
    model = network(x.shape[-1]).requires_grad_(False)
    model.patch_embed.register_forward_hook(lambda module, args, output: output.requires_grad_())
    rows, labels = x.repeat(members, 1, 1, 1), y.repeat(members)
    return step(lambda: F.cross_entropy(model(rows).float(), labels), [], dtype)


def ensemble(x: Tensor, y: Tensor, members: int, dtype: str, **fields: Any) -> Callable[[], None]:
    model = LoraEnsemble(network(x.shape[-1]), members=members, r=8, **fields).train()
    return step(lambda: model(x, labels=y).loss, [p for p in model.parameters() if p.requires_grad], dtype)


def in_turns(contenders: dict[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """Median processor seconds of each."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(-2, rounds):
        for name, run in contenders.items():
            began = time.process_time()
            run()
            if turn >= 0:
                seconds[name].append(time.process_time() - began)
    return {name: statistics.median(taken) for name, taken in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dtype", default="bf16", choices=["fp32", "bf16"])
    parser.add_argument("--members", type=int, default=4)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--image-size", type=int, default=112)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.manual_seed(0)
    x = torch.randn(options.batch, 3, options.image_size, options.image_size)
    y = torch.randint(7, (options.batch,))
    given = (x, y, options.members, options.dtype)
    contenders = {
        "one network, fully trained": single(x, y, options.dtype),
        "frozen backbone, M * B rows": bare(*given),
    }
    contenders["ensemble"] = ensemble(*given)
    contenders["ensemble, read rows alone"] = ensemble(*given, read_rows=True)
    for last in (4, 2):
        blocks = list(range(12 - last, 12))
        contenders[f"last {last} blocks"] = ensemble(*given, layers_to_transform=blocks)
        contenders[f"last {last} blocks, read rows alone"] = ensemble(
            *given, layers_to_transform=blocks, read_rows=True
        )
    found = in_turns(contenders, options.rounds)
    one = found["one network, fully trained"]
    print(
        f"ViT-Tiny, {options.image_size} px, {options.dtype}, {options.members} members x {options.batch} rows, CPU\n"
    )
    print("| training step | processor s | x one network |\n|---|---:|---:|")
    print("\n".join(f"| {name} | {taken:.3f} | {taken / one:.2f} |" for name, taken in found.items()))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()

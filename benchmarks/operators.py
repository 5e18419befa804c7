"""Operator calls per forward pass as M grows, parameters beyond the backbone, and memory of the weights."""

from __future__ import annotations

import warnings

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from engine import TARGETS, ensemble, peft_model
from side_by_side import arguments
from vit_b32 import backbone, batch


class Count(TorchDispatchMode):
    """Counts operators that reach the dispatcher."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.calls += 1
        return func(*args, **(kwargs or {}))


def calls(model: nn.Module, **inputs: object) -> int:
    """Operators of one forward pass without gradients."""
    with torch.no_grad():
        model(**inputs)
        with Count() as count:
            model(**inputs)
    return count.calls


def main() -> None:
    options = arguments(__doc__.splitlines()[0]).parse_args()
    warnings.filterwarnings("ignore")
    x, _ = batch(options.batch, options.device, options.dtype)
    plain = backbone(options.device, options.dtype)
    base = sum(p.numel() for p in plain.parameters())
    each = 12 * len(TARGETS) * 8 * (768 + 768) + 100 * 768 + 100
    bare = calls(plain, pixel_values=x)
    print(
        "| members | operators per forward | PEFT adapter_names | parameters beyond backbone | M x (adapters + head) |"
    )
    print("|---:|---:|---:|---:|---:|")
    print(f"| backbone | {bare} | {bare} | 0 | 0 |")
    for members in (1, 4, 16):
        ours, theirs = (
            ensemble(members, options.device, options.dtype).eval(),
            peft_model(members, options.device, options.dtype),
        )
        head = 100 * 768 + 100  # the ensemble has M heads in place of the backbone's one
        beyond = sum(p.numel() for p in ours.parameters()) - (base - head)
        names = [str(m) for m in range(members) for _ in range(options.batch)]
        peft = calls(theirs.eval(), pixel_values=x.repeat(members, 1, 1, 1), adapter_names=names)
        print(f"| {members} | {calls(ours, pixel_values=x)} | {peft} | {beyond:,} | {members * each:,} |")
    weights = {p.data_ptr(): p.numel() * p.element_size() for p in ours.parameters() if not p.requires_grad}
    print(f"\nFrozen weights in memory with 16 members: {sum(weights.values()) / 2**20:.0f} MiB, W0 once.")


if __name__ == "__main__":
    main()

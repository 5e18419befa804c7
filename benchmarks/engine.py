"""A training step and a prediction of M LoRA members, against the bare frozen backbone and against PEFT.

Training: forward and backward of M members on B shared rows, against the same frozen backbone run forward and backward
on M*B rows (gradients reach its first layer, no weight has one), and against a loop over M PEFT adapters.
Prediction: against the backbone on M*B rows, and against PEFT's `adapter_names` (all adapters in one batch).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
import torch.nn.functional as F
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn

from lora_ensemble import LoraEnsemble, LoraEnsembleConfig
from side_by_side import Timing, arguments, in_turns, save, table
from vit_b32 import backbone, batch

TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj"]


def bare(model: nn.Module, x: Tensor, y: Tensor) -> Callable[[], object]:
    """Forward and backward through the whole frozen backbone: its embeddings require a gradient."""
    model.vit.embeddings.register_forward_hook(lambda module, args, output: output.requires_grad_())

    def step() -> None:
        F.cross_entropy(model(pixel_values=x).logits.float(), y).backward()

    return step


def ensemble(members: int, device: str, dtype: str) -> LoraEnsemble:
    """Rank 8 on q, k, v, out of all layers."""
    config = LoraEnsembleConfig(members=members, r=8, target_modules=TARGETS)
    return LoraEnsemble(backbone(device, dtype), config).to(device)


def peft_model(members: int, device: str, dtype: str) -> nn.Module:
    """The same members as PEFT adapters over one backbone."""
    config = LoraConfig(r=8, lora_alpha=8, target_modules=TARGETS, modules_to_save=["classifier"])
    model = get_peft_model(backbone(device, dtype), config, adapter_name="0")
    for m in range(1, members):
        model.add_adapter(str(m), config)
    return model.to(device)


def training(members: int, rows: int, device: str, dtype: str, rounds: int) -> dict[str, Timing]:
    x, y = batch(rows, device, dtype)
    many_x, many_y = x.repeat(members, 1, 1, 1), y.repeat(members)
    ours, theirs = ensemble(members, device, dtype).train(), peft_model(members, device, dtype).train()

    def joint() -> None:
        ours(pixel_values=x, labels=y).loss.backward()
        ours.zero_grad(set_to_none=True)

    def loop() -> None:
        for m in range(members):
            theirs.set_adapter(str(m))
            F.cross_entropy(theirs(pixel_values=x).logits.float(), y).backward()
        theirs.zero_grad(set_to_none=True)

    contenders = {
        "backbone": bare(backbone(device, dtype).train(), many_x, many_y),
        f"LoraEnsemble, {members} members": joint,
        f"PEFT, {members} adapters in a loop": loop,
    }
    return in_turns(contenders, rounds)


def prediction(members: int, rows: int, device: str, dtype: str, rounds: int) -> dict[str, Timing]:
    x, _ = batch(rows, device, dtype)
    many = x.repeat(members, 1, 1, 1)
    names = [str(m) for m in range(members) for _ in range(rows)]
    plain, ours = backbone(device, dtype), ensemble(members, device, dtype).eval()
    theirs, merged = peft_model(members, device, dtype).eval(), ensemble(members, device, dtype).eval().merge()

    def quiet(run: Callable[[], object]) -> Callable[[], object]:
        def call() -> None:
            with torch.no_grad():
                run()

        return call

    contenders = {
        "backbone": quiet(lambda: plain(pixel_values=many)),
        f"LoraEnsemble, {members} members": quiet(lambda: ours(pixel_values=x)),
        f"LoraEnsemble merged, {members} members": quiet(lambda: merged(pixel_values=x)),
        f"PEFT adapter_names, {members} adapters": quiet(lambda: theirs(pixel_values=many, adapter_names=names)),
    }
    return in_turns(contenders, rounds)


def main() -> None:
    options = arguments(__doc__.splitlines()[0]).parse_args()
    warnings.filterwarnings("ignore")
    run = (options.members, options.batch, options.device, options.dtype, options.rounds)
    results = {"training step": training(*run), "prediction": prediction(*run)}
    setting = f"ViT-B/32, random weights, rank 8 on q, k, v, out; {options.members} members x batch {options.batch}"
    print(f"{setting}, {options.dtype}, {options.device}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    for title, timings in results.items():
        print(f"\n{title}\n\n{table(timings, 'backbone')}")
    save(options.json, results)


if __name__ == "__main__":
    main()

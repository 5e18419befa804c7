"""Memory and work of training M members on a model of 7 billion parameters, answering multiple-choice questions.

By arithmetic (default): the model's own layers, at full width, run here one and two at a time with random weights. What
a training step keeps for its backward pass and its floating-point operations are counted; what a layer adds is taken
times the number of layers. With --run, all layers are made, on --device cuda if there is one with the memory, and
tokens per second and peak memory are measured.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForCausalLM, LlamaConfig, MistralConfig, PreTrainedConfig

from lora_ensemble.contracts import LoadedBackbone
from lora_ensemble.engine.lora import LoraEnsemble
from lora_ensemble.methods.lora import Lora
from lora_ensemble.questions.answer_logits import AnswerModel
from side_by_side import synchronize

SHAPES: dict[str, Callable[[], PreTrainedConfig]] = {"mistral-7b": MistralConfig, "llama-2-7b": LlamaConfig}
"""The defaults of these are the sizes of the 7B models."""
GIB = 2**30
TRAINED_BYTES = 16
"""Of a trained parameter in fp32: itself, its gradient, and two moments of AdamW."""


@dataclass
class Step:
    """A training step: operations, and bytes that are kept for its backward pass."""

    flops: float
    kept: float

    def at(self, layers: int, one: Step) -> Step:
        """Of `layers` layers, where this is of two and `one` of one."""
        more = layers - 1
        return Step(one.flops + more * (self.flops - one.flops), one.kept + more * (self.kept - one.kept))


def unused(batch: Any) -> Any:
    return batch


def ensemble(shape: str, layers: int, members: int, device: str) -> LoraEnsemble:
    """Rank 8, alpha 32 on the query and value projections, as published; weights in bf16."""
    config = SHAPES[shape]()
    config.num_hidden_layers = layers
    torch.manual_seed(0)
    with torch.device(device):
        plain = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
        answering = AnswerModel(plain, range(5), "letters+rest", config.vocab_size)
    method = Lora(members=members, r=8, lora_alpha=32, target_modules=("q_proj", "v_proj"))
    made = method.build(LoadedBackbone(answering, unused, unused, head=None), seed=0)
    assert isinstance(made, LoraEnsemble)
    return made.to(device).train()


def inputs(rows: int, tokens: int, device: str) -> dict[str, Tensor]:
    ids = torch.randint(1, 30_000, (rows, tokens), generator=torch.Generator().manual_seed(0)).to(device)
    positions = torch.arange(tokens, device=device).expand(rows, tokens)
    choices, labels = torch.full((rows,), 5, device=device), torch.zeros(rows, dtype=torch.long, device=device)
    mask = torch.ones_like(ids)
    return {"input_ids": ids, "attention_mask": mask, "position_ids": positions, "choices": choices, "labels": labels}


@contextmanager
def kept(made: LoraEnsemble) -> Iterator[dict[int, int]]:
    """Bytes of each memory block that is kept for the backward pass, weights aside."""
    weights = {p.untyped_storage().data_ptr() for p in made.parameters()}
    found: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            found[storage.data_ptr()] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(note, lambda tensor: tensor):
        yield found


def counted(shape: str, layers: int, members: int, rows: int, tokens: int) -> Step:
    """A step of a model of so few layers, run here."""
    made = ensemble(shape, layers, members, "cpu")
    batch = inputs(rows, tokens, "cpu")
    made(**batch)  # the first pass looks for what all members share
    with FlopCounterMode(display=False) as counter, kept(made) as blocks:
        made(**batch).loss.backward()
    return Step(float(counter.get_total_flops()), float(sum(blocks.values())))


def arithmetic(shape: str, members: int, rows: int, tokens: int) -> dict[str, float]:
    """Sizes in GiB and operations, of the whole model."""
    config = SHAPES[shape]()
    layers = config.num_hidden_layers
    one, two = (counted(shape, n, members, 1, tokens) for n in (1, 2))
    whole = two.at(layers, one)
    with torch.device("meta"):
        weights = sum(p.numel() for p in AutoModelForCausalLM.from_config(config).parameters())
    trained = members * layers * 8 * (2 * config.hidden_size + _out(config, True) + _out(config, False))
    between = members * rows * tokens * config.hidden_size * 2 * layers  # the layers' inputs, in bf16
    return {
        "weights": 2 * weights / GIB,
        "trained": trained * TRAINED_BYTES / GIB,
        "kept": rows * whole.kept / GIB,
        "checkpointed": (between + rows * (two.kept - one.kept)) / GIB,
        "teraflop": rows * whole.flops / 1e12,
    }


def _out(config: Any, query: bool) -> int:
    """Outputs of the query or the value projection."""
    heads = config.num_attention_heads if query else config.num_key_value_heads
    return heads * (config.hidden_size // config.num_attention_heads)


def run(shape: str, members: int, rows: int, tokens: int, device: str, layers: int, rounds: int) -> dict[str, float]:
    """Tokens per second, of all members together, and peak memory in GiB, measured."""
    made = ensemble(shape, layers, members, device)
    batch = inputs(rows, tokens, device)
    optimizer = torch.optim.AdamW([p for p in made.parameters() if p.requires_grad], lr=5e-6)
    start = 0.0
    for i in range(-2, rounds):
        if i == 0:
            synchronize()
            start = time.perf_counter()
        made(**batch).loss.backward()
        made.clip_grad_norm_(0.3)
        optimizer.step()
        optimizer.zero_grad()
    synchronize()
    seconds = (time.perf_counter() - start) / rounds
    peak = torch.cuda.max_memory_allocated() / GIB if device.startswith("cuda") else 0.0  # not measured
    return {"rate": members * rows * tokens / seconds, "peak": peak}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=list(SHAPES), default="mistral-7b")
    parser.add_argument("--members", default="1,2,5,10")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--run", action="store_true", help="measure instead")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--layers", type=int, default=32, help="of --run")
    parser.add_argument("--rounds", type=int, default=5, help="of --run")
    options = parser.parse_args()
    print(f"{options.shape}, a training step of {options.batch} questions of {options.tokens} tokens, bf16 weights\n")
    counts = [int(count) for count in options.members.split(",")]
    (measure if options.run else calculate)(options, counts)


def calculate(options: argparse.Namespace, counts: list[int]) -> None:
    print("| members | weights, GiB | trained and AdamW, GiB | kept for backward, GiB | if checkpointed, GiB | TFLOP |")
    print("|---:|---:|---:|---:|---:|---:|")
    for members in counts:
        r = arithmetic(options.shape, members, options.batch, options.tokens)
        print(
            f"| {members} | {r['weights']:.1f} | {r['trained']:.2f} | {r['kept']:.1f} | {r['checkpointed']:.1f} "
            f"| {r['teraflop']:.0f} |",
            flush=True,
        )


def measure(options: argparse.Namespace, counts: list[int]) -> None:
    print(f"{options.layers} layers on {options.device}\n\n| members | tokens per second | x one member | peak, GiB |")
    print("|---:|---:|---:|---:|")
    first = 0.0
    for members in counts:
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        r = run(options.shape, members, options.batch, options.tokens, options.device, options.layers, options.rounds)
        first = first or r["rate"]
        peak = f"{r['peak']:.1f}" if r["peak"] else "-"
        print(f"| {members} | {r['rate']:.0f} | {r['rate'] / first:.2f} | {peak} |", flush=True)


if __name__ == "__main__":
    main()

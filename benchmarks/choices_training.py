"""Training M members on CommonsenseQA together, against M runs of PEFT one after another, on the same batches.

Both start from the same adapters, learn the answer's letter with AdamW and a clip for each member, and report their
losses, which must agree. PEFT is run twice: as one would write it, with the model's own loss (logits over the whole
vocabulary at every position), and with the one needed position (`logits_to_keep`).
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from peft import PeftModel
from torch import Tensor, nn
from transformers import AutoModelForCausalLM

from choices import ensemble, language_model, questions
from lora_ensemble.batches import batches
from lora_ensemble.contracts import Batch, LoadedBackbone
from lora_ensemble.engine.lora import LoraEnsemble
from lora_ensemble.training.order import MemberBatches
from side_by_side import arguments, in_turns, save, table

CLIP, RATE = 0.3, 1e-4


def optimizer(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=RATE, fused=True)


def together(made: LoraEnsemble, data: Sequence[Batch]) -> Callable[[], Tensor]:
    """One round: every batch once. Returns the losses, (M, steps)."""
    made.train()
    steps = optimizer(made)

    def run() -> Tensor:
        losses = []
        for batch in data:
            out = made(**batch)
            out.loss.backward()
            made.clip_grad_norm_(CLIP)
            steps.step()
            steps.zero_grad(set_to_none=True)
            losses.append(out.member_losses.detach())
        return torch.stack(losses, 1)

    return run


def alone(folder: Path, adapter: Path, data: Sequence[Batch], letters: Tensor, whole: bool) -> Callable[[], Tensor]:
    """One member's run with PEFT. whole: logits of every position."""
    plain = AutoModelForCausalLM.from_pretrained(folder)
    model = PeftModel.from_pretrained(plain, adapter, is_trainable=True).train()
    steps = optimizer(model)
    trained = [p for p in model.parameters() if p.requires_grad]

    def loss_of(batch: Batch) -> Tensor:
        inputs = {name: batch[name] for name in ("input_ids", "attention_mask", "position_ids")}
        answers = letters[batch["labels"]]
        if not whole:
            return F.cross_entropy(model(**inputs, logits_to_keep=1).logits[:, -1], answers)
        nowhere = torch.full_like(batch["input_ids"], -100)
        nowhere[:, -1] = answers
        return model(**inputs, labels=nowhere, shift_labels=nowhere).loss

    def run() -> Tensor:
        losses = []
        for batch in data:
            loss = loss_of(batch)
            loss.backward()
            nn.utils.clip_grad_norm_(trained, CLIP)
            steps.step()
            steps.zero_grad(set_to_none=True)
            losses.append(loss.detach())
        return torch.stack(losses)

    return run


def prepared(backbone: LoadedBackbone, data: str, steps: int, size: int) -> list[Batch]:
    """Batches of like length, as training makes them."""
    split = questions(data, "train", 0)
    assert backbone.lengths is not None
    sampler = MemberBatches(len(split), size, seed=0, lengths=backbone.lengths(split.examples))
    rows = [rows for rows, _ in zip(sampler, range(steps), strict=False)]
    return [backbone.prepare(b) for b in batches(split, backbone.collate, rows, 0, backbone.collate_labelled)]  # type: ignore[arg-type]


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--data", default="tau/commonsense_qa", help="hub id or folder of CommonsenseQA")
    parser.add_argument("--steps", type=int, default=10, help="of a round")
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--layers", type=int, default=4)
    parser.set_defaults(batch=8, rounds=5)
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    names = [f"{options.members} members together", "PEFT, one after another", "PEFT, the needed position alone"]
    found: dict[str, Tensor] = {}
    with language_model(options.data, options.width, options.layers) as folder, tempfile.TemporaryDirectory() as saved:
        backbone, made = ensemble(folder, options.members)
        made.save_pretrained(saved)
        data = prepared(backbone, options.data, options.steps, options.batch)

        def runs(whole: bool) -> Callable[[], Tensor]:
            adapters = [Path(saved) / f"member-{m:03d}" for m in range(options.members)]
            members = [alone(folder, adapter, data, backbone.model.letters, whole) for adapter in adapters]
            return lambda: torch.stack([member() for member in members])

        def noted(name: str, run: Callable[[], Tensor]) -> Callable[[], None]:
            return lambda: found.update({name: run()})

        contenders = dict(zip(names, (together(made, data), runs(True), runs(False)), strict=True))
        timings = in_turns({n: noted(n, run) for n, run in contenders.items()}, options.rounds, warmup=1)
    print(
        f"{options.steps} steps of {options.batch} questions for each of {options.members} members, Llama of "
        f"{options.layers} layers, width {options.width}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    )
    print(f"\n{table(timings, names[0])}")
    difference = max(float((found[names[0]] - found[name]).abs().max()) for name in names[1:])
    print(f"\nlargest difference of a loss, after {(options.rounds + 1) * options.steps} steps: {difference:.1e}")
    assert difference < 1e-3, "not the same losses"
    save(options.json, {"training": timings})


if __name__ == "__main__":
    main()

"""Scoring CommonsenseQA with M members: all at once, against one after another in the published way.

The published way: each member's adapter over the model (PEFT), rows padded to 512 tokens, logits over the whole
vocabulary at every position, of which one is used. Ours: `predict_split`, rows of like length, the needed position.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from peft import PeftModel
from torch import Tensor
from transformers import AutoModelForCausalLM

from choices import CONTEXT, ensemble, language_model, questions
from lora_ensemble.contracts import LoadedBackbone, Split
from lora_ensemble.engine.lora import LoraEnsemble
from lora_ensemble.inference import predict_split
from lora_ensemble.questions.answer_logits import AnswerModel
from side_by_side import arguments, in_turns, save, table


def ours(made: LoraEnsemble, backbone: LoadedBackbone, split: Split, batch: int) -> Callable[[], Tensor]:
    """Probabilities of the letters and of everything else, (M, B, K+1)."""

    def score() -> Tensor:
        options = {"classes": list(split.classes), "batch_size": batch, "device": torch.device("cpu")}
        return predict_split(made, split, backbone, **options).probs_MBC

    return score


def published(folder: Path, adapters: Path, members: int, backbone: LoadedBackbone, split: Split, batch: int):
    """The same, one member after another."""
    names = [f"member-{m:03d}" for m in range(members)]
    plain = AutoModelForCausalLM.from_pretrained(folder)
    model = PeftModel.from_pretrained(plain, adapters / names[0], adapter_name=names[0])
    for name in names[1:]:
        model.load_adapter(str(adapters / name), adapter_name=name)
    model.eval()
    assert isinstance(backbone.model, AnswerModel)
    letters = backbone.model.letters

    @torch.no_grad()
    def score_one() -> Tensor:
        rows = []
        for start in range(0, len(split), batch):
            padded = on_the_right(backbone, split.examples[start : start + batch])
            probabilities = model(**padded).logits.softmax(-1)
            answers = probabilities[range(len(probabilities)), padded["attention_mask"].sum(1) - 1]
            rows.append(torch.cat([answers[:, letters], 1 - answers[:, letters].sum(1, keepdim=True)], 1))
        return torch.cat(rows)

    def score() -> Tensor:
        parts = []
        for name in names:
            model.set_adapter(name)
            parts.append(score_one())
        return torch.stack(parts)

    return score


def on_the_right(backbone: LoadedBackbone, examples) -> dict[str, Tensor]:
    """The same tokens, each row padded on the right to the whole context."""
    rows = [backbone.collate([example])["input_ids"][0] for example in examples]
    return {
        "input_ids": torch.stack([F.pad(row, (0, CONTEXT - len(row))) for row in rows]),
        "attention_mask": torch.stack([F.pad(torch.ones_like(row), (0, CONTEXT - len(row))) for row in rows]),
    }


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--data", default="tau/commonsense_qa", help="hub id or folder of CommonsenseQA")
    parser.add_argument("--questions", type=int, default=64, help="0: all 1,221")
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--layers", type=int, default=4)
    parser.set_defaults(batch=8, rounds=3)
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    split = questions(options.data, "test", options.questions)
    with language_model(options.data, options.width, options.layers) as folder, tempfile.TemporaryDirectory() as saved:
        backbone, made = ensemble(folder, options.members)
        made.save_pretrained(saved)
        mine = ours(made, backbone, split, options.batch)
        theirs = published(folder, Path(saved), options.members, backbone, split, options.batch)
        difference = float((mine() - theirs()).abs().max())
        names = [f"{options.members} members at once", "one after another, padded, whole vocabulary"]
        timings = in_turns(dict(zip(names, (mine, theirs), strict=True)), options.rounds, warmup=0)
    print(
        f"{len(split)} questions, {options.members} members, batches of {options.batch}, Llama of {options.layers} "
        f"layers, width {options.width}, {torch.get_num_threads()} threads, torch {torch.__version__}\n"
    )
    print(table(timings, names[0]))
    print(f"\nlargest difference of a probability: {difference:.1e}")
    assert difference < 1e-5, "not the same probabilities"
    save(options.json, {"scoring": timings})


if __name__ == "__main__":
    main()

"""Scores an untrained language model on the first questions of ARC-Easy, by continuation and by letters.

python scripts/score_continuations.py MODEL_FOLDER ARC_EASY_FOLDER [QUESTIONS]
"""

from __future__ import annotations

import sys
from typing import Any

import torch

from lora_ensemble import Predictions, evaluate
from lora_ensemble.backbones.causal_lm import CausalLM
from lora_ensemble.datasets.arc_easy import ArcEasy


@torch.no_grad()
def main(model: str, data: str, questions: int) -> None:
    split = ArcEasy(data=data).load("test")
    rows = range(min(questions, len(split)))
    assert split.labels is not None
    labels = torch.as_tensor(split.labels[: len(rows)])
    kinds: list[dict[str, Any]] = [{}]
    kinds += [{"answer": "continuation", "normalise": n} for n in ("none", "characters", "tokens", "unconditional")]
    for fields in kinds:
        loaded = CausalLM(name=model, dtype="fp32", **fields).load(len(split.classes))
        batches = [[split.examples[row] for row in rows[at : at + 10]] for at in range(0, len(rows), 10)]
        logits = torch.cat([loaded.model(**loaded.prepare(loaded.collate(batch))) for batch in batches])
        scores = evaluate(Predictions(logits[None], labels))
        values = ", ".join(f"{name} {scores[name]:.3f}" for name in ("accuracy", "nll", "ece_15"))
        print(f"{fields.get('normalise', 'letters')}: {values}", flush=True)


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) == 4 else 100)

"""Writes tests/backbones/continuation_reference.json: log-likelihoods of choices by lm-evaluation-harness 0.4.13.

    pip install lm-eval==0.4.13 && PYTHONPATH=src:tests python scripts/make_lmeval_reference.py

The model is the tests' own, random and tiny; questions and choices are those of their tests.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

OUTPUT = Path(__file__).parents[1] / "tests" / "backbones" / "continuation_reference.json"


def main() -> None:
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    from tiny_language_models import questions, save_model

    asked = questions(8)
    told: dict[str, list[list[float]]] = {}
    for architecture in ("llama", "gpt2"):
        with tempfile.TemporaryDirectory() as folder:
            model: Any = HFLM(pretrained=save_model(Path(folder), architecture), dtype="float32", device="cpu")
            for name in ("conditional", "unconditional"):
                rows = []
                for example in asked.examples:
                    context = f"Question: {example['question']}\nAnswer:" if name == "conditional" else ""
                    pairs = [(context, f" {choice}") for choice in example["choices"]]
                    requests = [Instance("loglikelihood", {}, pair, i) for i, pair in enumerate(pairs)]
                    rows.append([value for value, _ in model.loglikelihood(requests, disable_tqdm=True)])
                told[f"{architecture}-{name}"] = rows
    OUTPUT.write_text(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()

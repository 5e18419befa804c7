"""Quality against the mean number of members asked, from the stored predictions of runs: rules are fitted on validation
and tried on test.

    python benchmarks/adaptive.py RUN... [--json FILE]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from lora_ensemble import Predictions, Run
from lora_ensemble.analysis.adaptive import fit_adaptive
from lora_ensemble.errors import UserError

CHOICES = [{"budget": b} for b in (1.25, 1.5, 2.0, 3.0, 4.0)] + [{"max_loss": loss} for loss in (0.002, 0.005, 0.01)]


def scores(p: Predictions) -> tuple[float, float]:
    """Accuracy and NLL."""
    assert p.labels_B is not None
    probs_BC = p.pooled_probs()
    of_label_B = probs_BC.gather(1, p.labels_B[:, None]).clamp(min=1e-30)
    return float((probs_BC.argmax(1) == p.labels_B).double().mean()), float(-of_label_B.log().mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = []
    print("| run | rule | members asked of a test row | accuracy | NLL |\n|---|---|---:|---:|---:|")
    for folder in options.runs:
        run = Run(folder)
        validation, test = run.predict("validation"), run.predict("test")
        cal = run.calibrated or (lambda p: p)
        rows: list[tuple[str, float, Predictions]] = [("all members", float(test.num_members), test)]
        for choice in CHOICES:
            name = " ".join(f"--{k.replace('_', '-')} {v}" for k, v in choice.items())
            try:
                rule = fit_adaptive(validation, calibration=run.calibrated, **choice)
            except UserError as error:
                print(f"| {folder.name} | {name} | - | {error} | |")
                continue
            rows.append((name, float(rule.asked(test.logits_MBC).double().mean()), rule.filled(test)))
        for name, asked, p in rows:
            accuracy, nll = scores(cal(p))
            print(f"| {folder.name} | {name} | {asked:.2f} | {accuracy:.4f} | {nll:.4f} |")
            found.append({"run": folder.name, "rule": name, "asked": asked, "accuracy": accuracy, "nll": nll})
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()

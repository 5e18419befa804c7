"""The card of a model on the hub: what it is, what it was trained on, how good it is with intervals, how to use it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from lora_ensemble.analysis import reliability
from lora_ensemble.analysis.naming import label
from lora_ensemble.report.sections.reliability import reliability_diagram

if TYPE_CHECKING:
    from lora_ensemble.analysis import Scores
    from lora_ensemble.predictions import Predictions

PICTURE = "reliability.png"
SCORES = ("accuracy", "nll", "brier", "ece_15", "aurc", "f1_macro")
_PIPELINES = {"text": "text-classification", "image": "image-classification", "audio": "audio-classification"}


@dataclass(frozen=True, eq=False)
class About:
    """What is known of a run, without paths of the machine that it was made on."""

    title: str
    base: str | None
    """Hub id, or None for a local model."""
    members: int
    method: str
    modality: str
    data: str
    classes: Sequence[str]
    split: str = "test"
    calibration: str | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    """Further ones, by name."""
    is_run: bool = True
    """Whether the repository holds the records of the run, so that it can be pulled."""
    has_peft: bool = True
    """Whether members are adapters that PEFT loads."""


def card(about: About, repo: str, scores: Scores | None, why: str = "") -> str:
    """README.md of the repository. scores: on a test split, calibrated ones beside them; why: there are none."""
    return "\n\n".join(
        [
            _head(about),
            f"# {about.title}",
            f"An ensemble of {about.members} member{'s' * (about.members > 1)} ({about.method}) over {_base(about)}, "
            "made with lora-ensemble: every prediction comes with its uncertainty, split into aleatoric (the data's) "
            "and epistemic (the members' disagreement).",
            _facts(about),
            "## How good it is",
            _numbers(about, scores, why),
            "## How to use it",
            _use(about, repo),
        ]
    )


def picture(p: Predictions, path: Path) -> None:
    """A reliability diagram as PNG: of the calibrated predictions, where there is a calibration."""
    bins = reliability(p)
    figure = reliability_diagram(bins.confidence_K, bins.accuracy_K, bins.count_K, title="reliability")
    figure.savefig(path, dpi=200)


def _base(about: About) -> str:
    return f"[{about.base}](https://huggingface.co/{about.base})" if about.base else "a local base model"


def _head(about: About) -> str:
    """Metadata, as YAML; JSON is YAML."""
    fields: dict[str, object] = {
        "library_name": "lora-ensemble",
        "tags": ["lora-ensemble", "uncertainty", "calibration"],
    }
    if about.has_peft:
        fields["tags"] = ["lora-ensemble", "uncertainty", "calibration", "peft", "lora"]
    if about.base:
        fields["base_model"] = about.base
    if about.modality in _PIPELINES:
        fields["pipeline_tag"] = _PIPELINES[about.modality]
    return "\n".join(["---", *(f"{name}: {json.dumps(value)}" for name, value in fields.items()), "---"])


def _facts(about: About) -> str:
    names = ", ".join(about.classes[:20]) + (f" and {len(about.classes) - 20} more" if len(about.classes) > 20 else "")
    facts = {"data": about.data, f"{len(about.classes)} classes": names, **about.facts}
    return "\n".join(["## What it is", "", *(f"- **{name}**: {text}" for name, text in facts.items() if text)])


def _numbers(about: About, scores: Scores | None, why: str) -> str:
    if scores is None:
        return f"Not measured: {why}." if why else "Not measured."
    after = scores.calibrated
    header = ["score", "value", "95 % interval", *(["calibrated", "95 % interval"] if after is not None else [])]
    rows = [header, ["---", *["---:"] * (len(header) - 1)]]
    for name in SCORES:
        if name in scores:
            cells = [label(name, arrow=True), *_cells(scores, name)]
            rows.append(cells + (_cells(after, name) if after is not None else []))
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    what = f"On the {scores.about['samples']} samples of the {about.split} split, with bootstrap intervals."
    kind = f" Calibrated: {about.calibration}, fitted to the validation split." if after is not None else ""
    return f"{what}{kind}\n\n{table}\n\n![Reliability]({PICTURE})"


def _cells(scores: Scores, name: str) -> list[str]:
    low, high = scores.intervals.get(name, (float("nan"), float("nan")))
    return [f"{scores[name]:.4f}", f"{low:.4f} to {high:.4f}"]


def _use(about: About, repo: str) -> str:
    model = "" if about.base else ", model"
    lines = ["```python", "from lora_ensemble import Ensemble", ""]
    lines += [f'ensemble = Ensemble.from_pretrained("{repo}"{model})', "predictions = ensemble.predict(**inputs)"]
    lines += ["predictions.mean_probs_BC, predictions.epistemic_B", "```"]
    if about.is_run:
        lines += ["", "New rows to answers in a file:", "", "```", f"lora-ensemble pull {repo} --output run"]
        lines += ["lora-ensemble predict run --input NEW --output answers.csv", "```"]
    if about.has_peft:
        lines += ["", "Each folder `member-NNN` is a PEFT adapter by itself."]
    return "\n".join(lines)

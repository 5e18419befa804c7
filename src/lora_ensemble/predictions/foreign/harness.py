"""Samples that lm-evaluation-harness logs (`--log_samples`, samples_*.jsonl): log-likelihoods of choices.

A line is a question: `filtered_resps` has [log-likelihood, is greedy] of each choice, `arguments` the context and the
continuation that it was asked for, `target` the right one, by its number or as its text, and `acc` whether the most
likely choice is right. Numbers are written as texts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lora_ensemble.errors import DataError
from lora_ensemble.predictions.foreign.found import Found, Wanted

ABSENT = -1e4
"""Logit of a choice that a question with fewer choices does not have: its probability is 0."""

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Sample:
    """One question."""

    id: str
    logits_C: list[float]
    choices: list[str]
    """Continuations, without the space before them."""
    target: str
    right: bool | None
    """What `acc` says."""


def is_samples(records: Sequence[Record]) -> bool:
    """Whether these lines are such samples."""
    return "resps" in records[0] and "arguments" in records[0]


def found_in(records: Sequence[Record], wanted: Wanted) -> Found:
    """One member: the log-likelihoods are its logits. Raises DataError for tasks without choices."""
    for what, given in (("array", ", ".join(wanted.columns)), ("column", wanted.labels)):
        if given:
            raise DataError(f"holds samples of lm-evaluation-harness, in which there is no {what} {given!r}")
    filters = list(dict.fromkeys(record.get("filter") for record in records))
    samples = [_sample(record, row) for row, record in enumerate(records) if record.get("filter") == filters[0]]
    most = max(len(sample.logits_C) for sample in samples)
    logits = [sample.logits_C + [ABSENT] * (most - len(sample.logits_C)) for sample in samples]
    return Found(logits, labels=_labels(samples) if wanted.labelled else None, ids=[sample.id for sample in samples])


def _sample(record: Record, row: int) -> Sample:
    where = f"row {row}"
    try:
        answers = record.get("filtered_resps") or [one[0] for one in record["resps"]]
        asked = [dict(part) for part in _parts(record["arguments"])]
        if any(isinstance(answer, str) or len(answer) != 2 for answer in answers):
            raise DataError(
                f"{where} is a text or a single likelihood: only tasks of output type multiple_choice count"
            )
        logits = [float(answer[0]) for answer in answers]
        contexts, texts = ([str(part[f"arg_{k}"]) for part in asked] for k in (0, 1))
        kept = _conditional(contexts, texts)
        if len(texts) != len(logits) or kept < 2:
            raise DataError(f"{where} has {len(logits)} answers to {len(texts)} choices: expected at least two of each")
        right = record.get("acc")
        choices = [text.strip() for text in texts[:kept]]
        target = str(record.get("target", "")).strip()
        return Sample(str(record["doc_id"]), logits[:kept], choices, target, None if right is None else bool(right))
    except DataError:
        raise
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise DataError(f"{where} is no sample of a task with choices ({type(error).__name__}: {error})") from None


def _parts(arguments: Any) -> list[Any]:
    """Of each request; newer versions number them, older ones list them."""
    if isinstance(arguments, Mapping):
        return list(arguments.values())
    return [{f"arg_{k}": value for k, value in enumerate(request)} for request in arguments]


def _conditional(contexts: Sequence[str], texts: Sequence[str]) -> int:
    """How many of the requests are the choices: with acc_mutual_info each is asked for again, without the question."""
    half, odd = divmod(len(texts), 2)
    again = not odd and half >= 2 and list(texts[:half]) == list(texts[half:]) and len(set(contexts[half:])) == 1
    return half if again and contexts[0] != contexts[half] else len(texts)


def _labels(samples: Sequence[Sample]) -> list[int] | None:
    """The right choice of each question, by its number. `acc` tells whether targets are numbers or texts, where choices
    are numbers, too."""
    if all(not sample.target for sample in samples):
        return None
    ways = {"numbers": [_by_number(s) for s in samples], "texts": [_by_text(s) for s in samples]}
    fitting = {
        way: labels
        for way, labels in ways.items()
        if all(label is not None for label in labels) and all(map(_agrees, samples, labels))
    }
    different = {tuple(label for label in labels if label is not None) for labels in fitting.values()}
    if len(different) == 1:
        return list(different.pop())
    if different:
        raise DataError("targets may be numbers of choices or their texts: give the labels in a file")
    row = next((b for b, labels in enumerate(zip(*ways.values(), strict=True)) if set(labels) == {None}), None)
    if row is None:
        raise DataError("targets do not agree with acc: give the labels in a file")
    raise DataError(
        f"row {row}: target {samples[row].target!r} is none of the {len(samples[row].choices)} choices; "
        "give the labels in a file, or none"
    )


def _by_number(sample: Sample) -> int | None:
    number = int(sample.target) if sample.target.isdecimal() else -1
    return number if 0 <= number < len(sample.choices) else None


def _by_text(sample: Sample) -> int | None:
    return sample.choices.index(sample.target) if sample.target in sample.choices else None


def _agrees(sample: Sample, label: int | None) -> bool:
    return sample.right is None or (sample.logits_C.index(max(sample.logits_C)) == label) == sample.right

"""Single predictions worth a look: the most uncertain ones, and those that are wrong with the most confidence."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from lora_ensemble.predictions import Pooling, Predictions


@dataclass(frozen=True)
class Preview:
    """A sample, small enough for a page."""

    text: str | None = None
    image: str | None = None
    """A data URI: the picture, or the spectrogram of a sound."""
    audio: str | None = None
    """A data URI."""


Previews = Callable[[Sequence[str]], Mapping[str, Preview]]
"""Ids of samples -> what to show of them."""


@dataclass(frozen=True)
class Example:
    """One prediction of an ensemble."""

    id: str
    """Name of the sample; its row number where the predictions have no ids."""
    label: str | None
    """Its class, by name where the classes have names."""
    predicted: str
    """The class that the ensemble predicts."""
    confidence: float
    """Probability of that class."""
    agreeing: int
    """Members that predict that class by themselves."""
    total: float
    """Total uncertainty, nats."""
    epistemic: float
    """Epistemic uncertainty, nats."""
    preview: Preview | None = None
    """What the sample looks, sounds or reads like."""


def most_uncertain(p: Predictions, number: int, pooling: Pooling = "mean-of-probabilities") -> tuple[Example, ...]:
    """The samples of highest total uncertainty, that one first."""
    return _examples(p, p.total_B.argsort(descending=True, stable=True)[:number], pooling)


def most_disputed(p: Predictions, number: int, pooling: Pooling = "mean-of-probabilities") -> tuple[Example, ...]:
    """The samples of highest epistemic uncertainty, that one first; none of a single member."""
    if p.num_members == 1:
        return ()
    return _examples(p, p.epistemic_B.argsort(descending=True, stable=True)[:number], pooling)


def with_previews(
    lists: Mapping[str, tuple[Example, ...]], previews: Previews | None
) -> dict[str, tuple[Example, ...]]:
    """The same lists, their samples shown; each is looked up once."""
    if previews is None:
        return dict(lists)
    shown = previews(list(dict.fromkeys(e.id for examples in lists.values() for e in examples)))
    return {name: tuple(replace(e, preview=shown.get(e.id)) for e in examples) for name, examples in lists.items()}


def most_confidently_wrong(
    p: Predictions, number: int, pooling: Pooling = "mean-of-probabilities"
) -> tuple[Example, ...]:
    """The wrongly predicted samples of highest confidence, that one first; none without labels."""
    if p.labels_B is None:
        return ()
    confidence_B, predicted_B = p.pooled_probs(pooling).max(-1)
    wrong = (predicted_B != p.labels_B).nonzero().flatten()
    order = confidence_B[wrong].argsort(descending=True, stable=True)[:number]
    return _examples(p, wrong[order], pooling)


def _examples(p: Predictions, rows: Tensor, pooling: Pooling) -> tuple[Example, ...]:
    confidence_B, predicted_B = p.pooled_probs(pooling).max(-1)
    agreeing_B = (p.logits_MBC.argmax(-1) == predicted_B).sum(0)
    classes = p.meta.get("classes") or range(p.num_classes)
    return tuple(
        Example(
            id=str(b) if p.ids is None else p.ids[b],
            label=None if p.labels_B is None else str(classes[int(p.labels_B[b])]),
            predicted=str(classes[int(predicted_B[b])]),
            confidence=float(confidence_B[b]),
            agreeing=int(agreeing_B[b]),
            total=float(p.total_B[b]),
            epistemic=float(p.epistemic_B[b]),
        )
        for b in rows.tolist()
    )

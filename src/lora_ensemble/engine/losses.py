"""One loss per member: (M,) means, exactly what each member would compute alone."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from lora_ensemble.errors import DataError

IGNORE = -100
"""Label of positions that take no part in the loss, as everywhere in transformers."""


Loss = Callable[[Tensor, Tensor, Tensor | None], Tensor]
"""Logits (M, N, C), labels (M, N) and class weights (C,) or None, to losses (M,)."""


def member_cross_entropy(logits: Tensor, labels: Tensor, class_weights: Tensor | None = None) -> Tensor:
    """Mean cross-entropy of each member, (M,), in nats.

    logits: (M, N, C), labels: (M, N). Labels equal to -100 are ignored. With class weights (C,) the mean is weighted
    and normalised by the sum of the weights, as torch.nn.CrossEntropyLoss does; where nothing counts, it is 0. Classes
    beyond the weights ("everything else", which is no label) have weight 0.
    """
    flat_logits, weights = logits.reshape(-1, logits.shape[-1]).float(), class_weights
    if weights is not None:
        weights = F.pad(weights.to(flat_logits), (0, flat_logits.shape[-1] - len(weights)))
    losses = F.cross_entropy(flat_logits, labels.reshape(-1), weights, reduction="none", ignore_index=IGNORE)
    kept = (labels != IGNORE).to(flat_logits)
    total = (kept if weights is None else kept * weights[labels.clamp(min=0)]).sum(1)
    return losses.view(len(logits), -1).sum(1) / total.where(total > 0, 1)


def member_binary_cross_entropy(logits: Tensor, labels: Tensor, class_weights: Tensor | None = None) -> Tensor:
    """Mean binary cross-entropy of each member, (M,), in nats: each class against all others, labels one-hot.

    logits: (M, N, C), labels: (M, N). The mean is over the classes, too, as torch.nn.BCEWithLogitsLoss takes it; with
    class weights (C,) every class's part is multiplied by its own. Labels equal to -100 are ignored.
    """
    classes = logits.shape[-1]
    targets = F.one_hot(labels.clamp(min=0), classes).float()
    weights = None if class_weights is None else F.pad(class_weights.float(), (0, classes - len(class_weights)))
    losses = F.binary_cross_entropy_with_logits(logits.float(), targets, weights, reduction="none").mean(-1)
    kept = (labels != IGNORE).to(losses)
    return (losses * kept).sum(1) / kept.sum(1).clamp(min=1)


LOSSES: dict[str, Loss] = {
    "cross-entropy": member_cross_entropy,
    "binary-cross-entropy": member_binary_cross_entropy,
}
"""Losses by the name that a user types; `Ensemble.loss_name` is one of them."""


def check_labels(labels: Tensor, num_classes: int) -> None:
    """Raises DataError that names the first label outside 0 .. num_classes - 1 (and not -100); also where a label is no
    whole number, or there are no two classes."""
    if labels.is_floating_point() or labels.dtype == torch.bool:
        raise DataError(
            f"labels are of type {str(labels.dtype).removeprefix('torch.')}; class indices are whole numbers"
        )
    if num_classes < 2:
        raise DataError(f"the head has {num_classes} class; regression is not supported yet, classes are at least two")
    bad = (labels != IGNORE) & ((labels < 0) | (labels >= num_classes))
    if bool(bad.any()):
        value = int(labels[bad][0])
        raise DataError(f"label {value} is out of range: the head has {num_classes} classes, 0 to {num_classes - 1}")


def finite(values: Tensor) -> bool:
    """Whether no value is NaN or infinite."""
    return bool(torch.isfinite(values).all())

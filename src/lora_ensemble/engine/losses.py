"""One loss per member: (M,) means of cross-entropy, exactly what each member would compute alone."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lora_ensemble.errors import ConfigurationError, DataError

IGNORE = -100
"""Label of positions that take no part in the loss, as everywhere in transformers."""


def member_cross_entropy(logits: Tensor, labels: Tensor, class_weights: Tensor | None = None) -> Tensor:
    """Mean cross-entropy of each member, (M,), in nats.

    logits: (M, B, C) with labels (B,) or (M, B); or (M, B, T, V) with labels (B, T) or (M, B, T), which are shifted by
    one here, as causal language models do. Labels equal to -100 are ignored. With class weights (C,) the mean is
    weighted and normalised by the sum of the weights, as torch.nn.CrossEntropyLoss does; where nothing counts, it is 0.
    Classes beyond the weights ("everything else", which is no label) have weight 0. Raises ConfigurationError for
    weights of classes where the labels are tokens.
    """
    members = logits.shape[0]
    if logits.ndim == 4:
        if class_weights is not None:
            raise ConfigurationError(["class weights are for labels that are classes; here, they are tokens"])
        logits, labels = logits[:, :, :-1], labels[..., 1:]
    if labels.ndim == logits.ndim - 2:
        labels = labels.expand(members, *labels.shape)
    flat_labels = labels.reshape(members, -1)
    flat_logits = logits.reshape(-1, logits.shape[-1]).float()
    weights = class_weights
    if weights is not None:
        weights = F.pad(weights.to(flat_logits), (0, flat_logits.shape[-1] - len(weights)))
    losses = F.cross_entropy(flat_logits, flat_labels.reshape(-1), weights, reduction="none", ignore_index=IGNORE)
    kept = (flat_labels != IGNORE).to(flat_logits)
    total = (kept if weights is None else kept * weights[flat_labels.clamp(min=0)]).sum(1)
    return losses.view(members, -1).sum(1) / total.where(total > 0, 1)


def check_labels(labels: Tensor, num_classes: int) -> None:
    """Raises DataError that names the first label outside 0 .. num_classes - 1 (and not -100)."""
    bad = (labels != IGNORE) & ((labels < 0) | (labels >= num_classes))
    if bool(bad.any()):
        value = int(labels[bad][0])
        raise DataError(f"label {value} is out of range: the head has {num_classes} classes, 0 to {num_classes - 1}")


def finite(values: Tensor) -> bool:
    """Whether no value is NaN or infinite."""
    return bool(torch.isfinite(values).all())

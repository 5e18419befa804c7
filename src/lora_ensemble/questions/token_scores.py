"""Every token of a text as one prediction: what is kept of a distribution over the whole vocabulary."""

from __future__ import annotations

import torch
from torch import Tensor

from lora_ensemble.engine.losses import IGNORE


def token_logits(logits: Tensor, labels: Tensor, others: int) -> Tensor:
    """Log-probabilities (M, N, 1 + others + 1) of the N tokens that have a label: of the token itself, of the `others`
    tokens that the members together think likeliest beside it, and of everything else.

    logits: (M, B, T, V), of which those at a position predict the next one. labels: (B, T), -100 where there is none.
    The probability of the token itself and the largest probability of the ensemble's mean are exact, hence NLL,
    accuracy and calibration; entropies count everything else as one token, which makes them lower bounds.
    """
    targets = labels[:, 1:]
    kept = targets != IGNORE
    logs_MNV = torch.log_softmax(logits[:, :, :-1][:, kept].float(), -1)
    own_N1 = targets[kept][:, None]
    likeliest = logs_MNV.exp().mean(0).scatter(1, own_N1, -1.0).topk(min(others, logits.shape[-1] - 2), dim=1).indices
    chosen_MNK = torch.cat([own_N1, likeliest], 1).expand(len(logits), -1, -1)
    rest_MN1 = logs_MNV.scatter(2, chosen_MNK, float("-inf")).logsumexp(2, keepdim=True)
    return torch.cat([logs_MNV.gather(2, chosen_MNK), rest_MN1], 2)


def token_classes(others: int, vocabulary: int) -> tuple[str, ...]:
    """Names of the classes of `token_logits` but the first."""
    return (*(f"other token {n + 1}" for n in range(min(others, vocabulary - 2))), "everything else")

"""One network out of the members' own weights, without training: the mean of their updates, truncated to a rank; and
the greedy soup (Wortsman et al., "Model soups", ICML 2022), which leaves out members that do not help."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from lora_ensemble.engine.layers.lora import MemberLinear
from lora_ensemble.engine.lora import LoraEnsemble
from lora_ensemble.errors import ConfigurationError


@torch.no_grad()
def average(ensemble: LoraEnsemble, chosen: Sequence[int], student: LoraEnsemble) -> LoraEnsemble:
    """Fill a student of one member with the mean of the chosen members: of each layer's update B A, the nearest one of
    the student's rank; of the heads, their mean. Raises ConfigurationError for adapters of another kind than LoRA."""
    own = dict(student.member_layers())
    for path, layer in ensemble.member_layers():
        target = own[path]
        if isinstance(layer, MemberLinear) and isinstance(target, MemberLinear):
            update = torch.stack([layer.update(m).double() for m in chosen]).mean(0)
            A, B = low_rank(update / target.scale, target.r, target.splits)
            target.lora_A[0].copy_(A)
            target.lora_B[0].copy_(B)
        elif layer.squared_norms(range(1)) is None and not hasattr(layer, "base_layer"):
            states = [layer.member_state(m) for m in chosen]
            target.load_member_state(0, {n: torch.stack([s[n] for s in states]).mean(0) for n in states[0]})
        else:
            raise ConfigurationError([f"the mean of updates is of LoRA adapters alone; {path} has another kind"])
    return student


def low_rank(update: Tensor, r: int, splits: int) -> tuple[Tensor, Tensor]:
    """A (splits * r, in) and B (out, r) whose products, of each of the equal parts of the output, are nearest to it
    (Eckart and Young 1936)."""
    parts_A, parts_B = [], []
    for part in update.chunk(splits):
        U, S, V = torch.linalg.svd(part, full_matrices=False)
        root = S[:r].sqrt()
        A, B = update.new_zeros(r, part.shape[1]), update.new_zeros(part.shape[0], r)
        A[: len(root)], B[:, : len(root)] = root[:, None] * V[:r], U[:, :r] * root
        parts_A.append(A)
        parts_B.append(B)
    return torch.cat(parts_A), torch.cat(parts_B)


def greedy_soup(losses_M: Sequence[float], loss_of: Callable[[list[int]], float]) -> list[int]:
    """The members whose mean has the lowest loss that adding one after another, the best first, comes to."""
    order = sorted(range(len(losses_M)), key=lambda m: losses_M[m])
    chosen, best = [order[0]], loss_of([order[0]])
    for member in order[1:]:
        loss = loss_of([*chosen, member])
        if loss <= best:
            chosen, best = [*chosen, member], loss
    return chosen

"""Share of members that do not vote for the class with the most votes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

MEMBERS = 2


def uncertainty(classes_MB: Tensor) -> Tensor:
    """0 .. 1 - 1/M (Freeman 1965; Gal 2016, section 3.3.1). Which of equally frequent classes wins does not matter."""
    import torch

    sorted_MB = classes_MB.sort(0).values
    members = len(sorted_MB)
    streak_B = torch.ones_like(sorted_MB[0])
    votes_B = streak_B
    for m in range(1, members):  # equal classes are neighbours
        streak_B = torch.where(sorted_MB[m] == sorted_MB[m - 1], streak_B + 1, 1)
        votes_B = torch.maximum(votes_B, streak_B)
    return 1 - votes_B.double() / members

"""Words in capitals, as typed with caps lock or in anger."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lora_ensemble.text.shift import TextShift

if TYPE_CHECKING:
    import torch

SHARES = (0.1, 0.25, 0.5, 0.75, 1.0)
"""Of the words in capitals, by severity."""


@dataclass(frozen=True)
class Case(TextShift):
    """At a higher severity the same words, and more; at the highest all of them."""

    def changed(self, text: str, generator: torch.Generator) -> str:
        import re

        import torch

        def written(word: re.Match[str]) -> str:
            chosen = float(torch.rand((), generator=generator)) < SHARES[self.severity - 1]
            return word[0].upper() if chosen else word[0]

        return re.sub(r"\S+", written, text)

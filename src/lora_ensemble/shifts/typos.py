"""Typing mistakes: letters left out, doubled, swapped with the next, or hit beside their key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lora_ensemble.text.shift import TextShift

if TYPE_CHECKING:
    import torch

SHARES = (0.02, 0.05, 0.1, 0.15, 0.2)
"""Of the letters with a mistake, by severity."""
ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")


@dataclass(frozen=True)
class Typos(TextShift):
    """Digits, spaces and punctuation stay; keys are those of a QWERTY keyboard."""

    def changed(self, text: str, generator: torch.Generator) -> str:
        import torch

        chances = torch.rand(len(text), 2, generator=generator).tolist()
        made, held = [], ""
        for letter, (chance, kind) in zip(text, chances, strict=True):
            if chance < SHARES[self.severity - 1] and letter.isalpha() and not held:
                if kind < 0.25 and len(text) > 1:
                    continue  # left out
                if kind < 0.5:
                    made.append(letter)  # doubled
                elif kind < 0.75:
                    held = letter  # comes after the next
                    continue
                else:
                    letter = _beside(letter, kind)
            made += [letter, held]
            held = ""
        return "".join(made) + held or text


def _beside(letter: str, chance: float) -> str:
    """The letter of a key next to it in its row; the letter itself where it is on no such key. chance: 0.75 .. 1."""
    for row in ROWS:
        at = row.find(letter.lower())
        if at >= 0:
            other = row[at + 1 if (chance < 0.875 and at + 1 < len(row)) or at == 0 else at - 1]
            return other.upper() if letter.isupper() else other
    return letter

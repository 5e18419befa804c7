"""What the shifts of texts have in common: the text of a row is changed, or the question, never the choices."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from lora_ensemble.contracts import Example, Shift

if TYPE_CHECKING:
    import torch

_FIELDS = ("text", "text_pair", "question")


@dataclass(frozen=True)
class TextShift(Shift):
    """A change of texts, of both texts of a pair, of questions; examples shown before a question stay as they are."""

    modalities: ClassVar[tuple[str, ...]] = ("text", "choices")

    @abstractmethod
    def changed(self, text: str, generator: torch.Generator) -> str:
        """Another text, which is empty only where this one is."""

    def shifted(self, example: Example, generator: torch.Generator) -> Example:
        texts = {name: self.changed(example[name], generator) for name in _FIELDS if name in example}
        return {**example, **texts}

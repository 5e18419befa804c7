"""Multiple-choice questions as text: the prompt up to the letter of the answer, and what follows it."""

from __future__ import annotations

import string
from collections.abc import Iterable
from dataclasses import dataclass

from lora_ensemble.contracts import Example
from lora_ensemble.errors import DataError

BETWEEN = "\n\n"
"""Between the examples that are shown (few-shot) and the question."""


@dataclass(frozen=True)
class Prompts:
    """A template, as in str.format. `prompt` has {question}, {choices} and {answer}; `choice` has {letter} and
    {choice}, one line for each."""

    prompt: str
    choice: str
    letters: str

    def problems(self) -> list[str]:
        """What is wrong with the templates and the letters, a line each."""
        found = _wrong_fields("prompt", self.prompt, ("question", "choices", "answer"))
        found += _wrong_fields("choice", self.choice, ("letter", "choice"))
        if not found and _fields(self.prompt)[-1] != "answer":
            found.append(f"backbone.prompt = {self.prompt!r}: {{answer}} must come last")
        if twice := sorted({c for c in self.letters if self.letters.count(c) > 1}):
            found.append(f"backbone.letters = {self.letters!r}: {twice[0]!r} comes twice")
        return found

    def before(self, example: Example) -> str:
        """Everything up to the letter of the answer, the examples to show first included."""
        shots = [self._unanswered(shot) + self.answered(shot["answer"]) for shot in example.get("shots", ())]
        return BETWEEN.join([*shots, self._unanswered(example)])

    def answered(self, answer: int) -> str:
        """The letter of an answer, and what follows it."""
        return self.letters[answer] + self.prompt.split("{answer}")[1].format()

    def _unanswered(self, example: Example) -> str:
        choices = example["choices"]
        if not 0 < len(choices) <= len(self.letters):
            raise DataError(
                f"the question {beginning(example)} has {len(choices)} choices, expected 1 to {len(self.letters)}, a "
                "letter for each (backbone.letters)"
            )
        lines = [self.choice.format(letter=a, choice=b) for a, b in zip(self.letters, choices, strict=False)]
        return self.prompt.split("{answer}")[0].format(question=example["question"], choices="\n".join(lines))


def beginning(example: Example, characters: int = 50) -> str:
    """How a question begins, quoted, on one line: its name in a message."""
    text = " ".join(str(example["question"]).split())
    return repr(text if len(text) <= characters else text[:characters] + "...")


def _fields(template: str) -> list[str]:
    return [name for _, name, _, _ in string.Formatter().parse(template) if name is not None]


def _wrong_fields(name: str, template: str, expected: Iterable[str]) -> list[str]:
    wanted = ", ".join(f"{{{field}}}" for field in expected)
    try:
        present = _fields(template)
    except ValueError as error:
        return [f"backbone.{name} = {template!r}: {error}"]
    plain = all(template.count(f"{{{field}}}") == 1 for field in expected)  # no {answer!r}, no {question:>40}
    if plain and sorted(present) == sorted(expected):
        return []
    return [f"backbone.{name} = {template!r}: must have {wanted}, each once"]

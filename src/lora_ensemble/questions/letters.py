"""The tokens of the answer letters, found by asking the tokenizer, in context."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lora_ensemble.errors import UserError

Encode = Callable[[Sequence[str]], list[list[int]]]
"""Texts to token ids, with the tokenizer's own special tokens."""


@dataclass(frozen=True)
class LetterTokens:
    """What a letter is to a tokenizer at the end of a prompt."""

    ids: tuple[int, ...]
    """Token of each letter."""
    after: int
    """How many special tokens the tokenizer adds behind it."""

    def cut(self, ids: list[int]) -> list[int] | None:
        """The prompt's tokens, without its letter, given those of the prompt with its first letter. None where that
        letter is another token than elsewhere."""
        at = len(ids) - 1 - self.after
        return ids[:at] if at > 0 and ids[at] == self.ids[0] else None


def letter_tokens(encode: Encode, before: str, letters: str) -> LetterTokens:
    """Tokenise a prompt with each of the letters, and compare: they must share all but one token.

    Raises UserError where two letters share that token, and where a letter takes more than one.
    """
    texts = encode([before + letter for letter in letters])
    at = next((i for i, column in enumerate(zip(*texts, strict=False)) if len(set(column)) > 1), None)
    here = f"after {before[-12:]!r}; change backbone.prompt or backbone.letters"
    if at is None:
        raise UserError(f"the tokenizer cannot tell the letters {', '.join(letters)} from each other {here}")
    ids = [ids[at] for ids in texts]
    for k, (letter, token) in enumerate(zip(letters, ids, strict=True)):
        if token in ids[:k]:
            other = letters[ids.index(token)]
            raise UserError(f"the letters {other!r} and {letter!r} share their first token {here}")
    rests = [ids[at + 1 :] for ids in texts]
    shortest = min(rests, key=len)
    for letter, rest in zip(letters, rests, strict=True):
        if rest != shortest:
            raise UserError(f"the letter {letter!r} takes {len(rest) - len(shortest) + 1} tokens, expected one, {here}")
    return LetterTokens(tuple(ids), len(shortest))

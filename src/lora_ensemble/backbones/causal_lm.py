"""Any causal language model of transformers (Llama, Mistral, Qwen, GPT-2 ...), answering multiple-choice questions."""

from __future__ import annotations

import string
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from lora_ensemble.contracts import Backbone, LoadedBackbone
from lora_ensemble.errors import UserError

if TYPE_CHECKING:
    from lora_ensemble.questions.answer_logits import AnswerModel
    from lora_ensemble.questions.inputs import Questions
    from lora_ensemble.questions.letters import LetterTokens
    from lora_ensemble.questions.prompts import Prompts


@dataclass(frozen=True)
class CausalLM(Backbone):
    """One copy of the language model, frozen under LoRA; every member answers with the model's own output layer.

    Choices are called by letters, each of which must be one token to the tokenizer. Prompts are padded on the left to
    the longest of their batch."""

    modality = "choices"

    name: str = "mistralai/Mistral-7B-v0.1"
    """Hub id or local folder, with a tokenizer."""
    dtype: Literal["fp32", "bf16", "fp16"] = "bf16"
    """Precision of the model's weights; members are kept in fp32. Training with fp16 needs `training.precision` fp16,
    too, which keeps small gradients from becoming 0."""
    quantise: Literal["none", "4bit"] = "none"
    """4bit: weights in NF4, computed with in `dtype`; needs bitsandbytes."""
    loss: Literal["single-token", "next-token"] = "single-token"
    """What is learned: the answer's letter alone, or every token of prompt and answer."""
    scores: Literal["letters+rest", "letters", "vocabulary", "tokens"] = "letters+rest"
    """Classes: the letters and everything else that could follow the prompt (letters+rest), the letters alone, or every
    token of the vocabulary. tokens: a row for every token of prompt and answer, with its own probability, that of
    `top_tokens` others, and the rest; needs loss = next-token."""
    top_tokens: int = 20
    """tokens: how many of the likeliest other tokens are classes of their own."""
    prompt: str = "Q: {question}\nAnswer Choices:\n{choices}\nA: ({answer})."
    """Template with {question}, {choices} and, after them, {answer}, the letter."""
    choice: str = "({letter}) {choice}"
    """Template of a line of {choices}."""
    letters: str = string.ascii_lowercase
    """What the choices are called, in their order."""
    max_length: int | None = None
    """Most tokens of a prompt with its answer, at most as many as the model can read, which is the default."""
    truncate: Literal["never", "left"] = "never"
    """Longer prompts are refused (never), or lose their beginning (left): a warning says how many."""

    def problems(self) -> list[str]:
        found = self._prompts().problems()
        if self.max_length is not None and self.max_length < 8:
            found.append(f"backbone.max_length = {self.max_length}: must be at least 8")
        if self.top_tokens < 1:
            found.append(f"backbone.top_tokens = {self.top_tokens}: must be at least 1")
        if self.scores == "tokens" and self.loss != "next-token":
            found.append(f"backbone.scores = 'tokens': needs backbone.loss = 'next-token', not {self.loss!r}")
        return found

    def load(self, num_classes: int) -> LoadedBackbone:
        """The model and its tokenizer, for questions with `num_classes` letters.

        Raises UserError for a name that cannot be loaded, for a tokenizer to which a letter is not one token, and
        where bitsandbytes is missing; FileFormatError for weights that do not fit."""
        from lora_ensemble.questions.answer_logits import AnswerModel
        from lora_ensemble.questions.language_models import (
            load_model,
            load_tokenizer,
            takes_positions,
            vocabulary_size,
        )

        if problems := self.problems():
            raise UserError(problems[0])
        if not 2 <= num_classes <= len(self.letters):
            raise UserError(f"{num_classes} classes: expected 2 to {len(self.letters)}, a letter for each")
        tokenizer = load_tokenizer(self.name)
        letters = self._letters(tokenizer, num_classes)
        model = load_model(self.name, self.dtype, self.quantise)
        size = vocabulary_size(model)
        if (highest := max(letters.ids)) >= size:
            raise UserError(f"the tokenizer of {self.name!r} does not fit its model: token {highest} of {size}")
        questions = self._questions(tokenizer, letters, model, size)
        answering = AnswerModel(model, letters.ids, self.scores, size)
        return LoadedBackbone(
            model=answering,
            collate=questions.collate,
            prepare=questions.prepare if takes_positions(model) else dict,
            head=None,
            collate_labelled=questions.texts if self.loss == "next-token" else questions.answers,
            lengths=questions.lengths,
            **self._classes(tokenizer, answering, size),
        )

    def _prompts(self) -> Prompts:
        from lora_ensemble.questions.prompts import Prompts

        return Prompts(self.prompt, self.choice, self.letters)

    def _letters(self, tokenizer: Any, num_classes: int) -> LetterTokens:
        """Tried on a question of no meaning."""
        from lora_ensemble.questions.language_models import Encoder
        from lora_ensemble.questions.letters import letter_tokens

        probe = {"question": "Which one?", "choices": ["this one"] * num_classes}
        return letter_tokens(Encoder(tokenizer), self._prompts().before(probe), self.letters[:num_classes])

    def _questions(self, tokenizer: Any, letters: LetterTokens, model: Any, size: int) -> Questions:
        from lora_ensemble.questions.inputs import Questions
        from lora_ensemble.questions.language_models import Encoder, special_tokens_before

        marks = (tokenizer.pad_token_id, tokenizer.eos_token_id)
        context = getattr(model.config.get_text_config(), "max_position_embeddings", None)
        return Questions(
            prompts=self._prompts(),
            encode=Encoder(tokenizer),
            letters=letters,
            limit=min((limit for limit in (self.max_length, context) if limit is not None), default=None),
            truncate=self.truncate == "left",
            first=special_tokens_before(tokenizer),
            padding=next((t for t in marks if t is not None and t < size), 0),  # a pad token may have been added later
            vocabulary=size,
            whole=self.loss == "next-token",
        )

    def _classes(self, tokenizer: Any, answering: AnswerModel, size: int) -> dict[str, Any]:
        """What the logits have beyond the letters."""
        from functools import partial

        from lora_ensemble.questions.token_scores import token_classes, token_logits

        if self.scores == "tokens":
            by_token = partial(token_logits, others=self.top_tokens)
            return {"by_token": by_token, "other_classes": token_classes(self.top_tokens, size)}
        if self.scores == "vocabulary":
            others = answering.order[len(answering.letters) :].tolist()
            return {"other_classes": tuple(f"{t}:{tokenizer.convert_ids_to_tokens(t)}" for t in others)}
        return {"other_classes": ("other",) if self.scores == "letters+rest" else ()}

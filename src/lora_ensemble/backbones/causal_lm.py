"""Any causal language model of transformers (Llama, Mistral, Qwen, GPT-2 ...), answering multiple-choice questions."""

from __future__ import annotations

import string
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from lora_ensemble.contracts import Backbone, LoadedBackbone
from lora_ensemble.errors import UserError

if TYPE_CHECKING:
    from lora_ensemble.questions.answer_logits import AnswerModel
    from lora_ensemble.questions.inputs import Questions
    from lora_ensemble.questions.letters import LetterTokens
    from lora_ensemble.questions.prompts import Prompts

QUESTION = "Question: {question}\nAnswer:"
"""Before a choice that is a continuation, as lm-evaluation-harness asks ARC's questions."""


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
    answer: Literal["letters", "continuation"] | None = None
    """How a choice is given: by its letter, which is the default, or by its own text after the question, scored by its
    likelihood."""
    normalise: Literal["none", "characters", "tokens", "unconditional"] | None = None
    """continuation: the log-likelihood of a choice as it is (the default), by its characters, by its tokens, or less
    that of its text after no question."""
    question: str | None = None
    """continuation: template of the question, with {question}. Default: "Question: {question}\\nAnswer:"."""
    likelihood: bool | None = None
    """continuation: learn the likelihood of the right choice alone, in place of the choice among all."""
    max_length: int | None = None
    """Most tokens of a prompt with its answer, at most as many as the model can read, which is the default."""
    scoring_length: int | None = None
    """Most tokens of a prompt with its answer where predictions are made. Default: as in training, `max_length`."""
    truncate: Literal["never", "left"] = "never"
    """Longer prompts are refused (never), or lose their beginning (left): a warning says how many."""

    def problems(self) -> list[str]:
        found = self._prompts().problems()
        if self.max_length is not None and self.max_length < 8:
            found.append(f"backbone.max_length = {self.max_length}: must be at least 8")
        if self.scoring_length is not None and self.scoring_length < 8:
            found.append(f"backbone.scoring_length = {self.scoring_length}: must be at least 8")
        if self.top_tokens < 1:
            found.append(f"backbone.top_tokens = {self.top_tokens}: must be at least 1")
        if self.scores == "tokens" and self.loss != "next-token":
            found.append(f"backbone.scores = 'tokens': needs backbone.loss = 'next-token', not {self.loss!r}")
        return found + self._continuation_problems()

    def _continuation_problems(self) -> list[str]:
        from lora_ensemble.questions.continuations import template_problems

        if self.answer == "continuation":
            found = [] if self.question is None else template_problems("question", self.question)
            if self.loss != "single-token":
                found.append(f"backbone.loss = {self.loss!r}: with answer = 'continuation', see backbone.likelihood")
            if self.scores != "letters+rest":
                found.append(f"backbone.scores = {self.scores!r}: with answer = 'continuation' the choices are classes")
            if self.likelihood and self.normalise == "unconditional":
                found.append("backbone.likelihood: a likelihood that is normalised by 'unconditional' has no bound")
            return found
        fields = (("normalise", self.normalise), ("question", self.question), ("likelihood", self.likelihood))
        return [f"backbone.{n} = {v!r}: needs backbone.answer = 'continuation'" for n, v in fields if v is not None]

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
        if self.answer == "continuation":
            return self._continuing(tokenizer, load_model(self.name, self.dtype, self.quantise), num_classes)
        letters = self._letters(tokenizer, num_classes)
        model = load_model(self.name, self.dtype, self.quantise)
        size = vocabulary_size(model)
        if (highest := max(letters.ids)) >= size:
            raise UserError(f"the tokenizer of {self.name!r} does not fit its model: token {highest} of {size}")
        questions = self._questions(tokenizer, letters, model, size, self.max_length)
        answering = AnswerModel(model, letters.ids, self.scores, size)
        loaded = LoadedBackbone(
            model=answering,
            prepare=questions.prepare if takes_positions(model) else dict,
            head=None,
            **self._read(questions),
            **self._classes(tokenizer, answering, size),
        )
        if self.scoring_length is not None:
            longer = self._questions(tokenizer, letters, model, size, self.scoring_length)
            loaded.scoring = replace(loaded, **self._read(longer))
        return loaded

    def _read(self, questions: Questions) -> dict[str, Any]:
        """How examples become batches."""
        labelled = questions.texts if self.loss == "next-token" else questions.answers
        return {"collate": questions.collate, "collate_labelled": labelled, "lengths": questions.lengths}

    def _continuing(self, tokenizer: Any, model: Any, num_classes: int) -> LoadedBackbone:
        """Answers by continuation."""
        from lora_ensemble.questions.continuations import Continuations
        from lora_ensemble.questions.language_models import (
            Encoder,
            first_token,
            special_tokens_around,
            takes_positions,
            vocabulary_size,
        )
        from lora_ensemble.questions.likelihoods import ContinuationModel, negative_log_likelihood

        first = first_token(tokenizer)
        rows = Continuations(
            template=self.question or QUESTION,
            encode=Encoder(tokenizer),
            special=special_tokens_around(tokenizer),
            first=first,
            limit=self._limit(model, self.max_length),
            truncate=self.truncate == "left",
            vocabulary=vocabulary_size(model),
        )
        loaded = LoadedBackbone(
            model=ContinuationModel(model, num_classes, self.normalise or "none", first, takes_positions(model)),
            collate=rows.collate,
            prepare=dict,
            head=None,
            collate_labelled=rows.answers,
            lengths=rows.lengths,
            loss=negative_log_likelihood if self.likelihood else None,
        )
        if self.scoring_length is not None:
            more = replace(rows, limit=self._limit(model, self.scoring_length))
            read: dict[str, Any] = {"collate": more.collate, "collate_labelled": more.answers, "lengths": more.lengths}
            loaded.scoring = replace(loaded, **read)
        return loaded

    def _limit(self, model: Any, longest: int | None) -> int | None:
        """Most tokens of a text, of which the model can read so many at most."""
        context = getattr(model.config.get_text_config(), "max_position_embeddings", None)
        return min((limit for limit in (longest, context) if limit is not None), default=None)

    def _prompts(self) -> Prompts:
        from lora_ensemble.questions.prompts import Prompts

        return Prompts(self.prompt, self.choice, self.letters)

    def _letters(self, tokenizer: Any, num_classes: int) -> LetterTokens:
        """Tried on a question of no meaning."""
        from lora_ensemble.questions.language_models import Encoder
        from lora_ensemble.questions.letters import letter_tokens

        probe = {"question": "Which one?", "choices": ["this one"] * num_classes}
        return letter_tokens(Encoder(tokenizer), self._prompts().before(probe), self.letters[:num_classes])

    def _questions(
        self, tokenizer: Any, letters: LetterTokens, model: Any, size: int, longest: int | None
    ) -> Questions:
        from lora_ensemble.questions.inputs import Questions
        from lora_ensemble.questions.language_models import Encoder, special_tokens_before

        marks = (tokenizer.pad_token_id, tokenizer.eos_token_id)
        return Questions(
            prompts=self._prompts(),
            encode=Encoder(tokenizer),
            letters=letters,
            limit=self._limit(model, longest),
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

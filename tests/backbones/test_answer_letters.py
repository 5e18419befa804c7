"""Answer letters are found through any tokenizer, or it is said why not."""

from __future__ import annotations

import pytest

from lora_ensemble.backbones.causal_lm import CausalLM
from lora_ensemble.errors import UserError
from lora_ensemble.questions.language_models import Encoder, special_tokens_before
from lora_ensemble.questions.letters import letter_tokens
from lora_ensemble.questions.prompts import Prompts
from tiny_language_models import QUESTIONS, SHORT, TOKENIZERS, byte_level, sentence_piece, words

DEFAULT = CausalLM()
PROMPTS = Prompts(DEFAULT.prompt, DEFAULT.choice, DEFAULT.letters)


def merging() -> object:
    """As `sentence_piece`, with a token for "(a", and none for "(b"."""
    import json

    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    plain = json.loads(sentence_piece().backend_tokenizer.to_str())
    plain["pre_tokenizer"] = None
    plain["model"]["merges"] = [["(", "a"]]
    plain["model"]["vocab"]["(a"] = len(plain["model"]["vocab"])
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(json.dumps(plain)), bos_token="<s>")


@pytest.mark.parametrize("kind", sorted(TOKENIZERS))
def test_a_prompt_and_a_letter_are_what_the_tokenizer_makes_of_them_together(kind: str) -> None:
    tokenizer = TOKENIZERS[kind]()
    encode = Encoder(tokenizer)
    found = letter_tokens(encode, PROMPTS.before(SHORT), "abc")
    assert [tokenizer.decode([token]).strip() for token in found.ids] == ["a", "b", "c"]
    for example in QUESTIONS:
        prompt = found.cut(encode([PROMPTS.before(example) + "a"])[0])
        assert prompt is not None
        for letter, token in zip("abc", found.ids, strict=True):
            whole = encode([PROMPTS.before(example) + letter])[0]
            assert whole[: len(prompt) + 1] == [*prompt, token]
            assert len(whole) == len(prompt) + 1 + found.after
    assert found.after == (1 if kind == "words" else 0)
    assert special_tokens_before(tokenizer) == (1 if kind == "sentence-piece" else 0)


def test_a_letter_merged_with_what_is_before_it_is_another_token() -> None:
    encode = Encoder(merging())
    found = letter_tokens(encode, "A: ", "ab")  # on its own, it is one token
    assert found.cut(encode(["A: a"])[0]) == encode(["A: "])[0]
    assert found.cut(encode(["A: (a"])[0]) is None


def test_letters_that_share_a_token() -> None:
    before = PROMPTS.before(SHORT)
    with pytest.raises(UserError, match=r"^the letters 'b' and 'c' share their first token after '.*A: \('; change"):
        letter_tokens(Encoder(words("b", "c")), before, "abc")
    with pytest.raises(UserError, match=r"cannot tell the letters x, y from each other"):
        letter_tokens(Encoder(words()), before, "xy")


def test_letters_of_several_tokens() -> None:
    with pytest.raises(UserError, match=r"^the letter 'é' takes 2 tokens, expected one, after '.*A: \('; change"):
        letter_tokens(Encoder(byte_level()), PROMPTS.before(SHORT), "aé")
    with pytest.raises(UserError, match=r"^the letter 'b' takes 2 tokens, expected one"):
        letter_tokens(Encoder(merging()), PROMPTS.before(SHORT), "ab")


def test_letters_of_equally_many_bytes_are_told_apart_by_the_last() -> None:
    found = letter_tokens(Encoder(byte_level()), PROMPTS.before(SHORT), "èé")
    assert len(set(found.ids)) == 2

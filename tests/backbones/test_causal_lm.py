"""Language models that answer: what they are asked, what they say, and that padding changes none of it."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AutoModelForCausalLM, AutoTokenizer

from lora_ensemble.backbones.causal_lm import CausalLM
from lora_ensemble.cli import recipe_words
from lora_ensemble.contracts import Split
from lora_ensemble.errors import FileFormatError, UserError
from lora_ensemble.inference import predict_split
from lora_ensemble.methods.lora import Lora
from lora_ensemble.questions.answer_logits import MASKED
from lora_ensemble.runs.kept import prediction_key
from lora_ensemble.runs.predicting import Wanted
from lora_ensemble.saved import load_backbone
from tiny_language_models import CONFIGS, FEWER, LONG, QUESTIONS, SHORT, VOCABULARY, save_model
from tolerance import close

LABELS = np.array([2, 1, 0])
PROMPT = "Q: Where?\nAnswer Choices:\n(a) here\n(b) there\n(c) on the mat\nA: ("


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Folder of a model by its architecture, made once."""
    made: dict[str, str] = {}

    def folder(architecture: str = "llama") -> str:
        if architecture not in made:
            made[architecture] = save_model(tmp_path_factory.mktemp(architecture), architecture)
        return made[architecture]

    return folder


def load(name: str, **fields):
    backbone = CausalLM(name, **{"dtype": "fp32"} | fields).load(3)
    backbone.model.eval()
    return backbone


def logits(backbone, examples) -> torch.Tensor:
    with torch.no_grad():
        return backbone.model(**backbone.prepare(backbone.collate(examples)))


def plain_last(name: str, text: str) -> torch.Tensor:
    """(V,) what the plain model says after a text, with nothing around it."""
    tokenizer, model = AutoTokenizer.from_pretrained(name), AutoModelForCausalLM.from_pretrained(name).eval()
    with torch.no_grad():
        return model(torch.tensor([tokenizer(text)["input_ids"]])).logits[0, -1]


def test_the_classes_are_the_letters_and_everything_else(folders):
    name = folders()
    scores, whole = logits(load(name), [SHORT])[0], plain_last(name, PROMPT).log_softmax(0)
    letters = [AutoTokenizer.from_pretrained(name)(letter)["input_ids"][0] for letter in "abc"]
    torch.testing.assert_close(scores[:3], whole[letters])
    close(scores[3].exp(), 1 - whole[letters].exp().sum(), depth=8)
    torch.testing.assert_close(logits(load(name, scores="letters"), [SHORT])[0].softmax(0), whole[letters].softmax(0))
    everything = logits(load(name, scores="vocabulary"), [SHORT])[0].log_softmax(0)
    torch.testing.assert_close(everything[:3], whole[letters])
    torch.testing.assert_close(everything.sort().values, whole.sort().values)
    assert load(name).other_classes == ("other",)
    assert load(name, scores="letters").other_classes == ()
    assert len(load(name, scores="vocabulary").other_classes) == VOCABULARY - 3


@pytest.mark.parametrize("scores", ["letters+rest", "vocabulary"])
def test_cross_entropy_with_a_letter_is_that_of_the_whole_vocabulary(folders, scores):
    name = folders()
    backbone = load(name, scores=scores)
    batch = backbone.prepare(backbone.collate_labelled(QUESTIONS, LABELS))
    labels = batch.pop("labels")
    out = F.cross_entropy(backbone.model(**batch), labels, reduction="none")
    tokenizer = AutoTokenizer.from_pretrained(name)
    for loss, example, label in zip(out, QUESTIONS, LABELS, strict=True):
        lines = "\n".join(f"({'abc'[i]}) {choice}" for i, choice in enumerate(example["choices"]))
        whole = plain_last(name, f"Q: {example['question']}\nAnswer Choices:\n{lines}\nA: (")
        expected = F.cross_entropy(whole, torch.tensor(tokenizer("abc"[label])["input_ids"][0]))
        close(loss, expected)


def test_a_letter_that_is_no_choice_is_masked_and_belongs_to_the_rest(folders):
    backbone = load(folders())
    scores = logits(backbone, [FEWER])[0]
    assert scores[2] == MASKED
    torch.testing.assert_close(scores.exp().sum(), torch.tensor(1.0))
    members = Lora(members=2).build(backbone, 0).predict(**backbone.prepare(backbone.collate([FEWER])))
    assert torch.equal(members.probs_MBC[:, 0, 2], torch.zeros(2))
    for entropy in (members.total_B, members.aleatoric_B, members.epistemic_B):
        assert torch.isfinite(entropy).all()


def test_more_choices_than_letters_are_shown_and_scored_as_everything_else(folders):
    backbone = load(folders())
    many = {"question": "Where?", "choices": ["here", "there", "on the mat", "in a tree", "in water"]}
    whole = plain_last(folders(), PROMPT.replace("\nA: (", "\n(d) in a tree\n(e) in water\nA: ("))
    letters = backbone.model.letters
    torch.testing.assert_close(logits(backbone, [many])[0, :3], whole.log_softmax(0)[letters])
    tokenizer = AutoTokenizer.from_pretrained(folders())
    text = load(folders(), loss="next-token").collate_labelled([many], np.array([4]))["input_ids"][0]
    assert tokenizer.decode(text).endswith("(e) in water\nA: (e).")


@pytest.mark.parametrize("architecture", sorted(CONFIGS))
def test_left_padding_changes_no_probability(folders, architecture):
    backbone = load(folders(architecture))
    together = logits(backbone, QUESTIONS)
    for row, example in enumerate(QUESTIONS):
        close(together[row], logits(backbone, [example])[0], depth=64)
    assert (together[0] - together[2]).abs().max() > 0.01


@pytest.mark.parametrize("architecture", sorted(CONFIGS))
def test_members_take_a_step(folders, architecture):
    backbone = load(folders(architecture))
    ensemble = Lora(members=2, r=2, lora_l2=0.1).build(backbone, 0).train()
    batch = backbone.prepare(backbone.collate_labelled(QUESTIONS, LABELS))
    optimizer = torch.optim.SGD([p for p in ensemble.parameters() if p.requires_grad], lr=0.01)
    losses = []
    for _ in range(3):
        out = ensemble(**batch)
        out.loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(out.member_losses)
    assert (losses[-1] < losses[0]).all()


class _LargestOfVocabulary(TorchDispatchMode):
    """The most numbers of a tensor with an axis as long as the vocabulary."""

    numbers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for value in out if isinstance(out, tuple | list) else [out]:
            if isinstance(value, torch.Tensor) and VOCABULARY in value.shape:
                self.numbers = max(self.numbers, value.numel())
        return out


@pytest.mark.parametrize("loss", ["single-token", "next-token"])
def test_only_the_needed_positions_go_through_the_output_layer(folders, loss):
    backbone = load(folders(), loss=loss)
    members, rows = 4, len(QUESTIONS)
    ensemble = Lora(members=members).build(backbone, 0).train()
    batch = backbone.prepare(backbone.collate_labelled(QUESTIONS, LABELS))
    tokens = batch["input_ids"].shape[1]
    with _LargestOfVocabulary() as largest:
        ensemble(**batch).loss.backward()
    weights = 32 * VOCABULARY
    if loss == "single-token":
        assert largest.numbers <= max(weights, members * rows * VOCABULARY)
    else:
        assert largest.numbers >= members * rows * (tokens - 1) * VOCABULARY  # so that the measure measures


def test_examples_are_shown_first(folders):
    name = folders()
    shown = {**SHORT, "shots": [{"question": "What?", "choices": ["sand", "ice"], "answer": 1}]}
    text = f"Q: What?\nAnswer Choices:\n(a) sand\n(b) ice\nA: (b).\n\n{PROMPT}"
    whole = plain_last(name, text).log_softmax(0)
    backbone = load(name)
    torch.testing.assert_close(logits(backbone, [shown])[0, :3], whole[backbone.model.letters])


def test_another_template_and_other_letters(folders):
    name = folders()
    backbone = load(name, prompt="{question}\n{choices}\n[{answer}]", choice="{letter}: {choice}", letters="123")
    assert AutoTokenizer.from_pretrained(name).decode(backbone.model.letters) == "123"
    whole = plain_last(name, "Where?\n1: here\n2: there\n3: on the mat\n[").log_softmax(0)
    torch.testing.assert_close(logits(backbone, [SHORT])[0, :3], whole[backbone.model.letters])


def test_its_source_loads_it_again(folders):
    backbone = load(folders(), scores="letters")
    again = load_backbone(json.loads(json.dumps(backbone.source))).eval()
    inputs = backbone.prepare(backbone.collate(QUESTIONS))
    torch.testing.assert_close(again(**inputs), backbone.model(**inputs))


def test_lower_precision(folders):
    exact, rough = logits(load(folders()), QUESTIONS), logits(load(folders(), dtype="bf16"), QUESTIONS)
    assert rough.dtype == torch.float32
    torch.testing.assert_close(rough.exp(), exact.exp(), atol=0.05, rtol=0)
    backbone = load(folders(), dtype="bf16")
    ensemble = Lora(members=2).build(backbone, 0).train()
    ensemble(**backbone.prepare(backbone.collate_labelled(QUESTIONS, LABELS))).loss.backward()
    assert {p.dtype for p in ensemble.parameters() if p.requires_grad} == {torch.float32}
    assert {p.dtype for p in ensemble.parameters() if not p.requires_grad} == {torch.bfloat16}


# Bad input ------------------------------------------------------------------------------------------------------------


def test_questions_beyond_the_limit_are_counted_and_named(folders):
    backbone = load(folders(), max_length=60)
    with pytest.raises(UserError, match=r"^2 of 3 questions are longer than 60 tokens, the first of them, 'What do"):
        backbone.lengths([SHORT, {**LONG, "question": "What do " * 40}, LONG])
    with pytest.raises(UserError, match=r"set backbone\.truncate to 'left'"):
        backbone.collate([LONG])
    beyond_the_model = {**LONG, "question": "What do " * 200}
    with pytest.raises(UserError, match=r"^1 of 1 questions are longer than 256 tokens"):
        load(folders(), max_length=10_000).lengths([beyond_the_model])


@pytest.mark.parametrize("tokenizer", ["byte-level", "sentence-piece"])
def test_truncation_takes_from_the_left_and_keeps_the_beginning_of_text(tmp_path, tokenizer):
    name = save_model(tmp_path, tokenizer=tokenizer)
    whole = load(name).collate([LONG])["input_ids"][0]
    cut = load(name, max_length=40, truncate="left").collate([LONG])["input_ids"][0]
    first = 1 if tokenizer == "sentence-piece" else 0
    assert len(cut) == 39 < len(whole)  # a place is left for the letter
    assert torch.equal(cut[first:], whole[-(39 - first) :])
    assert torch.equal(cut[:first], whole[:first])


@pytest.mark.parametrize("loss", ["single-token", "next-token"])
def test_scoring_reads_more_than_training(folders, loss):
    backbone = load(folders(), max_length=40, scoring_length=200, truncate="left", loss=loss)
    whole = load(folders(), max_length=200, truncate="left", loss=loss)
    answer = np.array([0])
    assert backbone.collate_labelled([LONG], answer)["input_ids"].shape[1] <= 40
    assert torch.equal(backbone.scoring.collate([LONG])["input_ids"], whole.collate([LONG])["input_ids"])
    with pytest.warns(UserWarning, match="1 of 1 questions are longer than 40 tokens"):
        assert backbone.lengths([LONG]) == [40]
    assert backbone.scoring.lengths([LONG]) == whole.lengths([LONG])
    split = Split([SHORT, LONG], None, ["short", "long"], ["a", "b", "c"], "choices")
    options = {"classes": split.classes, "batch_size": 2, "device": torch.device("cpu")}
    made, expected = (predict_split(Lora(members=2).build(b, 0), split, b, **options) for b in (backbone, whole))
    assert torch.equal(made.logits_MBC, expected.logits_MBC)
    cut = load(folders(), max_length=40, truncate="left", loss=loss)
    with pytest.warns(UserWarning, match="lose their beginning"):
        others = predict_split(Lora(members=2).build(cut, 0), split, cut, **options)
    assert not torch.equal(others.logits_MBC[:, 1], made.logits_MBC[:, 1])


def test_a_scoring_length_is_part_of_the_key_and_counts_only_where_it_is_given():
    asked = recipe_words.asked("multiple-choice-lora", [], recipe_words.Options, "train").experiment
    words = ["--backbone.scoring-length", "512", "--backbone.max-length", "128"]
    longer = recipe_words.asked("multiple-choice-lora", words, recipe_words.Options, "train").experiment
    assert (longer.backbone.max_length, longer.backbone.scoring_length) == (128, 512)
    assert "backbone.scoring_length" not in asked.determining()
    assert longer.determining()["backbone.scoring_length"] == 512
    wanted = Wanted("test", longer.dataset)
    other = replace(longer, backbone=replace(longer.backbone, scoring_length=None))
    assert prediction_key(longer, wanted, None) != prediction_key(other, wanted, None)
    assert CausalLM(scoring_length=3).problems() == ["backbone.scoring_length = 3: must be at least 8"]


def test_the_whole_text_counts_where_it_is_learned(folders):
    tokens = load(folders(), loss="next-token").lengths([LONG, SHORT])
    texts = load(folders(), loss="next-token").collate_labelled([LONG, SHORT], np.array([0, 0]))
    assert tokens == texts["attention_mask"].sum(1).tolist()
    backbone = load(folders(), loss="next-token", max_length=tokens[0] - 1)
    with pytest.raises(UserError, match=rf"'Which of these.*', has {tokens[0]}; remove them"):
        backbone.lengths([LONG])


def test_questions_that_lose_their_beginning_are_counted(folders):
    backbone = load(folders(), max_length=60, truncate="left")
    with pytest.warns(UserWarning, match=r"^1 of 3 questions are longer than 60 tokens and lose their beginning$"):
        assert backbone.lengths([SHORT, LONG, SHORT])[1] == 60


def test_a_tokenizer_with_more_tokens_than_the_model(tmp_path):
    name = save_model(tmp_path)
    before = logits(load(name), QUESTIONS)
    tokenizer = AutoTokenizer.from_pretrained(name)
    tokenizer.add_tokens([f"<{i}>" for i in range(VOCABULARY - len(tokenizer))])
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    tokenizer.add_tokens(["platypus"])
    tokenizer.save_pretrained(name)
    assert tokenizer.pad_token_id == VOCABULARY
    assert torch.equal(logits(load(name), QUESTIONS), before)
    with pytest.raises(UserError, match=f"does not fit the model: token {VOCABULARY + 1} of {VOCABULARY}"):
        load(name).collate([{"question": "What is a platypus?", "choices": ["a bird", "a mammal"]}])


def test_an_answer_outside_the_choices(folders):
    backbone = load(folders())
    with pytest.raises(UserError, match=r"^question 'What do people .*': answer 2 is out of range, it has 2 choices"):
        backbone.collate_labelled([FEWER], np.array([2]))


def test_a_question_without_choices_or_with_too_many(folders):
    for choices in ([], ["yes"] * 27):
        with pytest.raises(UserError, match=f"has {len(choices)} choices, expected 1 to 26"):
            load(folders()).collate([{"question": "Why?", "choices": choices}])


def test_templates_and_letters_that_make_no_sense(folders):
    def problem(**fields) -> str:
        return "; ".join(CausalLM(folders(), **fields).problems())

    assert problem() == ""
    assert "must have {question}, {choices}, {answer}, each once" in problem(prompt="{question} {answer}")
    assert "backbone.choice" in problem(choice="{letter}")
    assert "each once" in problem(prompt="{question} {choices} {answer!r}")
    assert "each once" in problem(choice="{letter:d} {choice}")
    assert "{answer} must come last" in problem(prompt="{answer} {question} {choices}")
    assert "backbone.prompt = '{question'" in problem(prompt="{question")
    assert "'b' comes twice" in problem(letters="abb")
    assert "needs backbone.loss = 'next-token'" in problem(scores="tokens")
    assert "max_length = 3" in problem(max_length=3)
    with pytest.raises(UserError, match=r"^3 classes: expected 2 to 2, a letter for each$"):
        load(folders(), letters="ab")
    with pytest.raises(UserError, match="each once"):
        load(folders(), prompt="{question}")


def test_names_and_weights_that_are_not_there(folders, tmp_path):
    with pytest.raises(UserError, match=r"^no tokenizer of '.*nothing'"):
        load(str(tmp_path / "nothing"))
    folder = tmp_path / "model"
    name = save_model(folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))
    with pytest.raises(FileFormatError, match=r"do not fit its config.json: model.layers.2"):
        load(name)
    (folder / "config.json").write_text(json.dumps({**config, "intermediate_size": 64}))
    with pytest.raises(FileFormatError, match=r"do not fit its config.json: model.layers.0.mlp"):
        load(name)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(FileFormatError, match="cannot be read"):
        load(name)
    weights.unlink()
    with pytest.raises(UserError, match="no causal language model"):
        load(name)


def test_four_bits_need_bitsandbytes(folders, monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(UserError, match=r"pip install 'lora-ensemble\[quant\]'"):
        load(folders(), quantise="4bit")


@pytest.mark.data
def test_the_real_model_of_stories(data_dir):
    name = str(data_dir / "weights" / "stories260K")
    backbone = load(name)
    tokenizer = AutoTokenizer.from_pretrained(name)
    assert tokenizer.convert_ids_to_tokens(backbone.model.letters.tolist()) == ["a", "b", "c"]
    together = logits(backbone, QUESTIONS)
    for row, example in enumerate(QUESTIONS):
        close(together[row], logits(backbone, [example])[0], depth=256)
    whole = plain_last(name, PROMPT).log_softmax(0)
    close(together[0, :3], whole[backbone.model.letters], depth=256)

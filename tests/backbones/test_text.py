"""Texts and pairs through classifiers of every architecture: tokens, truncation, lengths, heads, a whole run."""

from __future__ import annotations

import csv
import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lora_ensemble import Experiment, Training, evaluate, registry, train
from lora_ensemble.backbones.text import Text
from lora_ensemble.datasets.text_table import TextTable
from lora_ensemble.errors import DataError, FileFormatError, UserError
from lora_ensemble.methods.deep import Deep
from lora_ensemble.methods.lora import Lora
from lora_ensemble.methods.mc_dropout import McDropout
from tiny_encoders import ARCHITECTURES, save_encoder

TEXTS = [{"text": "the film is good"}, {"text": "bad"}, {"text": "the plot was very bad and the actor not good"}]
around = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")


@pytest.fixture(scope="module", params=ARCHITECTURES)
def folder(request, tmp_path_factory) -> Path:
    return save_encoder(tmp_path_factory.mktemp(request.param), request.param)


@pytest.fixture(scope="module")
def bert(tmp_path_factory) -> Path:
    return save_encoder(tmp_path_factory.mktemp("plain-bert"), "bert")


def logits(loaded, examples) -> torch.Tensor:
    with torch.no_grad():
        return loaded.model.eval()(**loaded.prepare(loaded.collate(examples))).logits


def test_a_text_is_the_same_alone_and_beside_longer_ones(folder):
    loaded = Text(str(folder)).load(2)
    together = logits(loaded, TEXTS)
    alone = torch.cat([logits(loaded, [text]) for text in TEXTS])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    assert loaded.own_head
    assert loaded.head is not None
    assert (together[0] - together[1]).abs().max() > 1e-4


def test_pairs(folder):
    loaded = Text(str(folder)).load(2)
    pairs = [{"text": "good", "text_pair": "bad"}, {"text": "bad", "text_pair": "the plot was good"}]
    torch.testing.assert_close(
        logits(loaded, pairs), torch.cat([logits(loaded, [pair]) for pair in pairs]), rtol=1e-4, atol=1e-5
    )
    assert loaded.lengths(pairs) == [5, 8]
    if "token_type_ids" in loaded.collate(pairs):
        assert loaded.collate(pairs)["token_type_ids"][0].tolist() == [0, 0, 0, 1, 1, 0, 0, 0]
    with pytest.raises(DataError, match="1 of 2 texts are no pairs, and others are"):
        loaded.collate([pairs[0], TEXTS[0]])


def test_an_encoder_without_a_head_gets_a_new_one(folder, tmp_path):
    name = type(Text(str(folder)).load(2).model).__name__
    architecture = next(a for a in ARCHITECTURES if name.lower().startswith(a))
    bare = save_encoder(tmp_path / "bare", architecture, headless=True)
    loaded = Text(str(bare)).load(5)
    assert not loaded.own_head
    assert logits(loaded, TEXTS).shape == (3, 5)
    assert not Text(str(folder)).load(3).own_head  # of another number of classes


@around
@pytest.mark.parametrize(
    "method", [Lora(members=2, r=2), Deep(members=2), McDropout(members=2)], ids=["lora", "deep", "drop"]
)
def test_a_run_of_each_architecture(folder, tmp_path, method):
    rows = [{"text": f"{'the ' * (i % 5)}film is {('good', 'bad')[i % 2]}", "label": i % 2} for i in range(60)]
    with (tmp_path / "t.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, ["text", "label"])
        table.writeheader()
        table.writerows(rows)
    if isinstance(method, McDropout) and "deberta" in (folder / "config.json").read_text():
        method = replace(method, dropout="dropout")  # its attention is its own, dropkey refuses it
    experiment = Experiment(
        Text(str(folder)),
        method,
        TextTable(str(tmp_path / "t.csv")),
        Training(max_steps=2, batch_size=4, device="cpu", group_by_length=True),
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*copies of other rows|.*too few rows of some")
        run = train(experiment, tmp_path / "run", on_progress=lambda _: None)
        predictions = run.predict("test")
    assert (predictions.num_members, predictions.num_classes) == (2, 2)
    assert 0 <= evaluate(predictions, intervals=False)["accuracy"] <= 1


def test_long_texts_are_cut_and_counted(bert):
    loaded = Text(str(bert), max_length=6).load(2)
    long = {"text": "good " * 10**5}
    with pytest.warns(UserWarning, match=r"2 of 4 texts are longer than 6 tokens \(the longest has 100002\): the rest"):
        assert loaded.lengths([*TEXTS, long]) == [6, 3, 6, 6]
    ids = loaded.collate([long, *TEXTS])["input_ids"]
    assert ids.shape == (4, 6)
    assert ids[0].tolist() == [2, 5, 5, 5, 5, 3]
    whole = Text(str(bert), max_length=None).load(2)
    with pytest.warns(UserWarning, match="longer than 32 tokens"):
        assert whole.lengths([long]) == [32]


def test_positions_of_roberta_begin_behind_its_padding(tmp_path):
    loaded = Text(str(save_encoder(tmp_path, "roberta")), max_length=None).load(2)
    with pytest.warns(UserWarning, match="longer than 32 tokens"):
        loaded.lengths([{"text": "good " * 100}])
    assert logits(loaded, [{"text": "good " * 100}]).isfinite().all()


def test_a_text_of_a_million_characters(bert):
    with pytest.warns(UserWarning, match="1 of 1 texts are longer"):
        Text(str(bert)).load(2).lengths([{"text": "x" * 500_000 + " good" * 100_000}])


def test_what_cannot_be_loaded(bert, tmp_path):
    with pytest.raises(UserError, match="no tokenizer of '/nowhere': expected a local folder or a hub id"):
        Text("/nowhere").load(2)
    assert Text(max_length=2).problems() == ["backbone.max_length = 2: must be at least 4"]
    with pytest.raises(UserError, match=r"backbone\.max_length = 2"):
        Text(str(bert), max_length=2).load(2)
    damaged = shutil.copytree(bert, tmp_path / "damaged")
    (damaged / "model.safetensors").write_bytes((bert / "model.safetensors").read_bytes()[:-100])
    with pytest.raises(FileFormatError, match=r"the weights of .* cannot be read"):
        Text(str(damaged)).load(2)
    other = shutil.copytree(save_encoder(tmp_path / "electra", "electra"), tmp_path / "other")
    (other / "config.json").write_bytes((bert / "config.json").read_bytes())
    with pytest.raises(FileFormatError, match=r"do not fit its config\.json"):
        Text(str(other)).load(2)
    words = shutil.copytree(bert, tmp_path / "words")
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(words)
    tokenizer.add_tokens(["another", "more"])
    tokenizer.save_pretrained(words)
    with pytest.raises(UserError, match="does not fit its model: it knows 19 tokens"):
        Text(str(words)).load(2)


@pytest.mark.parametrize("dataset", ["clinc150", "sst2", "text-table"])
def test_recipes_share_a_budget(dataset):
    recipes = [
        registry.recipe(f"{dataset}-{m}") for m in ("single", "single-lora", "mc-dropout", "snapshot", "deep", "lora")
    ]
    assert len({(r.training.epochs, r.training.batch_size, r.dataset, r.backbone) for r in recipes}) == 1
    assert {r.method.members for r in recipes} == {1, 4}


@pytest.mark.data
def test_the_real_encoder_learns_a_few_intents(data_dir, tmp_path):
    from lora_ensemble.datasets.clinc150 import Clinc150

    split = Clinc150(str(data_dir / "clinc150")).load("train")
    chosen = ("balance", "bill_due", "weather", "translate")
    rows = [(e["text"], split.classes[i]) for e, i in zip(split.examples, split.labels, strict=True)]
    with (tmp_path / "t.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("text", "intent"), *(row for row in rows if row[1] in chosen)])
    experiment = registry.recipe("text-table-lora")
    experiment = replace(
        experiment,
        backbone=Text(str(data_dir / "weights" / "minilm_l6_h384")),
        method=Lora(members=2, r=4),
        dataset=TextTable(str(tmp_path / "t.csv")),
        training=replace(experiment.training, epochs=2, device="cpu"),
    )
    scores = evaluate(train(experiment, tmp_path / "run", on_progress=lambda _: None).predict("test"), intervals=False)
    assert scores["accuracy"] > 0.9
    assert np.isfinite(scores["nll"])

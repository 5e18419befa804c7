"""The five worked examples of CONTRIBUTING.md, taken from the page, put in place and run."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from lora_ensemble import Experiment, Training, evaluate, registry, train
from plugged import plugged

PAGE = Path(__file__).parents[1] / "CONTRIBUTING.md"
BLOCK = re.compile(r"```python\n# src/lora_ensemble/(\w+)/(\w+)\.py\n(.*?)```", re.DOTALL)
BUDGET = Training(max_steps=2, batch_size=8, device="cpu")

REVIEWS = '''
"""A few texts in two classes, for the backbone's example."""
from dataclasses import dataclass
import numpy as np
from lora_ensemble.contracts import Dataset, Split

@dataclass(frozen=True)
class Reviews(Dataset):
    modality = "text"
    splits = ("train", "test")

    def load(self, split):
        texts = ["good film", "bad film", "good", "bad bad film"] * 4
        examples = [{"text": text} for text in texts]
        labels = np.array(["bad" in text for text in texts], dtype="int64")
        return Split(examples, labels, [f"{split}{i}" for i in range(16)], ["good", "bad"], "text")
'''


@pytest.fixture
def plugins(tmp_path):
    """Name of the example of each kind, after its file was given."""
    blocks = [*BLOCK.findall(PAGE.read_text(encoding="utf-8")), ("datasets", "reviews", REVIEWS)]
    files = {stem: tmp_path / f"{stem}.py" for _, stem, _ in blocks}
    for _, stem, text in blocks:
        files[stem].write_text(text, encoding="utf-8")
    with plugged(*files.values()):
        named = {kind: stem for kind, stem, _ in blocks[:-1]}
        yield {kind: stem if kind == "uncertainties" else stem.replace("_", "-") for kind, stem in named.items()}


def test_there_is_an_example_of_each_kind_and_the_registry_finds_it(plugins):
    assert set(plugins) == {"backbones", "methods", "datasets", "metrics", "uncertainties"}
    for kind, name in plugins.items():
        assert name in registry.names(kind)
        assert registry.description(kind, name).endswith(".")


def test_method_dataset_and_metric(plugins, tmp_path):
    from PIL import Image

    pixels = np.random.default_rng(0)
    for label, low in (("bright", 128), ("dark", 0)):
        (tmp_path / "images" / label).mkdir(parents=True)
        for i in range(30):
            image = pixels.integers(low, low + 128, (20, 24, 3), dtype=np.uint8)
            Image.fromarray(image).save(tmp_path / "images" / label / f"{label}{i}.png")
    experiment = Experiment(
        backbone=registry.config_class("backbones", "digits-vit")(),
        method=registry.config_class("methods", plugins["methods"])(members=2),
        dataset=registry.config_class("datasets", plugins["datasets"])(data=str(tmp_path / "images"), size=8),
        training=BUDGET,
    )
    splits = [experiment.dataset.load(split) for split in experiment.dataset.splits]
    assert min(map(len, splits)) > 0
    assert sum(map(len, splits)) == len({name for split in splits for name in split.ids}) == 60

    run = train(experiment, tmp_path / "run", on_progress=lambda _: None)
    one, other = (network.state_dict() for network in run.ensemble().networks)
    differing = {name for name in one if not torch.equal(one[name], other[name])}
    assert "classifier.weight" in differing
    assert all(name.startswith("classifier.") or name.endswith("bias") for name in differing)

    assert evaluate(run.predict("test"), intervals=False)["top_2"] == 1  # of two classes, one of them is right


def test_metric_against_an_obvious_loop(plugins):
    from lora_ensemble import Predictions

    generator = torch.Generator().manual_seed(0)
    p = Predictions(torch.randn(3, 50, 7, generator=generator), torch.randint(7, (50,), generator=generator))
    best_two = [sorted(range(7), key=lambda c, row=row: -row[c])[:2] for row in p.mean_probs_BC.tolist()]
    hits = [int(label) in row for label, row in zip(p.labels_B, best_two, strict=True)]
    assert evaluate(p, intervals=False)["top_2"] == pytest.approx(np.mean(hits))


def test_backbone(plugins, tmp_path):
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "film"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    tiny = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    BertForSequenceClassification(BertConfig(vocab_size=len(words), **tiny)).save_pretrained(tmp_path / "bert")
    BertTokenizerFast(vocab=str(tmp_path / "vocab.txt")).save_pretrained(tmp_path / "bert")
    experiment = Experiment(
        backbone=registry.config_class("backbones", plugins["backbones"])(name=str(tmp_path / "bert")),
        method=registry.config_class("methods", "lora")(members=3, r=2),
        dataset=registry.config_class("datasets", "reviews")(),
        training=BUDGET,
    )
    p = train(experiment, tmp_path / "run", on_progress=lambda _: None).predict("test")
    assert (p.num_members, len(p), p.num_classes) == (3, 16, 2)
    by_text = p.logits_MBC.view(3, 4, 4, 2)
    torch.testing.assert_close(by_text[:, 0], by_text[:, 3])  # the same texts, in batches of other neighbours
    assert not torch.allclose(by_text[:, :, 0], by_text[:, :, 1])


def test_uncertainty_ranks_as_it_says(plugins):
    from lora_ensemble import Predictions

    logits_MBC = torch.randn(2, 40, 4, generator=torch.Generator().manual_seed(0))
    inside, outside = (
        Predictions(logits_MBC[:, :20], torch.zeros(20, dtype=torch.long)),
        Predictions(logits_MBC[:, 20:]),
    )
    second = [[sorted(row)[-2] for row in p.mean_probs_BC.tolist()] for p in (inside, outside)]
    wins = [(b > a) + (a == b) / 2 for a in second[0] for b in second[1]]
    assert evaluate(inside, outside, intervals=False)["auroc_second_guess"] == pytest.approx(np.mean(wins))

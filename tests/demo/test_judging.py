"""What the demo says of a row: places among validation rows, verdicts, HTML. No browser."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from lora_ensemble import Experiment, Predictions, Training, abstain, calibrate, train
from lora_ensemble.backbones.digits_vit import DigitsViT
from lora_ensemble.datasets.digits import Digits
from lora_ensemble.demo.asking import FIELDS, READ, Asker
from lora_ensemble.demo.judging import NEIGHBOURS, Judge
from lora_ensemble.demo.page import answered
from lora_ensemble.demo.shown import mistake, page_of, rank
from lora_ensemble.errors import DataError
from lora_ensemble.methods.lora import Lora
from lora_ensemble.sources.incoming import ROOMS
from tolerance import close


def predictions(rows: int, seed: int, labelled: bool = True, scale: float = 4.0) -> Predictions:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(3, (rows,), generator=generator)
    logits = torch.randn(4, rows, 3, generator=generator) + scale * torch.nn.functional.one_hot(labels, 3)
    names = {"classes": ["ant", "bee", "cat"], "split": "validation"}
    return Predictions(logits, labels if labelled else None, meta=names)


def judge(risk: float = 0.2) -> Judge:
    raw = predictions(400, 0)
    calibration = calibrate(raw)
    validation = calibration(raw)
    return Judge(calibration, validation, abstain(validation, risk), risk=risk)


def one(scale: float, seed: int = 5) -> Predictions:
    p = predictions(1, seed, labelled=False, scale=scale)
    return Predictions(p.logits_MBC, meta={"classes": ["ant", "bee", "cat"]})


def test_numbers_are_those_of_calibrated_predictions():
    asked = judge()
    raw = one(4.0)
    found, p = asked(raw, ["ant", "bee", "cat"]), asked.calibration(raw)
    close(found.probs_C, p.mean_probs_BC[0], dtype=torch.float32)
    close(found.probs_MC, p.probs_MBC[:, 0], dtype=torch.float32)
    close(found.total, found.aleatoric + found.epistemic, dtype=torch.float32)
    assert found.classes[found.prediction] == p.to_pandas()["prediction"][0]
    assert found.agreeing / 4 == p.to_pandas()["agreement"][0]
    assert found.calibrated == "temperature"


@pytest.mark.parametrize("scale", [0.0, 1.0, 4.0, 12.0])
def test_the_place_is_counted_one_by_one(scale):
    asked = judge()
    found = asked(one(scale), ["ant", "bee", "cat"])
    v = asked.validation
    for kind in ("total", "aleatoric", "epistemic"):
        lower = sum(value < getattr(found, kind) for value in getattr(v, f"{kind}_B").tolist())
        assert getattr(found.place, kind) == pytest.approx(lower / len(v), abs=1.5 / len(v))
    away = sorted(range(len(v)), key=lambda row: abs(float(v.total_B[row]) - found.total))[:NEIGHBOURS]
    right = [int(v.mean_probs_BC[row].argmax()) == int(v.labels_B[row]) for row in away]
    assert found.place.right.rows == NEIGHBOURS
    assert found.place.right.value == pytest.approx(sum(right) / NEIGHBOURS, abs=1.5 / NEIGHBOURS)


def test_the_verdict_is_the_promise():
    asked = judge()
    sure = asked(one(30.0), ["ant", "bee", "cat"])
    assert sure.verdict.says == "trust"
    assert "at most 20 % are wrong (with 95 % confidence" in sure.verdict.why
    unsure = asked(Predictions(torch.zeros(4, 1, 3)), ["ant", "bee", "cat"])
    assert unsure.verdict.says == "ask"
    torn = torch.zeros(4, 1, 3)
    torn[torch.arange(4), 0, torch.tensor([0, 1, 2, 0])] = 40.0  # sure, each of something else
    assert "members disagree more than on 99 %" in asked(Predictions(torn), ["ant", "bee", "cat"]).verdict.why


def test_without_a_promise_or_a_validation_split_it_says_so():
    raw = predictions(30, 0, scale=0.0)
    with pytest.raises(DataError) as refused:
        abstain(raw, 0.01)
    found = Judge(None, raw, None, str(refused.value))(one(4.0), ["ant", "bee", "cat"])
    assert (found.verdict.says, found.calibrated) == ("unknown", None)
    assert str(refused.value) in found.verdict.why
    alone = Judge(None, None, None, "no validation split")(one(4.0), ["ant", "bee", "cat"])
    assert alone.place is None
    assert "validation rows</p>" not in page_of(alone)


def test_what_is_shown_is_escaped_and_complete():
    found = judge()(one(4.0), ["<ant>", "bee & wasp", "cat\x1b[31m"])
    page = page_of(found)
    assert "&lt;ant&gt;" in page
    assert "<ant>" not in page
    assert "\x1b" not in page
    assert f"{100 * max(found.probs_C):.1f} %" in page
    assert f"{found.epistemic:.3f}" in page
    assert page.count("<li") == 4
    assert "&lt;b&gt;" in mistake("<b>")


def test_probability_beyond_the_choices_is_said():
    even = Predictions(torch.zeros(4, 1, 3))
    alone = Judge(None, None, None)
    assert "33 % go to what is none of these" in page_of(alone(even, ["a: here", "b: there"]))
    assert "none of these" not in page_of(alone(even, ["ant", "bee", "cat"]))


@pytest.mark.parametrize(
    ("share", "said"),
    [(0, "as low as"), (0.004, "0.4 %"), (0.5, "50 %"), (0.994, "99.4 %"), (0.9999, "99.9 %"), (1, "every")],
)
def test_ranks_in_words(share, said):
    assert said in rank(share)


def test_every_modality_has_its_fields():
    assert FIELDS.keys() == READ.keys() == ROOMS.keys()


def test_questions_name_their_choices():
    example, names = READ["choices"]({"question": " Where? ", "choices": "here\n\n there \n"}, ["A", "B", "C"])
    assert example == {"question": "Where?", "choices": ["here", "there"]}
    assert names == ["A: here", "B: there"]
    for wrong in ({}, {"question": "Where?", "choices": "here"}, {"question": "Where?", "choices": "a\nb\nc\nd"}):
        with pytest.raises(DataError, match="choices"):
            READ["choices"](wrong, ["A", "B", "C"])
    assert READ["text"]({"text": "a", "text_pair": "b"}, [])[0] == {"text": "a", "text_pair": "b"}


@pytest.mark.parametrize(("modality", "said"), [("image", "drop"), ("audio", "drop"), ("text", "type")])
def test_nothing_given_is_one_line(modality, said):
    with pytest.raises(DataError, match=said):
        READ[modality]({}, ["a", "b"])


@pytest.fixture(scope="module")
def asker(tmp_path_factory) -> Asker:
    training = Training(max_steps=60, learning_rate=8e-3, device="cpu")
    experiment = Experiment(DigitsViT(), Lora(members=3), Digits(train_examples=200), training)
    return Asker.of(train(experiment, tmp_path_factory.mktemp("runs") / "digits", on_progress=lambda _: None), 0.2)


def test_a_run_says_of_an_image_what_its_answers_say(asker, tmp_path):
    pixels = asker.run.experiment.dataset.load("test").examples[3]["image"]
    Image.fromarray(pixels).save(tmp_path / "one.png")
    row = asker.run.answer(tmp_path / "one.png").iloc[0]
    for image in (np.stack([pixels] * 3, -1), tmp_path / "one.png"):
        found = asker({"image": image})
        assert found.classes[found.prediction] == row["prediction"]
        for name in ("total", "aleatoric", "epistemic"):
            close(getattr(found, name), row[name], dtype=torch.float32)
    assert found.place is not None


def test_a_damaged_file_is_one_line_on_the_page(asker, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    assert "cannot be read" in answered(asker, tmp_path / "broken.png")
    assert "drop an image first" in answered(asker, None)

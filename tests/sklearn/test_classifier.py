"""EnsembleClassifier on texts, images, sounds, matrices, and with a module of one's own."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from torch import nn
from transformers import ASTConfig, ASTForAudioClassification

from lora_ensemble.backbones.ast import Ast
from lora_ensemble.engine.lora import LoraEnsemble
from lora_ensemble.errors import ConfigurationError, DataError, UnknownNameError
from lora_ensemble.methods.lora import Lora
from lora_ensemble.sklearn import EnsembleClassifier
from lora_ensemble.sklearn.features import FeatureTransformer
from tiny_encoders import save_encoder
from tiny_models import ast, vit
from tolerance import close

TEXTS = ["a good film", "the plot was very good", "bad actor", "a very bad film"] * 8
SAID = ["praise", "praise", "blame", "blame"] * 8


def matrix(rows: int = 60, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, rows)
    return rng.normal(size=(rows, 4)) + 2 * y[:, None], np.array(["low", "middle", "high"])[y]


def fitted(**others) -> EnsembleClassifier:
    X, y = matrix()
    return EnsembleClassifier(members=3, r=2, epochs=4, learning_rate=1e-2, **others).fit(X, y)


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    images, labels = load_digits(return_X_y=True)
    return (images.reshape(-1, 8, 8) / 16 * 255).astype(np.uint8), labels


def test_images_with_the_backbone_of_the_package(digits):
    X, y = digits
    model = EnsembleClassifier("digits-vit", members=2, epochs=3).fit(X[:600], y[:600])
    assert isinstance(model.ensemble_, LoraEnsemble)
    assert model.ensemble_.members == 2
    assert model.score(X[600:1000], y[600:1000]) > 0.8  # 0.1 by chance
    assert model.predict([Image.fromarray(image) for image in X[:5]]).tolist() == model.predict(X[:5]).tolist()


def test_images_of_files(tmp_path, digits):
    X, y = digits
    files = [tmp_path / f"{number}.png" for number in range(40)]
    for file, pixels in zip(files, X, strict=False):
        Image.fromarray(pixels).save(file)
    model = EnsembleClassifier("digits-vit", members=2, epochs=1).fit(files, y[:40])
    close(model.predict_proba(files), model.predict_proba(X[:40]))


def test_texts_and_pairs(tmp_path):
    folder = str(save_encoder(tmp_path / "bert", "bert", headless=True))
    model = EnsembleClassifier(folder, members=2, epochs=8, learning_rate=1e-2).fit(TEXTS, SAID)
    assert model.classes_.tolist() == ["blame", "praise"]
    assert model.score(TEXTS, SAID) > 0.9
    for same in (np.array(TEXTS), np.array(TEXTS, dtype=object), pd.Series(TEXTS)):
        close(model.predict_proba(same), model.predict_proba(TEXTS))
    pairs = [(text, "the film") for text in TEXTS]
    paired = EnsembleClassifier(folder, members=2, epochs=1).fit(pairs, SAID)
    frame = pd.DataFrame(pairs, columns=["text", "of"])
    close(paired.predict_proba(frame), paired.predict_proba(pairs))


def test_sounds(tmp_path):
    config = ASTConfig.from_dict({**ast().config.to_dict(), "num_labels": 2})
    ASTForAudioClassification(config).save_pretrained(tmp_path)
    backbone = Ast(name=str(tmp_path), frames=8, bins=8, frequency_stride=4, time_stride=4)
    rng = np.random.default_rng(0)
    X = [rng.normal(size=1200).astype(np.float32) * level for level in (0.01, 1.0) * 4]
    model = EnsembleClassifier(backbone, members=2, epochs=2).fit(X, ["low", "loud"] * 4)
    assert model.predict_proba(X).shape == (8, 2)
    with pytest.raises(DataError, match="a sound is floats"):
        EnsembleClassifier(backbone).fit([(x * 1e4).astype(int) for x in X], [0, 1] * 4)


def test_the_mean_of_the_members_is_what_is_predicted():
    X, _ = matrix()
    model = fitted()
    p = model.predictions(X)
    assert p.logits_MBC.shape == (3, 60, 3)
    by_hand = p.logits_MBC.double().softmax(-1).mean(0)
    close(model.predict_proba(X), by_hand, dtype=torch.float32)
    assert (model.predict(X) == model.classes_[by_hand.argmax(1)]).all()
    found = model.uncertainty(X)
    assert list(found) == ["total", "aleatoric", "epistemic", "agreement"]
    close(found["total"], p.total_B, dtype=torch.float32)
    close(found["total"], found["aleatoric"] + found["epistemic"], dtype=torch.float32)


def test_rows_do_not_depend_on_those_beside_them():
    """What scikit-learn's suite wants to 1e-7 holds to the rounding of float32."""
    X, _ = matrix()
    model = fitted()
    whole = model.predict_proba(X)
    order = np.random.default_rng(1).permutation(len(X))
    close(model.predict_proba(X[order]), whole[order], dtype=torch.float32)
    close(np.concatenate([model.predict_proba(row[None]) for row in X]), whole, dtype=torch.float32)


def test_the_same_seed_is_the_same_ensemble_whatever_the_global_generators():
    X, _ = matrix()
    torch.manual_seed(3)
    state = torch.random.get_rng_state()
    one = fitted().predict_proba(X)
    assert torch.equal(torch.random.get_rng_state(), state)
    np.testing.assert_array_equal(one, fitted().predict_proba(X))
    assert not np.allclose(one, fitted(random_state=1).predict_proba(X))


def test_it_goes_through_a_pickle_a_clone_a_pipeline_and_a_search():
    X, y = matrix()
    model = fitted(calibration="temperature")
    back = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(back.predict_proba(X), model.predict_proba(X))
    assert clone(model).get_params() == model.get_params()
    small = EnsembleClassifier(members=2, epochs=1)
    search = GridSearchCV(make_pipeline("passthrough", small), {"ensembleclassifier__r": [1, 2]}, cv=2).fit(X, y)
    assert search.best_params_["ensembleclassifier__r"] in (1, 2)


def test_calibration_is_fitted_to_rows_that_are_not_trained_on():
    X, y = matrix(200)
    model = EnsembleClassifier(members=2, epochs=2, calibration="temperature", validation_size=0.25).fit(X, y)
    assert model.calibration_.source.rows == 50
    assert model.cost_.steps == 2 * 5  # epochs, batches of 32 of the 150 rows that are left
    raw, calibrated = model.predictions(X, raw=True), model.predictions(X)
    close(model.calibration_(raw).mean_probs_BC, calibrated.mean_probs_BC)
    close(model.predict_proba(X), calibrated.mean_probs_BC, dtype=torch.float32)
    assert not np.allclose(raw.mean_probs_BC, calibrated.mean_probs_BC)
    other = EnsembleClassifier(members=2, epochs=2, calibration="temperature").fit(X, y, validation=matrix(40, seed=1))
    assert other.calibration_.source.rows == 40


def test_a_module_of_ones_own_is_copied_and_called_with_the_rows():
    X, y = matrix()
    torch.manual_seed(0)
    module = FeatureTransformer(4, 3)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    lora = Lora(members=2, target_modules=("query", "value"))
    model = EnsembleClassifier(module, method=lora, epochs=2).fit(X, y)
    assert all(torch.equal(module.state_dict()[name], tensor) for name, tensor in before.items())
    assert model.predict_proba(X).shape == (60, 3)
    images = np.random.default_rng(0).normal(size=(12, 3, 8, 8)).astype(np.float32)
    whole = EnsembleClassifier(vit(), members=2, epochs=1).fit(images, list(range(5)) * 2 + [0, 1])
    assert whole.predict_proba(images).shape == (12, 5)


def test_any_method_is_taken():
    X, y = matrix()
    for method in ("deep", "single", Lora(members=2, r=1)):
        model = EnsembleClassifier(method=method, epochs=1).fit(X, y)
        assert model.predict_proba(X).shape == (60, 3)
    assert model.ensemble_.config.r == 1


@pytest.mark.parametrize(
    ("parameters", "error", "said"),
    [
        ({"method": "loar"}, UnknownNameError, "Did you mean 'lora'"),
        ({"method": "deep", "r": 4}, ConfigurationError, "r = 4: method 'deep' has none"),
        ({"members": 0}, ConfigurationError, "members = 0"),
        ({"training": {"learning_rat": 1}}, UnknownNameError, "learning_rat"),
        ({"training": {"early_stopping": 1}}, ConfigurationError, "early_stopping"),
        ({"epochs": 0}, ConfigurationError, "training.epochs = 0"),
        ({"modality": "video"}, UnknownNameError, "video"),
        ({"backbone": 3}, ConfigurationError, "backbone is int"),
        ({"backbone": "some/folder"}, ConfigurationError, "rows of numbers need a torch module"),
        ({"backbone": FeatureTransformer(4, 2)}, DataError, r"gives \(1, 2\) for one row, expected logits \(1, 3\)"),
        ({"backbone": nn.Identity()}, DataError, "one for each class of y"),
        ({"calibration": "temprature"}, UnknownNameError, "Did you mean 'temperature'"),
        ({"calibration": "temperature", "validation_size": 2.5}, DataError, "validation_size = 2.5"),
    ],
)
def test_what_does_not_fit_is_one_line(parameters, error, said):
    X, y = matrix()
    with pytest.raises(error, match=said):
        EnsembleClassifier(**{"epochs": 1, **parameters}).fit(X, y)


def test_rows_that_cannot_be_used_are_one_line(digits):
    with pytest.raises(DataError, match="an image is uint8"):
        EnsembleClassifier("digits-vit").fit(digits[0][:4] / 255.0, [0, 1, 0, 1])
    with pytest.raises(DataError, match="for one, a list of it"):
        EnsembleClassifier("digits-vit").fit("picture.png", [0])
    with pytest.raises(DataError, match=r"X\[1\] = ''"):
        EnsembleClassifier("somewhere", modality="text").fit(["good", ""], [0, 1])
    with pytest.raises(DataError, match="X has 2 rows, y has 3"):
        EnsembleClassifier().fit([[0.0], [1.0]], [0, 1, 1])
    X, y = matrix()
    with pytest.raises(DataError, match="none of the classes"):
        EnsembleClassifier(epochs=1, calibration="temperature").fit(X, y, validation=(X[:1], ["other"]))


def test_a_validation_without_a_calibration_is_refused():
    X, y = matrix()
    with pytest.raises(ConfigurationError, match="calibration = None"):
        EnsembleClassifier(epochs=1).fit(X, y, validation=(X, y))

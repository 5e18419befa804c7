"""The letters fit the digits in form, and none of the left-out ones is there."""

from __future__ import annotations

import numpy as np
import pytest

from lora_ensemble.datasets.digits import Digits
from lora_ensemble.datasets.letters import Letters
from lora_ensemble.errors import UnknownNameError


def test_images_have_the_digits_form_and_ink():
    letters, digits = (
        np.stack([example["image"] for example in data.load("test").examples]) for data in (Letters(), Digits())
    )
    assert letters.shape[1:] == digits.shape[1:]
    np.testing.assert_allclose(np.unique(letters), np.unique(digits), atol=1)
    assert abs(letters.mean() - digits.mean()) < 0.1 * 255


def test_no_letter_that_can_be_read_as_a_digit():
    drawn = {name.split("/")[2] for name in Letters().load("test").ids}
    assert drawn.isdisjoint("BDIOQSZbgiloqsz")
    assert len(drawn) > 30


def test_there_is_no_training_split():
    with pytest.raises(UnknownNameError, match="Available: test"):
        Letters().load("train")

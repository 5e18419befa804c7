"""Data sets as a command line names them."""

from __future__ import annotations

import pytest

from lora_ensemble import UserError
from lora_ensemble.cli.data_names import datasets_named
from lora_ensemble.datasets.digits import Digits
from lora_ensemble.datasets.ham10000 import Ham10000
from lora_ensemble.datasets.letters import Letters
from lora_ensemble.datasets.svhn import Svhn


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (None, {}),
        ("letters", {"letters": Letters()}),
        ("svhn=some/folder", {"svhn": Svhn(data="some/folder")}),
        ("svhn=C:/images, letters", {"svhn": Svhn(data="C:/images"), "letters": Letters()}),
        ("ham10000=x:grouped=true:protocol=published", None),
        ("digits:train_examples=100", {"digits:train_examples=100": Digits(train_examples=100)}),
    ],
)
def test_names_folders_and_fields(words, expected):
    if expected is None:
        label = "ham10000:grouped=true:protocol=published"
        expected = {label: Ham10000(data="x", grouped=True, protocol="published")}
    assert datasets_named(words) == expected


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("leters", "unknown data set 'leters'. Did you mean 'letters'?"),
        ("svhn=x,leters", "Did you mean 'letters'?"),
        ("letters=folder", "data set 'letters' comes with the package and takes no folder, 'folder' was given"),
        ("ham10000:gruped=true", "unknown field of data set 'ham10000' 'gruped'. Did you mean 'grouped'?"),
        ("ham10000:grouped=perhaps", "grouped = 'perhaps': must be"),
        ("ham10000:protocol=publishd", "Did you mean 'published'?"),
        ("", "unknown data set ''"),
    ],
)
def test_mistakes_name_the_nearest(words, message):
    with pytest.raises(UserError) as raised:
        datasets_named(words)
    assert message in str(raised.value)

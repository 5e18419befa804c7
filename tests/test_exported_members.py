"""The public face: what `lora_ensemble` names, what it offers, and that it costs nothing until it is used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import lora_ensemble


def test_every_exported_name_is_there_and_says_what_it_is():
    for name in lora_ensemble.__all__:
        assert getattr(lora_ensemble, name).__doc__, name
    assert sorted(lora_ensemble.__all__) == lora_ensemble.__all__ == dir(lora_ensemble)


def test_the_names_of_the_design_are_exported():
    promised = "LoraEnsemble LoraEnsembleConfig Predictions evaluate train Run Experiment Training Ensemble UserError"
    promised += " calibrate conformal abstain"
    assert set(promised.split()) <= set(lora_ensemble.__all__)


def test_a_name_that_is_not_there():
    with pytest.raises(AttributeError, match="has no attribute 'LoraEnsembl'; there are "):
        lora_ensemble.LoraEnsembl  # noqa: B018


def test_importing_the_package_imports_nothing_heavy():
    script = "import sys, lora_ensemble; assert not {'torch', 'transformers', 'peft'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0

"""Experiments to JSON and back, and what is refused."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_ensemble import registry
from lora_ensemble.backbones.digits_vit import DigitsViT
from lora_ensemble.contracts import Dataset, Split
from lora_ensemble.datasets.digits import Digits
from lora_ensemble.datasets.letters import Letters
from lora_ensemble.errors import ConfigurationError, UnknownNameError
from lora_ensemble.experiment import Experiment
from lora_ensemble.methods.lora import Lora
from lora_ensemble.training.options import NO_EFFECT, Training
from plugged import plugged

EXPERIMENT = Experiment(DigitsViT(), Lora(members=2, target_modules=("query", "value")), Digits(), Training(epochs=3))


def changed(**fields: Any) -> dict[str, Any]:
    """EXPERIMENT as JSON values with some of them changed, by dotted path."""
    values = json.loads(EXPERIMENT.to_json())
    for path, value in fields.items():
        part, _, name = path.partition("__")
        if name:
            values[part][name] = value
        else:
            values[part] = value
    return values


def test_the_kinds_are_the_names_that_a_user_types() -> None:
    values = EXPERIMENT.to_dict()
    assert [values[part]["kind"] for part in ("backbone", "method", "dataset")] == ["digits-vit", "lora", "digits"]
    assert values["method"]["members"] == 2


@given(
    members=st.integers(1, 99),
    rate=st.floats(0, 1e3),
    clip=st.none() | st.floats(0, 1e6),
    steps=st.none() | st.integers(1, 10**9),
    betas=st.tuples(st.floats(0, 0.999), st.floats(0, 0.999)),
    name=st.text(),
    seed=st.integers(0, 2**40),
)
def test_round_trip_is_exact(members, rate, clip, steps, betas, name, seed) -> None:
    training = Training(learning_rate=rate, gradient_clip=clip, max_steps=steps, betas=betas)
    experiment = Experiment(DigitsViT(), Lora(members=members), Digits(), training, seed, name)
    assert Experiment.from_json(experiment.to_json()) == experiment


@pytest.mark.parametrize("kind", ["methods", "backbones", "datasets"])
def test_every_plugin_makes_the_round_trip(kind: str) -> None:
    for name in registry.names(kind):
        config = registry.config_class(kind, name)()
        experiment = replace(
            EXPERIMENT, **{{"methods": "method", "backbones": "backbone", "datasets": "dataset"}[kind]: config}
        )
        assert Experiment.from_json(experiment.to_json()) == experiment


def test_absent_fields_keep_their_defaults() -> None:
    values = {"backbone": {"kind": "digits-vit"}, "method": {"kind": "lora"}, "dataset": {"kind": "digits"}}
    assert Experiment.from_dict(values) == Experiment(DigitsViT(), Lora(), Digits())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (changed(method__kind="lorra"), r"unknown method 'lorra'\. Did you mean 'lora'\?"),
        (changed(training__epoch=3), r"unknown field of training 'epoch'\. Did you mean 'epochs'\?"),
        (changed(method__member=3), r"unknown field of method 'member'\. Did you mean 'members'\?"),
        (changed(sead=3), r"unknown field of an experiment 'sead'\. Did you mean 'seed'\?"),
    ],
)
def test_unknown_names(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UnknownNameError, match=message):
        Experiment.from_dict(values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (changed(training__epochs="3"), "training.epochs = '3': must be a whole number"),
        (changed(training__epochs=True), "training.epochs = True: must be a whole number"),
        (changed(training__epochs=2.5), "training.epochs = 2.5: must be a whole number"),
        (changed(training__betas=[0.9]), "training.betas = [0.9]: must be 2 values"),
        (changed(training__tensorboard=1), "training.tensorboard = 1: must be true or false"),
        (changed(training__max_steps="x"), "training.max_steps = 'x': must be a whole number or null"),
        (changed(method__target_modules=[1]), "method.target_modules = [1]: must be a text or null"),
        (changed(seed=-1), "seed = -1: must be a whole number of at least 0"),
        (changed(dataset={}), 'dataset: must be a mapping with a "kind"'),
    ],
)
def test_wrong_types(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Experiment.from_dict(values)
    assert str(caught.value) == message


@pytest.mark.parametrize("text", ["{", "[1]", ""])
def test_not_an_experiment(text: str) -> None:
    with pytest.raises(ConfigurationError):
        Experiment.from_json(text)


def test_every_problem_is_named_at_once() -> None:
    training = Training(learning_rate=-1.0, batch_size=0, epochs=-3, warmup_steps=9, max_steps=5)
    with pytest.raises(ConfigurationError) as caught:
        Experiment(DigitsViT(), Lora(members=0, r=0), Letters(), training, seed=-2).check()
    problems = caught.value.problems
    for field in ("learning_rate = -1.0", "batch_size = 0", "epochs = -3", "warmup_steps = 9", "seed = -2"):
        assert sum(field in p for p in problems) == 1, field
    assert any("method.members = 0" in p for p in problems)
    assert any("method.r = 0" in p for p in problems)
    assert any("'letters' has no split 'train', only test" in p for p in problems)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("training", "message"),
    [
        (Training(optimizer="admw"), r"unknown training\.optimizer 'admw'\. Did you mean 'adamw'\?"),  # type: ignore[arg-type]
        (Training(schedule="cosin"), r"unknown training\.schedule 'cosin'\. Did you mean 'cosine'\?"),  # type: ignore[arg-type]
        (Training(betas=(0.9, 1.0)), r"training\.betas\[1\] = 1\.0: must be in \[0, 1\)"),
        (Training(learning_rate=float("nan")), r"training\.learning_rate = nan"),
        (Training(learning_rate=float("inf")), r"training\.learning_rate = inf"),
        (Training(first_cycle=0.0), r"training\.first_cycle = 0\.0: must be above 0"),
        (Training(cycles=3), r"training\.cycles = 3: only schedule 'cyclic-cosine' has cycles"),
        (Training(schedule="cyclic-cosine", max_steps=3, cycles=4), r"training\.cycles = 4: more than the 3 steps"),
        (Training(nesterov=True), r"training\.nesterov: needs"),
        (Training(momentum=0.9), r"training\.momentum = 0\.9: only optimizer 'sgd'"),
        (Training(betas=[0.9, 0.99]), r"training\.betas"),  # type: ignore[arg-type]
        (Training(epochs=2.0), r"training\.epochs = 2\.0: must be a whole number"),  # type: ignore[arg-type]
    ],
)
def test_options_without_meaning(training: Training, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        replace(EXPERIMENT, training=training).check()


NEEDS_CYCLES = '''
"""A method that cannot be trained in every way."""
from dataclasses import dataclass
from lora_ensemble.methods.lora import Lora

@dataclass(frozen=True)
class NeedsCycles(Lora):
    def training_problems(self, training):
        return [] if training.schedule == "cyclic-cosine" else ["training.schedule: needs cycles"]
'''


def test_a_method_may_need_something_of_the_training(tmp_path) -> None:
    (tmp_path / "needs_cycles.py").write_text(NEEDS_CYCLES)
    with plugged(tmp_path / "needs_cycles.py"):
        method = registry.config_class("methods", "needs-cycles")()
        replace(EXPERIMENT, method=method, training=Training(schedule="cyclic-cosine")).check()
        with pytest.raises(ConfigurationError, match=r"^training\.schedule: needs cycles$"):
            replace(EXPERIMENT, method=method).check()


@dataclasses.dataclass(frozen=True)
class Noises(Dataset):
    """A data set that says what it holds."""

    modality = "audio"

    @property
    def splits(self) -> tuple[str, ...]:
        return ("train",)

    def load(self, split: str) -> Split:
        raise AssertionError("check() must not load anything")


def test_backbone_and_data_set_must_fit() -> None:
    with pytest.raises(ConfigurationError, match="holds audio, backbone 'digits-vit' understands image"):
        replace(EXPERIMENT, dataset=Noises()).check()


def test_a_part_that_a_run_would_not_find_again_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"dataset: data set Noises is defined in module .*test_experiment, "):
        replace(EXPERIMENT, dataset=Noises()).check()


def test_fingerprint_follows_what_determines_the_result() -> None:
    same = [replace(EXPERIMENT, name="other")]
    other_values = {
        "members_per_pass": 2,
        "keep_checkpoints": 3,
        "workers": 5,
        "device": "cpu",
        "checkpoint_seconds": 1.0,
    }
    for field in NO_EFFECT:
        value = other_values.get(field, True)
        assert value != getattr(EXPERIMENT.training, field)
        same.append(replace(EXPERIMENT, training=replace(EXPERIMENT.training, **{field: value})))
    assert {e.fingerprint() for e in same} == {EXPERIMENT.fingerprint()}
    others = [
        replace(EXPERIMENT, seed=1),
        replace(EXPERIMENT, method=Lora(members=3, target_modules=("query", "value"))),
        replace(EXPERIMENT, training=replace(EXPERIMENT.training, epochs=4)),
        replace(EXPERIMENT, dataset=Digits(split_seed=1)),
    ]
    assert len({e.fingerprint() for e in [EXPERIMENT, *others]}) == len(others) + 1


def test_a_whole_number_is_as_good_as_a_float() -> None:
    one = replace(EXPERIMENT, training=Training(learning_rate=1))
    assert one.fingerprint() == replace(EXPERIMENT, training=Training(learning_rate=1.0)).fingerprint()


def test_experiments_are_described_without_torch() -> None:
    code = (
        "import sys; from lora_ensemble.experiment import Experiment; import lora_ensemble.training.schedules; "
        "import lora_ensemble.training.progress; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

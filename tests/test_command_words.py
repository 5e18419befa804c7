"""Words of the command line: other kinds of parts, lists in one way, hints that can be pasted, completion."""

from __future__ import annotations

import subprocess
import sys

import pytest

from lora_ensemble import Run
from lora_ensemble.cli import main
from lora_ensemble.cli.lists import items, whole_numbers
from lora_ensemble.cli.recipe_words import Options, asked
from lora_ensemble.datasets.cifar10 import Cifar10
from lora_ensemble.datasets.digits import Digits
from lora_ensemble.errors import UserError


def test_another_kind_of_data_set_takes_its_own_fields() -> None:
    words = ["--dataset", "cifar10", "--data", "folder", "--backbone=vit", "--backbone.name", "x", "--members", "2"]
    made = asked("digits-lora", words, Options, "train").experiment
    assert isinstance(made.dataset, Cifar10)
    assert (made.dataset.data, made.backbone.kind, made.method.members) == ("folder", "vit", 2)
    assert isinstance(asked("digits-lora", [], Options, "train").experiment.dataset, Digits)


def test_flags_and_values_around_short_ones_stay_as_they_are() -> None:
    words = ["--method.target-modules", "query", "value", "--seed=7", "--epochs", "3", "--dataset.train-examples", "64"]
    made = asked("digits-lora", words, Options, "train").experiment
    assert made.method.target_modules == ("query", "value")  # type: ignore[attr-defined]
    assert (made.seed, made.training.epochs) == (7, 3)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--dataset", "digit"], "unknown data set 'digit'. Did you mean 'digits'?"),
        (["--dataset", "letters"], "dataset 'letters' has no split 'train', only test"),
        (["--dataset", "esc50"], "dataset 'esc50' holds audio, backbone 'digits-vit' understands image"),
        (["--dataset"], "--dataset needs a value (see lora-ensemble train digits-lora --help)"),
        (["--datset", "cifar10"], "unknown option '--datset'. Did you mean '--dataset'?"),
        (["--members", "2", "--method.members", "3"], "--members and --method.members are the same: give one of them"),
    ],
)
def test_a_mistake_is_one_line(words, expected, capsys, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", "digits-lora", *words]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"lora-ensemble: {expected}"), said
    assert said.count("\n") == 1
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    "given",
    [(("0,1,2",),), (("0", "1", "2"),), (("0",), ("1", "2")), (("0 1 2",),), (("0, 1", "2"),), (("0",), ("1,2",))],
)
def test_a_list_is_one_whatever_is_between(given) -> None:
    assert items(given) == ["0", "1", "2"]
    assert whole_numbers("--seeds", given) == [0, 1, 2]


def test_nothing_is_an_empty_list() -> None:
    assert items(()) == []


@pytest.mark.parametrize("given", [(("0,,1",),), (("0,",),), (("x",),), (("1", "1"),), (("-1",),)])
def test_no_whole_numbers(given) -> None:
    with pytest.raises(UserError, match=r"^--seeds '.*': expected different whole numbers"):
        whole_numbers("--seeds", given)


def test_seeds_and_varied_fields_with_spaces(tmp_path, capsys) -> None:
    words = ["--vary", "method.r=1,2", "method.init_a=kaiming", "--vary", "method.lora-alpha=2", "--seeds", "3", "4"]
    budget = ["--training.max-steps", "1", "--device", "cpu", "--members", "1", "--output", str(tmp_path / "out")]
    assert main(["compare", "digits-lora", *words, *budget, "--dataset.train-examples", "64"]) == 0
    made = [Run(path).experiment for path in (tmp_path / "out" / "runs").iterdir()]
    assert {(e.method.r, e.method.lora_alpha, e.seed) for e in made} == {  # type: ignore[attr-defined]
        (r, 2.0, seed) for r in (1, 2) for seed in (3, 4)
    }
    assert "digits-lora method.r=2 method.init_a=kaiming method.lora_alpha=2" in capsys.readouterr().out


def test_hints_can_be_pasted(tmp_path, capsys) -> None:
    folder = tmp_path / "a run's folder"
    assert (
        main(["train", "digits-single", "--training.max-steps", "1", "--device", "cpu", "--output", str(folder)]) == 0
    )
    printed = capsys.readouterr()
    assert printed.out == f"{folder}\n"
    (hint,) = [line for line in printed.err.splitlines() if "next: " in line]
    shown = subprocess.run(
        ["bash", "-c", f"lora-ensemble() {{ printf '%s|' \"$@\"; }}; {hint.split('next: ')[1]}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout == f"evaluate|{folder}|"


COMPLETE = """
. {script}
COMP_WORDS=({words}) COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
PATH="$(dirname {python}):$PATH" _tyro_lora_ensemble
echo "${{COMPREPLY[*]}}"
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    path = tmp_path_factory.mktemp("completion") / "bash"
    code = "import sys; from lora_ensemble.cli import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", code, "--tyro-print-completion", "bash"], capture_output=True, check=True
    )
    path.write_bytes(done.stdout)
    return path


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("lora-ensemble ev", "evaluate"),
        ("lora-ensemble train digits-l", "digits-lora"),
        ("lora-ensemble train digits-lora --datas", "--dataset"),
        ("lora-ensemble cross-validate esc50-lora --fo", "--folds"),
        ("lora-ensemble evaluate --format ''", "markdown json latex"),
    ],
)
def test_bash_completes(words, offered, script) -> None:
    code = COMPLETE.format(script=script, words=words, python=sys.executable)
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == offered

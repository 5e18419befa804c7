"""Plug-ins from outside: a package that is built and installed, files that a user gives, and what a run remembers."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

import lora_ensemble
from lora_ensemble import Experiment, Run, UserError, registry, train
from lora_ensemble.backbones.digits_vit import DigitsViT
from lora_ensemble.cli import main
from lora_ensemble.datasets.digits import Digits
from lora_ensemble.methods.lora import Lora
from plugged import FILES, plugged

ROOT = Path(__file__).parents[1]
FOLD_DIGITS = next(file for file in FILES if file.stem == "fold_digits")
BLOCK = re.compile(r"```(?:python|toml)\n# (pyproject\.toml|bright_or_dark/\w+\.py)\n(.*?)```", re.DOTALL)
TINY = ["--training.max-steps", "2", "--device", "cpu"]
"""Of the first plug-in's recipe."""

MORE = {
    "methods": ("frozen", "from lora_ensemble.methods.lora import Lora", "Lora", ""),
    "calibrations": ("tempered", "from lora_ensemble.calibrations.temperature import Temperature", "Temperature", ""),
    "backbones": ("other_vit", "from lora_ensemble.backbones.digits_vit import DigitsViT", "DigitsViT", ""),
    "launchers": ("here", "from lora_ensemble.launchers.local import Local", "Local", ""),
}
"""Kind: file, imports, base and body of plug-ins that are little more than another's name."""

METRIC = '''"""The largest of the mean probabilities."""
import torch  # which listing must not do

BETTER = {"confidence": None}

def score(probs_BC, counts_RB):
    return {"confidence": counts_RB @ probs_BC.max(1).values.to(counts_RB) / counts_RB.sum(1)}
'''

UNCERTAINTY = '''"""One minus the largest of the mean probabilities."""

def uncertainty(probs_BC):
    return 1 - probs_BC.max(-1).values
'''


def write_package(folder: Path) -> None:
    """The example of CONTRIBUTING.md, with a plug-in of every other kind beside it."""
    for name, text in BLOCK.findall((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    inside = folder / "bright_or_dark"
    (inside / "__init__.py").write_text('import os\nassert "LOOK" not in os.environ, "imported"\n')
    groups = ""
    for kind, (stem, imports, base, body) in MORE.items():
        name = stem.replace("_", " ").title().replace(" ", "")
        code = f"@dataclass(frozen=True)\nclass {name}({base}):\n    {body or 'pass'}\n"
        (inside / f"{stem}.py").write_text(f'"""{name}."""\nfrom dataclasses import dataclass\n{imports}\n\n{code}')
        groups += f'\n[project.entry-points."lora_ensemble.{kind}"]\n'
        groups += f'{stem.replace("_", "-")} = "bright_or_dark.{stem}"\n'
    (inside / "metric.py").write_text(METRIC)
    groups += '\n[project.entry-points."lora_ensemble.metrics"]\nconfidence = "bright_or_dark.metric"\n'
    (inside / "doubt.py").write_text(UNCERTAINTY)
    groups += '\n[project.entry-points."lora_ensemble.uncertainties"]\ndoubt = "bright_or_dark.doubt"\n'
    (folder / "pyproject.toml").write_text((folder / "pyproject.toml").read_text() + groups)


def install(package: Path, target: Path) -> None:
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--disable-pip-version-check", "--target", target, package], check=True, timeout=250)


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """A folder into which the package was installed."""
    folder = tmp_path_factory.mktemp("package")
    write_package(folder / "source")
    install(folder / "source", folder / "site")
    return folder / "site"


def command(site: Path, cwd: Path, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    source = Path(lora_ensemble.__file__).parents[1]
    paths = os.pathsep.join(map(str, [site, source]))
    called = [sys.executable, "-c", "import sys; from lora_ensemble.cli import main; sys.exit(main())", *words]
    return subprocess.run(
        called, cwd=cwd, env={**os.environ, "PYTHONPATH": paths, **environ}, capture_output=True, text=True, check=False
    )


def test_every_kind_of_an_installed_package_is_listed_without_importing_it(site, tmp_path):
    done = command(site, tmp_path, "list", LOOK="1")
    assert done.returncode == 0, done.stderr
    for kind in registry.OPEN:
        (block,) = re.findall(rf"^{kind}:\n((?:  .*\n?)+)", done.stdout, re.MULTILINE)
        assert "[bright-or-dark 1.0]" in block, f"the package has no plug-in of {kind}: give it one"
    assert "  bright-or-dark-lora " in done.stdout


@pytest.fixture(scope="module")
def run(site, tmp_path_factory) -> Path:
    """A run of its recipe, with its method and backbone, too, trained by the command line."""
    home = tmp_path_factory.mktemp("home")
    words = ["--backbone", "other-vit", "--output", "run", *TINY]
    done = command(site, home, "train", "bright-or-dark-lora", *words)
    assert done.returncode == 0, done.stderr
    return home / "run"


def test_a_run_of_its_plug_ins_is_read_and_scored(site, run):
    done = command(site, run.parent, "evaluate", "run", "--ood", "letters", "--format", "json")
    assert done.returncode == 0, done.stderr
    assert {"accuracy", "confidence", "auroc_doubt"} <= json.loads(done.stdout)["scores"].keys()


def test_workers_that_are_spawned_know_them(site, tmp_path):
    words = ["bright-or-dark-lora", *TINY, "--seeds", "0,1", "--jobs", "2", "--output", "out"]
    done = command(site, tmp_path, "compare", *words)
    assert done.returncode == 0, done.stderr
    assert "bright-or-dark-lora" in done.stdout


def test_a_run_says_which_package_is_missing(run, capsys):
    recorded = json.loads((run / "run.json").read_text())["experiment"]["dataset"]["from"]
    assert (recorded["package"], recorded["version"]) == ("bright-or-dark", "1.0")
    assert main(["evaluate", str(run)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "came from the package bright-or-dark 1.0 (pip install bright-or-dark==1.0); here there is none" in said


def test_code_that_has_changed_is_refused(site, run, tmp_path):
    import shutil

    shutil.copytree(site, tmp_path / "site")
    code = tmp_path / "site" / "bright_or_dark" / "images.py"
    code.write_text(code.read_text().replace("127", "126"))
    done = command(tmp_path / "site", run.parent, "evaluate", "run")
    assert done.returncode == 2
    assert "the code of data set 'bright-or-dark' of bright-or-dark 1.0 has changed" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("group", "value", "message"),
    [
        ("methods", "lora = somewhere.else", "method 'lora' of other 2 has the name of the built-in method 'lora'"),
        ("methods", "gone = nowhere.at_all", "method 'gone' of other 2 cannot be imported: ModuleNotFoundError: "),
        ("methods", "none = json", "method 'none' of other 2 must be exactly one public dataclass .* Method: none"),
        ("methods", "none = lora_ensemble.datasets.digits:Digits", "must be exactly one public dataclass"),
    ],
)
def test_an_entry_point_that_cannot_be_used_is_named(group, value, message, tmp_path, monkeypatch):
    about = tmp_path / "other-2.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 2\n")
    (about / "entry_points.txt").write_text(f"[lora_ensemble.{group}]\n{value}\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match=message) as caught:
        registry.config_class(group, value.split()[0])
    assert "\n" not in str(caught.value)


# Given files --------------------------------------------------------------------------------------------------------


def test_a_file_is_found_and_forgotten():
    with plugged(FOLD_DIGITS):
        assert "fold-digits" in registry.names("datasets")
        assert "fold-digits-lora" in registry.names("recipes")
        assert registry.origin("datasets", "fold-digits") == str(FOLD_DIGITS.resolve())
        assert registry.name_of(registry.config_class("datasets", "fold-digits")()) == "fold-digits"
    assert "fold-digits" not in registry.names("datasets")
    assert registry.origin("datasets", "digits") == ""


def test_an_experiment_of_a_file_comes_back_from_json_only_with_the_file(tmp_path):
    with plugged(FOLD_DIGITS):
        text = registry.recipe("fold-digits-lora").to_json()
        assert Experiment.from_json(text) == registry.recipe("fold-digits-lora")
        moved = tmp_path / FOLD_DIGITS.name
        moved.write_bytes(FOLD_DIGITS.read_bytes())
        fingerprint = registry.recipe("fold-digits-lora").fingerprint()
    with pytest.raises(UserError, match=r"came from the file .*fold_digits\.py \(give it with --plugin FILE\.py or"):
        Experiment.from_json(text)
    with plugged(moved):
        assert Experiment.from_json(text).fingerprint() == fingerprint
    changed = tmp_path / "changed" / moved.name
    changed.parent.mkdir()
    changed.write_bytes(moved.read_bytes() + b"\n# changed\n")
    with (
        plugged(changed),
        pytest.raises(UserError, match=r"has changed: SHA-256 \w{12} when it came from the file .*, now"),
    ):
        Experiment.from_json(text)


def test_a_run_folder_cannot_bring_code(tmp_path):
    """Neither a file in it, nor a path that its record names, is ever loaded."""
    with plugged(FOLD_DIGITS):
        short = registry.recipe("fold-digits-lora")
        experiment = replace(short, training=replace(short.training, max_steps=1))
        train(experiment, tmp_path / "run", on_progress=lambda _: None)
    victim, code = tmp_path / "victim", tmp_path / "run" / "fold_digits.py"
    code.write_text(f"open({str(victim)!r}, 'w')\n" + FOLD_DIGITS.read_text().replace("from __future__", "# "))
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    record["experiment"]["dataset"]["from"]["file"] = str(code)
    (tmp_path / "run" / "run.json").write_text(json.dumps(record))
    with pytest.raises(UserError):
        Run(tmp_path / "run").predict("test")
    with plugged(), pytest.raises(UserError, match="is inside the run folder"):
        registry.give(code)
    assert not victim.exists()


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "digits.py",
            FOLD_DIGITS.read_text(),
            r"data set 'digits' of .*digits\.py has the name of the built-in data set",
        ),
        ("broken.py", "def :", r"broken\.py cannot be imported: SyntaxError: invalid syntax"),
        ("needs.py", "import no_such_package", r"needs\.py cannot be imported: ModuleNotFoundError: No module named"),
        ("empty.py", "", r"empty\.py holds none: expected something for recipes, methods"),
        ("my-data.py", "", r"my-data\.py: its name must be one that Python can import"),
        ("data.txt", "", r"data\.txt: expected a file of Python code, FILE\.py; there is another file"),
    ],
)
def test_a_file_that_cannot_be_taken_is_one_line(name, text, message, tmp_path, capsys):
    (tmp_path / name).write_text(text)
    with plugged():
        assert main(["--plugin", str(tmp_path / name), "list", "datasets"]) == 2
    said = capsys.readouterr().err
    assert re.search(message, said)
    assert said.count("\n") == 1


def test_two_files_of_one_name_are_refused(tmp_path):
    (tmp_path / "fold_digits.py").write_bytes(FOLD_DIGITS.read_bytes())
    with plugged(FOLD_DIGITS), pytest.raises(UserError, match=r"fold_digits\.py has the name of .*: one of them needs"):
        registry.give(tmp_path / "fold_digits.py")


def test_a_file_given_twice_is_one():
    with plugged(FOLD_DIGITS, FOLD_DIGITS, Path(os.path.relpath(FOLD_DIGITS))):
        assert [name for name in registry.names("datasets") if name.startswith("fold")] == ["fold-digits"]


# What could not be read again ---------------------------------------------------------------------------------------

SCRIPT = '''
from dataclasses import dataclass
from lora_ensemble import Experiment, train
from lora_ensemble.backbones.digits_vit import DigitsViT
from lora_ensemble.datasets.digits import Digits
from lora_ensemble.methods.lora import Lora

@dataclass(frozen=True)
class Mine(Digits):
    """The digits under another name."""

train(Experiment(DigitsViT(), Lora(members=2), Mine()), "run")
'''


def test_a_class_of_the_users_own_script_is_refused_before_training(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=False, env=os.environ
    )
    last = done.stderr.splitlines()[-1]
    assert done.returncode != 0
    assert "data set Mine is defined in the script that runs, where a run would not find it again: " in last
    assert "--plugin FILE.py or LORA_ENSEMBLE_PLUGINS=FILE.py" in last
    assert not (tmp_path / "run").exists()


@dataclass(frozen=True)
class Local(Digits):
    """Importable, and yet no plug-in."""


def test_a_class_that_is_no_plug_in_is_refused_before_training(tmp_path):
    experiment = Experiment(DigitsViT(), Lora(members=2), Local())
    with pytest.raises(UserError, match=r"data set Local is defined in module .*, where a run would not find it again"):
        train(experiment, tmp_path / "run")
    assert not (tmp_path / "run").exists()

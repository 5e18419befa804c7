"""A run goes to the hub and comes back, by the real client and a server of the hub's form on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from test_runs import trained, vit  # noqa: F401  fixtures

from hub_server import TOKEN, Hub, serving
from lora_ensemble.runs.run import Run


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serving() as found:
        yield found


def command(hub: Hub, folder: Path, *words: str, token: str | None = TOKEN, endpoint: str | None = None) -> str:
    """The command in a process, as a user runs it: its output, or the one line that it says on stderr."""
    done = process(hub, folder, [sys.executable, "-m", "lora_ensemble", *words], token, endpoint)
    if done.returncode == 0:
        return done.stdout + done.stderr
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    return [line for line in done.stderr.splitlines() if line.startswith("lora-ensemble: ")][-1]


def process(
    hub: Hub, folder: Path, words: list[str], token: str | None = TOKEN, endpoint: str | None = None
) -> subprocess.CompletedProcess[str]:
    settings = {"HF_ENDPOINT": endpoint or hub.address, "HF_HOME": str(folder / "hf"), "HF_HUB_DISABLE_XET": "1"}
    settings |= {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "LORA_ENSEMBLE_CACHE": "off"}
    environment = {k: v for k, v in os.environ.items() if not k.startswith("HF_")} | settings
    environment |= {} if token is None else {"HF_TOKEN": token}
    return subprocess.run(words, env=environment, capture_output=True, text=True, cwd=folder)


def test_there_and_back(hub: Hub, trained: Run, tmp_path: Path) -> None:  # noqa: F811
    said = command(hub, tmp_path, "push", str(trained.folder), "me/digits", "--records", "--private")
    assert f"{hub.address}/me/digits" in said
    assert hub.private == {"me/digits"}
    assert hub.commits == 1
    files = hub.repositories["me/digits"]
    assert {"README.md", "ensemble.json", "run.json", "finished.json"} <= set(files)
    assert any(name.startswith("member-000/") and name.endswith(".safetensors") for name in files)
    assert any(line.endswith("/info/lfs/objects/batch") for line in hub.requests)
    assert "downloaded" not in command(hub, tmp_path, "pull", "me/digits", "--output", "back")
    back = Run(tmp_path / "back")
    assert torch.equal(back.predict("test").logits_MBC, trained.predict("test").logits_MBC)
    assert command(hub, tmp_path, "verify", "back")
    assert "not empty" in command(hub, tmp_path, "pull", "me/digits", "--output", "back")


def test_an_ensemble_goes_there_and_comes_back_in_python(hub: Hub, trained: Run, tmp_path: Path) -> None:  # noqa: F811
    script = (
        "import torch; from lora_ensemble import Ensemble, Run; "
        f"ensemble = Run({str(trained.folder)!r}).ensemble(); "
        "print(ensemble.push_to_hub('me/other')); back = Ensemble.from_pretrained('me/other'); "
        "a, b = ensemble.state_dict(), back.state_dict(); "
        "assert a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)"
    )
    done = process(hub, tmp_path, [sys.executable, "-c", script])
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"{hub.address}/me/other"


def test_the_card_is_of_the_run(hub: Hub, trained: Run, tmp_path: Path) -> None:  # noqa: F811
    said = command(hub, tmp_path, "push", str(trained.folder), "me/digits")
    assert "names paths of this machine" in said  # the backbone is a folder
    files = hub.repositories["me/digits"]
    assert not {"run.json", "finished.json"} & set(files)
    card = files["README.md"].decode()
    assert card.startswith("---\nlibrary_name: ")
    assert str(trained.folder.parent) not in card
    accuracy = (trained.predict("test").mean_probs_BC.argmax(1) == trained.predict("test").labels_B).float().mean()
    assert f"| {float(accuracy):.4f} |" in card
    assert "95 % interval" in card
    assert 'Ensemble.from_pretrained("me/digits", model)' in card
    assert files["reliability.png"].startswith(b"\x89PNG")
    assert "without the records of a run" in command(hub, tmp_path, "pull", "me/digits", "--output", "back")
    assert not (tmp_path / "back").exists()


def test_what_the_hub_refuses_is_one_line(hub: Hub, trained: Run, tmp_path: Path) -> None:  # noqa: F811
    run = str(trained.folder)
    assert "wants a token that is valid" in command(hub, tmp_path, "push", run, "me/digits", token=None)
    assert "the token may not write there" in command(hub, tmp_path, "push", run, "locked/digits")
    assert "expected user/name" in command(hub, tmp_path, "push", run, "digits")
    assert "is no name of a repository" in command(hub, tmp_path, "push", run, "me/di gits")
    assert "holds no run" in command(hub, tmp_path, "push", str(tmp_path / "none"), "me/digits")
    assert "the hub did not give it" in command(hub, tmp_path, "pull", "me/nothing", "--output", "back")
    nobody = "http://127.0.0.1:9"
    assert "cannot be reached" in command(hub, tmp_path, "push", run, "me/digits", endpoint=nobody)
    assert "the hub did not give it" in command(hub, tmp_path, "pull", "me/digits", "--output", "b", endpoint=nobody)
    assert hub.repositories == {}

"""The page in headless Chromium: asked, in light and dark and at a phone's width, without a call to anywhere else.

Where there is no browser the tests skip; `apt-get install chromium` brings one. LORA_ENSEMBLE_PICTURES=FOLDER keeps
what it looks like."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from PIL import Image

import browser
from lora_ensemble import Experiment, Training, train
from lora_ensemble.backbones.digits_vit import DigitsViT
from lora_ensemble.cli import main
from lora_ensemble.datasets.digits import Digits
from lora_ensemble.methods.lora import Lora

needs_browser = pytest.mark.skipif(browser.executable() is None, reason=f"no browser: {', '.join(browser.NAMES)}")
pytest.importorskip("gradio", reason="gradio is not installed")


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    training = Training(max_steps=60, learning_rate=8e-3, device="cpu")
    experiment = Experiment(DigitsViT(), Lora(members=4), Digits(train_examples=200), training)
    return train(experiment, tmp_path_factory.mktemp("runs") / "digits", on_progress=lambda _: None).folder


@pytest.fixture(scope="module")
def address(run):
    """Of the command, in a process of its own."""
    command = [sys.executable, "-m", "lora_ensemble", "demo", str(run), "--risk", "0.2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        line = process.stdout.readline()
        assert "http://127.0.0.1:" in line
        yield line.split()[1]
        process.terminate()


@needs_browser
@pytest.mark.parametrize(("width", "dark"), [(1200, False), (1200, True), (390, False)])
def test_an_image_is_judged(address, run, tmp_path, width, dark):
    pixels = Digits().load("test").examples[3]["image"]
    Image.fromarray(pixels).resize((160, 160), Image.Resampling.NEAREST).save(tmp_path / "digit.png")
    with browser.opened() as page:
        page.look(width, 900, dark)
        page.open(address)
        page.wait("document.querySelector('input[type=file]') !== null")
        page.drop("input[type=file]", tmp_path / "digit.png")
        said = page.wait("document.querySelector('.judged .verdict')?.innerText")
        assert "%" in said
        assert "members say" in page.run("document.querySelector('.judged').innerText")
        assert page.run("document.documentElement.scrollWidth <= innerWidth"), "scrolls sideways"
        assert page.run("document.body.classList.contains('dark')") == dark
        if folder := os.environ.get("LORA_ENSEMBLE_PICTURES"):
            page.picture(Path(folder) / f"demo-{width}-{'dark' if dark else 'light'}.png")
        hosts = {
            urlsplit(url).netloc for url in page.requests if urlsplit(url).scheme in ("http", "https", "ws", "wss")
        }
        assert hosts == {urlsplit(address).netloc}
        assert page.errors == []


@needs_browser
def test_nothing_given_is_said_on_the_page(address):
    with browser.opened() as page:
        page.open(address)
        page.wait("document.querySelector('button.primary') !== null")
        page.run("document.querySelector('button.primary').click()")
        assert "drop an image first" in page.wait("document.querySelector('.judged .mistake')?.innerText")


def test_a_mistake_is_one_line(tmp_path, capsys):
    assert main(["demo", str(tmp_path)]) == 2
    assert main(["demo", str(tmp_path), "--risk", "5"]) == 2
    assert "risk = 5.0: must be above 0 and below 1" in capsys.readouterr().err

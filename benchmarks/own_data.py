"""From raw files to answers for new rows in three commands, as docs/how-to-own-data.md has them: texts, images, sounds.

Makes of real data what a user has (CLINC150 as a CSV file, parts of HAM10000 and ESC-10 as folders of classes), runs
the commands in a process each, and says how long each took, and how often the answers are right.

    python benchmarks/own_data.py DATA [--only text,image,audio] [--small] [--environment FOLDER]

With --environment the commands are those of a fresh virtual environment in that folder, made by `pip install` of this
package with the extras of the three; its time is said, too.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[1]
NEW = 10
"""Every so many-th row is kept back, to be answered."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of real data and weights")
    parser.add_argument("--only", default="text,image,audio")
    parser.add_argument("--small", action="store_true", help="a few rows and steps, to see that the road is open")
    parser.add_argument("--environment", type=Path, help="folder of a fresh environment, made where there is none")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found: dict[str, dict[str, object]] = {}
    python = Path(sys.executable) if options.environment is None else environment(options.environment.resolve(), found)
    for kind in options.only.split(","):
        with tempfile.TemporaryDirectory() as folder:
            found[kind] = road(kind, options.data.resolve(), Path(folder), options.small, python)
        print(f"{kind}: {json.dumps(found[kind])}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(found, indent=2))


def environment(folder: Path, found: dict[str, dict[str, object]]) -> Path:
    """Its Python; how long its making took goes into `found`."""
    python = folder / "bin" / "python"
    if not python.is_file():
        began = time.monotonic()
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", f"{ROOT}[vision,audio,text]"], check=True)
        found["environment"] = {"seconds": round(time.monotonic() - began, 1)}
        print(f"environment: {json.dumps(found['environment'])}", flush=True)
    return python


def road(kind: str, data: Path, folder: Path, small: bool, python: Path = Path(sys.executable)) -> dict[str, object]:
    """Seconds of each command, and the share of answers that are right."""
    truth = RAW[kind](data, folder, small)
    seconds = {}
    for words in commands(kind, data, folder, small):
        began = time.monotonic()
        subprocess.run([str(python), "-m", "lora_ensemble", *words], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        seconds[words[0]] = round(time.monotonic() - began, 1)
    with (folder / "answers.csv").open(newline="") as file:
        answers = {row["id"]: row for row in csv.DictReader(file)}
    assert answers.keys() == truth.keys(), "an answer for each new row"
    right = sum(answers[name]["prediction"] == label for name, label in truth.items())
    return {"rows": len(truth), "right": round(right / len(truth), 4), "seconds": seconds}


def commands(kind: str, data: Path, folder: Path, small: bool) -> list[list[str]]:
    """The three of the page, with a small network that is at hand."""
    recipe, source, new, network = {
        "text": (
            "text-table-lora",
            "questions.csv",
            "new.csv",
            ["--backbone.name", str(data / "weights/minilm_l6_h384")],
        ),
        "image": ("image-folder-lora", "lesions", "new", _vit(data)),
        "audio": ("audio-folder-lora", "sounds", "new", _ast(data)),
    }[kind]
    few = ["--training.max-steps", "3"] if small else ["--epochs", "4"]
    train = ["train", recipe, "--data", source, "--output", "run", "--members", "2", "--device", "cpu", *network, *few]
    return [train, ["evaluate", "run"], ["predict", "run", "--input", new, "--output", "answers.csv"]]


def _vit(data: Path) -> list[str]:
    weights = str(data / "weights/vit_tiny_patch16_224/model.safetensors")
    return ["--backbone.name", "timm/vit_tiny_patch16_224", "--backbone.weights", weights]


def _ast(data: Path) -> list[str]:
    return [
        *("--backbone.weights", str(data / "weights/vit_tiny_patch16_224"), "--backbone.frames", "496"),
        *("--backbone.frequency-stride", "16", "--backbone.time-stride", "32", "--training.batch-size", "8"),
        *("--training.learning-rate", "1e-3", "--method.init-gain", "1"),
    ]


def texts(data: Path, folder: Path, small: bool) -> dict[str, str]:
    """questions.csv and new.csv. Returns the labels of the new rows, by their names."""
    rows = json.loads((data / "clinc150/data_full.json").read_text())["train"]
    if small:
        chosen = sorted({intent for _, intent in rows})[:3]
        rows = [row for row in rows if row[1] in chosen]
    new, known = rows[::NEW], [row for i, row in enumerate(rows) if i % NEW]
    for name, header, lines in (
        ("questions.csv", ["text", "intent"], known),
        ("new.csv", ["text"], [[text] for text, _ in new]),
    ):
        with (folder / name).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([header, *lines])
    return {str(row): intent for row, (_, intent) in enumerate(new)}


def images(data: Path, folder: Path, small: bool) -> dict[str, str]:
    """A part of HAM10000, lesions/<class>/<image>.jpg and new/<image>.jpg."""
    with (data / "ham10000/HAM10000_metadata.csv").open(newline="") as file:
        rows = [(data / f"ham10000/images/{row['image_id']}.jpg", row["dx"]) for row in csv.DictReader(file)]
    return _linked(rows, folder, "lesions", 40 if small else 150)


def sounds(data: Path, folder: Path, small: bool) -> dict[str, str]:
    """ESC-10, sounds/<class>/<clip>.flac and new/<clip>.flac."""
    with (data / "esc50/meta/esc50_available.csv").open(newline="") as file:
        table = [row for row in csv.DictReader(file) if row["esc10"] == "True"]
    rows = [(data / "esc50/audio" / f"{Path(row['filename']).stem}.flac", row["category"]) for row in table]
    return _linked(rows, folder, "sounds", 20 if small else 40)


def _linked(rows: list[tuple[Path, str]], folder: Path, name: str, most: int) -> dict[str, str]:
    """Links in folders of classes, at most so many in each; some of them, without their class, in `new`."""
    taken: dict[str, list[Path]] = defaultdict(list)
    for path, label in rows:
        if len(taken[label]) < most:
            taken[label].append(path)
    truth = {}
    (folder / "new").mkdir()
    for label, paths in taken.items():
        (folder / name / label).mkdir(parents=True)
        for number, path in enumerate(paths):
            place = folder / name / label if number % NEW else folder / "new"
            (place / path.name).symlink_to(path)
            if number % NEW == 0:
                truth[path.name] = label
    return truth


RAW = {"text": texts, "image": images, "audio": sounds}

if __name__ == "__main__":
    main()

"""`predict --input` on very many rows: memory over time, a kill in the middle, and whether the output stays the same.

A tiny network is trained on a few rows, then answers texts of a CSV file and small images of a folder, twice:
undisturbed, with its resident memory written down every second; and killed (SIGKILL) when half of the parts are there,
then started again.

    python benchmarks/many_rows.py [--texts 1000000] [--images 200000] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

WORDS = ("good", "bad", "film", "the", "a", "is", "was", "very", "not", "and", "plot", "actor")
SIZE = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24}
MINUTE = 60.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=1_000_000, help="0: none")
    parser.add_argument("--images", type=int, default=200_000, help="0: none")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = {}
    for kind, rows, make in (("texts", options.texts, texts), ("images", options.images, images)):
        if rows:
            with tempfile.TemporaryDirectory() as folder:
                found[kind] = {"rows": rows, **measured(Path(folder), *make(Path(folder), rows))}
            print(f"{kind}: {json.dumps(found[kind])}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(found, indent=2))


def measured(folder: Path, run: Path, source: Path) -> dict[str, object]:
    """Both passes."""
    began = time.monotonic()
    memory = watched(command(run, source, folder / "whole.csv"))
    seconds = time.monotonic() - began
    parts, told = killed(folder, run, source)
    same = (folder / "whole.csv").read_bytes() == (folder / "killed.csv").read_bytes()
    return {
        "seconds": round(seconds),
        **memory,
        "parts_at_the_kill": parts,
        "taken_up_after": told,
        "same_output": same,
    }


def command(run: Path, source: Path, output: Path) -> list[str]:
    return [sys.executable, "-m", "lora_ensemble", "predict", str(run), "--input", str(source), "--output", str(output)]


def watched(words: list[str]) -> dict[str, object]:
    """Resident memory in MB when the first minute is over (or a quarter of a shorter run), and the most after it."""
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    began, seen = time.monotonic(), []
    while process.poll() is None:
        status = Path(f"/proc/{process.pid}/status").read_text() if process.poll() is None else ""
        if resident := re.search(r"VmRSS:\s+(\d+) kB", status):
            seen.append((time.monotonic() - began, int(resident[1]) / 1000))
        time.sleep(1)
    assert process.returncode == 0
    start = min(MINUTE, seen[-1][0] / 4)
    after = [megabytes for second, megabytes in seen if second >= start][:-1]  # the last part is written as one file
    return {"from_second": round(start), "megabytes_then": round(after[0]), "most_after": round(max(after)),
            "growth": round(max(after) / after[0] - 1, 4)}  # fmt: skip


def killed(folder: Path, run: Path, source: Path) -> tuple[int, int]:
    """Parts that were there when the process was killed, and after how many of them the next one went on."""
    parts, whole = folder / "killed.csv.parts", count_of_rows(folder / "whole.csv")
    half = whole // 2048 // 2
    process = subprocess.Popen(command(run, source, folder / "killed.csv"), stderr=subprocess.DEVNULL)
    while len(list(parts.glob("*.parquet"))) < max(1, half):
        assert process.poll() is None, "the run ended before it was killed"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    there = len(list(parts.glob("*.parquet")))
    again = subprocess.run(command(run, source, folder / "killed.csv"), capture_output=True, text=True, check=True)
    told = re.search(r"going on after (\d+) finished part", again.stderr)
    return there, int(told[1]) if told else 0


def count_of_rows(path: Path) -> int:
    with path.open("rb") as file:
        return sum(1 for _ in file) - 1


def train(folder: Path, *words: str) -> Path:
    few = ["--members", "2", "--training.max-steps", "3", "--device", "cpu", "--output", str(folder / "run")]
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run([sys.executable, "-m", "lora_ensemble", "train", *words, *few], check=True, **silent)
    return folder / "run"


def texts(folder: Path, rows: int) -> tuple[Path, Path]:
    """A run of a tiny BERT, and a CSV file of short texts."""
    import transformers as tf

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tf.BertForSequenceClassification(tf.BertConfig(vocab_size=17, max_position_embeddings=32, **SIZE)).save_pretrained(
        folder / "bert"
    )
    (folder / "bert" / "vocab.txt").write_text("\n".join([*special, *WORDS]))
    tf.BertTokenizerFast(vocab=str(folder / "bert" / "vocab.txt")).save_pretrained(folder / "bert")
    random = np.random.default_rng(0)
    for name, count, labelled in (("train.csv", 300, True), ("new.csv", rows, False)):
        with (folder / name).open("w") as file:
            file.write("text,label\n" if labelled else "text\n")
            for number in range(count):
                text = " ".join(random.choice(WORDS, 8))
                file.write(f"{text},{'yes' if number % 2 else 'no'}\n" if labelled else f"{text}\n")
    backbone = ["--backbone.name", str(folder / "bert")]
    return train(folder, "text-table-lora", "--data", str(folder / "train.csv"), *backbone), folder / "new.csv"


def images(folder: Path, rows: int) -> tuple[Path, Path]:
    """A run of a tiny ViT, and a tree of PNG files of 16 x 16 pixels."""
    import transformers as tf
    from PIL import Image

    tf.ViTForImageClassification(tf.ViTConfig(image_size=16, patch_size=8, **SIZE)).save_pretrained(folder / "vit")
    tf.ViTImageProcessor(size={"height": 16, "width": 16}).save_pretrained(folder / "vit")
    random = np.random.default_rng(0)
    for part, count, places in (("train", 300, 2), ("new", rows, 100)):
        for number in range(count):
            place = folder / part / f"{number % places:02d}"
            place.mkdir(parents=True, exist_ok=True)
            pixels = random.integers(256, size=(16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(place / f"{number:07d}.png")
    backbone = ["--backbone.name", str(folder / "vit")]
    return train(folder, "image-folder-lora", "--data", str(folder / "train"), *backbone), folder / "new"


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()

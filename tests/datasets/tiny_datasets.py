"""Each data set that reads from outside, as a tiny copy in the form in which the real one comes."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
from audio_sources import sounds, write_sound, write_table
from image_sources import pictures, png, write_metadata, write_parquet, write_pickle
from question_sources import LETTERS, questions, write_csv, write_hub, write_jsonl

from lora_ensemble.audio.esc_rows import CLASSES as SOUND_CLASSES
from lora_ensemble.datasets import esc10
from lora_ensemble.images.ham10000 import CLASSES as LESION_CLASSES
from lora_ensemble.questions.mmlu import SUBJECTS

PARTS = ("train", "validation", "test")


def images(folder: Path) -> Path:
    for i, image in enumerate(pictures(120, shape=(6, 8))):
        file = folder / "images" / ("cat", "dog", "owl")[i % 3] / f"{i}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(png(image))
    return folder / "images"


def image_table(folder: Path) -> Path:
    rows = [(file.relative_to(folder).as_posix(), file.parent.name) for file in sorted(images(folder).rglob("*.png"))]
    write_csv(folder / "table.csv", [("file_name", "label"), *rows])
    return folder / "table.csv"


def audio(folder: Path) -> Path:
    for i, sound in enumerate(sounds(120, seed=1)):
        write_sound(folder / "audio" / ("dog", "rain", "wind")[i % 3] / f"{i}.wav", sound)
    return folder / "audio"


def audio_table(folder: Path) -> Path:
    rows = [(file.relative_to(folder).as_posix(), file.parent.name) for file in sorted(audio(folder).rglob("*.wav"))]
    write_csv(folder / "table.csv", [("file_name", "label"), *rows])
    return folder / "table.csv"


def texts(folder: Path) -> Path:
    rows = [{"text": f"the {i}th of {'joy' if i % 2 else 'grief'}", "label": i % 2} for i in range(120)]
    write_jsonl(folder / "texts.jsonl", rows)
    return folder / "texts.jsonl"


def own_questions(folder: Path) -> Path:
    rows = [{"question": text, "choices": choices, "answer": answer} for text, choices, answer in questions(40)]
    write_jsonl(folder / "questions.jsonl", rows)
    return folder / "questions.jsonl"


def cifar10(folder: Path) -> Path:
    for number, name in enumerate([*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]):
        write_pickle(folder / name, pictures(20, seed=number), np.arange(20) % 10, "labels")
    return folder


def cifar100(folder: Path) -> Path:
    for number, (name, size) in enumerate({"train": 1000, "test": 100}.items()):
        write_pickle(folder / name, pictures(size, seed=number), np.arange(size) % 100, "fine_labels")
    return folder


def svhn(folder: Path) -> Path:
    write_parquet(folder / "test.parquet", pictures(12), "image", label=[i % 10 for i in range(12)])
    return folder


def ham10000(folder: Path) -> Path:
    rows = []
    (folder / "images").mkdir()
    for i, image in enumerate(pictures(210, shape=(6, 8))):
        name = f"ISIC_{i:07d}"
        (folder / "images" / f"{name}.png").write_bytes(png(image))
        rows.append({"lesion_id": f"HAM_{i // 2:07d}", "image_id": name, "dx": LESION_CLASSES[i // 2 % 7], "age": "50"})
    write_metadata(folder / "HAM10000_metadata.csv", rows)
    return folder


def esc50(folder: Path) -> Path:
    """Two recordings of each class and fold."""
    rows = []
    everything = list(product(range(1, 6), enumerate(SOUND_CLASSES), range(3)))
    for (fold, (target, name), take), sound in zip(everything, sounds(len(everything), samples=400), strict=True):
        source = 1000 * fold + 10 * target + take
        row = {"filename": f"{fold}-{source}-A-{target}.wav", "fold": fold, "target": target, "category": name}
        rows.append({**row, "esc10": name in esc10.CLASSES, "src_file": source, "take": "A"})
        write_sound(folder / "audio" / str(row["filename"]), sound)
    write_table(folder / "meta" / "esc50.csv", rows)
    return folder


def clinc150(folder: Path) -> Path:
    intents = ["weather", "balance", "translate"]
    sizes = {"train": 30, "val": 9, "test": 12}
    told = {part: [[f"{part} {i} of {intents[i % 3]}", intents[i % 3]] for i in range(n)] for part, n in sizes.items()}
    told |= {f"oos_{part}": [[f"{part} nonsense {i}", "oos"] for i in range(5)] for part in sizes}
    (folder / "data_full.json").write_text(json.dumps(told))
    return folder


def sst2(folder: Path) -> Path:
    for part in ("train", "dev", "test"):
        (folder / f"{part}.tsv").write_text("".join(f"{part} sentence {i}\t{i % 2}\n" for i in range(20)))
    return folder


def hub_questions(config: str, choices: int, stem: str = "question") -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        for seed, part in enumerate(PARTS):
            write_hub(folder / config / f"{part}-00000-of-00001.parquet", questions(40, choices, seed), stem)
        return folder

    return write


def mmlu(folder: Path) -> Path:
    for place, (part, size) in enumerate({"dev": 5, "val": 11, "test": 3}.items()):
        for number, subject in enumerate(SUBJECTS):
            asked = questions(size, seed=100 * number + place)
            rows = [(text, *choices, LETTERS[answer]) for text, choices, answer in asked]
            write_csv(folder / part / f"{subject}_{part}.csv", rows)
    return folder


WRITERS: dict[str, Callable[[Path], Path]] = {
    "image-folder": images,
    "image-table": image_table,
    "audio-folder": audio,
    "audio-table": audio_table,
    "text-table": texts,
    "multiple-choice": own_questions,
    "cifar10": cifar10,
    "cifar100": cifar100,
    "svhn": svhn,
    "ham10000": ham10000,
    "esc50": esc50,
    "esc10": esc50,
    "clinc150": clinc150,
    "clinc150-oos": clinc150,
    "sst2": sst2,
    "commonsense-qa": hub_questions("data", 5),
    "arc-easy": hub_questions("ARC-Easy", 4),
    "arc-challenge": hub_questions("ARC-Challenge", 4),
    "openbookqa": hub_questions("main", 4, stem="question_stem"),
    "mmlu": mmlu,
}
"""What writes it into an empty folder; returns the value of the field `data`."""

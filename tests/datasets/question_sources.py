"""Writes small sets of multiple-choice questions in the forms in which the real ones come."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

LETTERS = "ABCDEFGH"

Asked = tuple[str, Sequence[str], int]
"""Question, choices, answer."""


def questions(number: int, choices: int = 4, seed: int = 0) -> list[Asked]:
    """No two are equal; the answers take turns. Spaces at places where forms differ."""
    return [
        (f"What is  {seed}/{i}?", [f"thing {i} {c}" for c in range(choices)], (i + seed) % choices)
        for i in range(number)
    ]


def write_jsonl(path: Path, rows: Sequence[Mapping]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def write_official(path: Path, asked: Sequence[Asked], labels: str = LETTERS, answers: bool = True) -> None:
    """CommonsenseQA, ARC and OpenBookQA as their authors distribute them."""
    rows = []
    for number, (text, choices, answer) in enumerate(asked):
        options = [{"label": label, "text": choice} for label, choice in zip(labels, choices, strict=False)]
        row = {"id": f"q{number}", "question": {"stem": text, "choices": options}}
        rows.append({**row, "answerKey": labels[answer]} if answers else row)
    write_jsonl(path, rows)


def write_listed(path: Path, asked: Sequence[Asked]) -> None:
    """The lists of LLM-Adapters, whose texts have single spaces."""
    rows = []
    for text, choices, answer in asked:
        options = " ".join(f"Answer{number}: {choice}" for number, choice in enumerate(choices, 1))
        form = "/".join(f"answer{number}" for number in range(1, len(choices) + 1))
        told = f"Please choose the correct answer to the question: {' '.join(text.split())}\n\n{options}"
        key = f"answer{answer + 1}"
        rows.append({"instruction": f"{told}\n\nAnswer format: {form}", "input": "", "output": "so", "answer": key})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows, indent=4), encoding="utf-8")


def write_hub(path: Path, asked: Sequence[Asked], stem: str = "question", labels: str = LETTERS) -> None:
    """The hub's form of the same three."""
    columns = {
        "id": [f"q{number}" for number in range(len(asked))],
        stem: [text for text, _, _ in asked],
        "choices": [{"label": list(labels[: len(choices)]), "text": list(choices)} for _, choices, _ in asked],
        "answerKey": [labels[answer] for _, _, answer in asked],
    }
    write_parquet(path, columns)


def write_parquet(path: Path, columns: Mapping[str, Sequence]) -> None:
    import pyarrow
    import pyarrow.parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.table({name: list(values) for name, values in columns.items()}), path)


def write_csv(path: Path, rows: Sequence[Sequence[object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)

"""The 57 subjects of MMLU and their groups, and its rows in each form."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from lora_ensemble.errors import DataError
from lora_ensemble.questions.rows import Question, labelled
from lora_ensemble.sources.rows import column, hub_rows, local_folder, parquet_files

CHOICES = ("A", "B", "C", "D")

GROUPS: dict[str, tuple[str, ...]] = {
    "stem": (
        "abstract_algebra", "anatomy", "astronomy", "college_biology", "college_chemistry", "college_computer_science",
        "college_mathematics", "college_physics", "computer_security", "conceptual_physics", "electrical_engineering",
        "elementary_mathematics", "high_school_biology", "high_school_chemistry", "high_school_computer_science",
        "high_school_mathematics", "high_school_physics", "high_school_statistics", "machine_learning",
    ),
    "humanities": (
        "formal_logic", "high_school_european_history", "high_school_us_history", "high_school_world_history",
        "international_law", "jurisprudence", "logical_fallacies", "moral_disputes", "moral_scenarios", "philosophy",
        "prehistory", "professional_law", "world_religions",
    ),
    "ss": (
        "econometrics", "high_school_geography", "high_school_government_and_politics", "high_school_macroeconomics",
        "high_school_microeconomics", "high_school_psychology", "human_sexuality", "professional_psychology",
        "public_relations", "security_studies", "sociology", "us_foreign_policy",
    ),
    "other": (
        "business_ethics", "clinical_knowledge", "college_medicine", "global_facts", "human_aging", "management",
        "marketing", "medical_genetics", "miscellaneous", "nutrition", "professional_accounting",
        "professional_medicine", "virology",
    ),
}  # fmt: skip
"""As in the appendix of the MMLU paper and in arXiv 2402.12264, which lists human_sexuality under "other", too."""

SUBJECTS = tuple(sorted(subject for group in GROUPS.values() for subject in group))

GROUPS |= {
    "all": SUBJECTS,
    "all_without_ss": tuple(s for s in SUBJECTS if s not in GROUPS["ss"]),
    "all_without_stem": tuple(s for s in SUBJECTS if s not in GROUPS["stem"]),
}

_HUB_PARTS = {"dev": "dev", "val": "validation", "test": "test"}


def read(data: str, part: str, subjects: Sequence[str]) -> dict[str, list[Question]]:
    """The questions of each subject in a part (dev, val or test), in the order of the source.

    Raises DataError that names the subjects that are missing, or a row that cannot be used."""
    folder = local_folder(data)
    for place in () if folder is None else (folder, folder / "data"):
        if (place / part).is_dir():
            return _from_files(place / part, part, subjects)
    if folder is not None and not parquet_files(folder, _HUB_PARTS[part]):
        raise DataError(
            f"data = {data!r}: no MMLU in this folder; expected {part}/<subject>_{part}.csv, or parquet files named "
            f"after their split ({_HUB_PARTS[part]}-00000-of-00001.parquet)"
        )
    found = _from_table(data, _HUB_PARTS[part])
    _check_complete(found, subjects, f"data = {data!r}, {_HUB_PARTS[part]}")
    return {subject: found[subject] for subject in subjects}


def _from_files(folder: Path, part: str, subjects: Sequence[str]) -> dict[str, list[Question]]:
    files = {path.name.removesuffix(f"_{part}.csv"): path for path in sorted(folder.glob(f"*_{part}.csv"))}
    _check_complete(files, subjects, str(folder))
    return {subject: _from_csv(files[subject]) for subject in subjects}


def _from_csv(path: Path) -> list[Question]:
    """Rows without a header: question, the four choices, letter."""
    found = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.reader(lines, strict=True)
            for row in reader:
                where = f"{path}, line {reader.line_num}"
                if len(row) != len(CHOICES) + 2:
                    raise DataError(f"{where}: {len(row)} cells; expected question, {', '.join(CHOICES)}, letter")
                found.append(Question(row[0], tuple(row[1:-1]), labelled(row[-1].strip(), CHOICES, where), where))
    except (csv.Error, UnicodeDecodeError, OSError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    return found


@lru_cache(maxsize=3)  # the three parts, which one process reads for several ensembles
def _from_table(data: str, part: str) -> dict[str, list[Question]]:
    rows = hub_rows(data, part, "all")
    columns = [rows[column(rows, data, (name,))][:] for name in ("subject", "question", "choices", "answer")]
    found: dict[str, list[Question]] = {}
    for number, (subject, text, choices, answer) in enumerate(zip(*columns, strict=True), 1):
        where = f"{data}, {part}, row {number}"
        found.setdefault(subject, []).append(Question(text, tuple(choices), answer, where))
    return found


def _check_complete(found: object, subjects: Sequence[str], where: str) -> None:
    assert hasattr(found, "__contains__")
    if missing := [subject for subject in subjects if subject not in found]:
        raise DataError(f"{where}: {len(missing)} of {len(subjects)} subjects are missing: {', '.join(missing)}")

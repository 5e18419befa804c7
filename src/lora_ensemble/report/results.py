"""Results: what a report is made of, without models and without predictions; one JSON file.

results.json, in the order of its keys; null stands for a number that is not defined:

    format, version    "lora-ensemble-results", 1
    title, summary     text: the heading of the report, and what it shows in a sentence or two
    about              {text: text or number}: facts that a reader needs, such as the data set and the number of samples
    study              the fields of `analysis.Study`, or null: the one field in which the methods differ
    runs               a list with an entry for each run, in the order in which methods are shown
      method, seed     its method's name (runs of one name are seeds of one method), and its seed or null
      about            how it was scored: members, samples, pooling, resamples, seed of the resamples
      scores           {name: value}, the names of `evaluate`
      intervals        {name: [low, high]}: 95 % bootstrap intervals; may be empty
      per_member       {name: [value, ...]}: the scores of each member alone
      cost             {name: number}, see `COSTS`; may be empty
      curves           the fields of `curves.Curves`, whose docstrings say what they hold
      epochs           the fields of `analysis.EpochsCurve`, or null
      uncertain, wrong, disputed
                       lists of examples, the fields of `examples.Example`; may be empty
      classes          the fields of `classes.Classes`, or null
      calibrated       name, scores, intervals, per_member, about, reliability, risk: the same of the calibrated
                       predictions; or null
      shift            the fields of `analysis.ShiftCurve`, or null
      promises         the fields of `promises.Promises`, or null
      notes            [text]: what could not be told, and why
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lora_ensemble.analysis import Study, Table, table
from lora_ensemble.disk.digests import DIGEST, check_seal, sealed
from lora_ensemble.disk.files import atomic_write_text
from lora_ensemble.errors import DataError, FileFormatError, UserError
from lora_ensemble.fields import from_plain, to_plain
from lora_ensemble.report.run_result import RunResult

FORMAT = "lora-ensemble-results"
VERSION = 1


@dataclass(frozen=True, eq=False)
class Results:
    """Runs of one or several methods, side by side."""

    title: str
    runs: tuple[RunResult, ...]
    """At least one. Methods are shown in the order in which they come first here."""
    summary: str = ""
    """What the results show, in a sentence or two."""
    about: Mapping[str, str | int | float] = field(default_factory=dict)
    """Facts that a reader needs, by name, such as the data set."""
    study: Study | None = None
    """The one field in which the methods differ."""

    def __post_init__(self) -> None:
        if not self.runs:
            raise DataError("there are no runs to report on")
        for method, runs in self.methods.items():
            members = sorted({run.members for run in runs})
            if len(members) > 1:
                raise DataError(f"runs of method {method!r} have {members} members: give them different names")

    @property
    def methods(self) -> dict[str, list[RunResult]]:
        """The runs of each method."""
        grouped: dict[str, list[RunResult]] = {}
        for run in self.runs:
            grouped.setdefault(run.method, []).append(run)
        return grouped

    @property
    def repeated(self) -> bool:
        """Whether a method has more than one run."""
        return len(self.runs) > len(self.methods)

    def table(self, columns: tuple[str, ...] | None = None) -> Table:
        """Mean and standard deviation over runs, a row per method; has `to_markdown` and `to_latex`.

        columns: scores to show; by default the common ones that occur, of every OOD set, and of those after a
        calibration, `calibrated_<name>`, NLL and ECE.
        """
        return table({method: [run.values for run in runs] for method, runs in self.methods.items()}, columns)

    def save(self, path: str | Path) -> None:
        """Write results.json, atomically, with its digest and a line per run. Raises UserError where the file is there
        and holds something else."""
        check_place(path)
        head = {"format": FORMAT, "version": VERSION, "title": self.title, "summary": self.summary}
        shown = {"about": dict(self.about), "study": None if self.study is None else to_plain(self.study)}
        lines = [f" {json.dumps(k)}: {_dumps(v)}" for k, v in {**head, **shown}.items()]
        values = [run.to_dict() for run in self.runs]
        lines.append(f' "{DIGEST}": {_dumps(sealed({**head, **shown, "runs": values})[DIGEST])}')
        runs = ",\n  ".join(map(_dumps, values))
        atomic_write_text(path, "{\n" + ",\n".join([*lines, f' "runs": [\n  {runs}\n ]']) + "\n}\n")

    @classmethod
    def load(cls, path: str | Path) -> Results:
        """Read what `save` wrote. Raises DataError for a missing file, FileFormatError for one truncated, foreign or
        of another version."""
        if not Path(path).is_file():
            raise DataError(f"there is no results file {path}")
        try:
            data = json.loads(Path(path).read_text(encoding="utf-8"))
        except ValueError as error:
            raise FileFormatError(f"{path} is truncated or not JSON: {error}") from error
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise FileFormatError(f"{path} is JSON, but not of results ({FORMAT})")
        if data.get("version") != VERSION:
            raise FileFormatError(f"{path} has version {data.get('version')}, this library reads {VERSION}")
        try:
            runs = tuple(RunResult.from_dict(run) for run in data["runs"])
            study = from_plain(Study, data["study"], "study") if data.get("study") else None
            found = cls(data["title"], runs, data["summary"], data["about"], study)
        except KeyError as error:
            raise FileFormatError(f"{path} is not a complete results file: {error} is missing") from error
        except (UserError, TypeError, AttributeError) as error:
            raise FileFormatError(f"{path} holds no usable results: {error}") from error
        check_seal(Path(path), data)
        return found


def check_place(path: str | Path) -> None:
    """Before anything is computed: raises UserError where results would replace something else."""
    if not Path(path).is_file():
        return
    try:
        with Path(path).open("rb") as file:
            head = file.read(200).decode("utf-8", errors="replace")
    except OSError as error:
        raise UserError(f"cannot read {path}, which is already there: {error.strerror or error}") from error
    if head and f'"format": "{FORMAT}"' not in head:
        raise UserError(f"{path} is already there, and holds no results: it stays as it is; give another file")


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)

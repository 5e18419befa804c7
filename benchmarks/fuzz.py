"""Foreign files that no sane program wrote: every reader answers with data or with one clear line, in bounded time.

python benchmarks/fuzz.py --inputs 20000

Hypothesis draws the inputs: whole files of a kind that are cut, flipped, spliced and overwritten, texts in the form of
JSON, CSV and JSONL with values that do not belong there, and noise. An error of `lora_ensemble.errors` is clear; any
other exception, more than 10 s, or more than 1 GiB is not. Warnings are answers.
"""

from __future__ import annotations

import argparse
import collections
import io
import json
import resource
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from lora_ensemble.errors import UserError

ODD = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just("x" * 200_000)
JSON = st.recursive(
    ODD, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner), max_leaves=12
)
NAMES = [
    "question",
    "choices",
    "answer",
    "answerKey",
    "id",
    "label",
    "image",
    "text",
    "Training",
    "model",
    "data.data_set",
]
ROW = st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=8), JSON, max_size=8)


def seeds() -> dict[str, bytes]:
    """A small whole file of each kind that is not text."""
    import numpy as np
    import pyarrow
    import pyarrow.parquet
    import soundfile
    import torch
    from PIL import Image
    from safetensors.torch import save

    found = {}
    for kind in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"):
        file = io.BytesIO()
        Image.fromarray(np.arange(768, dtype=np.uint8).reshape(16, 16, 3)).save(file, kind)
        found[kind] = file.getvalue()
    for kind in ("WAV", "FLAC", "OGG"):
        file = io.BytesIO()
        soundfile.write(file, np.sin(np.arange(1600) / 9), 16_000, format=kind)
        found[kind] = file.getvalue()
    file = io.BytesIO()
    table = pyarrow.table({"question": ["a", "b"], "choices": [["x", "y"], ["z", "w"]], "answer": [0, 1]})
    pyarrow.parquet.write_table(table, file)
    found["parquet"] = file.getvalue()
    file = io.BytesIO()
    torch.save({"a.weight": torch.zeros(2, 3)}, file)
    found["pt"] = file.getvalue()
    found["safetensors"] = save({"a.weight": torch.zeros(2, 3)})
    import pickle

    rows = np.zeros((3, 3072), np.uint8)
    found["pickle"] = pickle.dumps({b"data": rows, b"labels": [0, 1, 2], b"fine_labels": [0, 1, 2]}, 2)
    return found


def broken(whole: bytes) -> st.SearchStrategy[bytes]:
    """The file with pieces overwritten, cut out or put in, or its beginning."""
    piece = st.tuples(st.integers(0, len(whole)), st.integers(0, 40), st.binary(max_size=40))

    def cut(pieces: list[tuple[int, int, bytes]]) -> bytes:
        data = whole
        for start, length, new in pieces:
            data = data[:start] + new + data[start + length :]
        return data

    return st.lists(piece, min_size=1, max_size=4).map(cut) | st.integers(0, len(whole)).map(lambda n: whole[:n])


def as_json(values: st.SearchStrategy[Any]) -> st.SearchStrategy[bytes]:
    return values.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=60)


def readers(whole: dict[str, bytes]) -> dict[str, tuple[st.SearchStrategy[bytes], Callable[[Path], object]]]:
    """Name of a reader: what it is given, and how it reads a file or a folder with that file in it."""
    from lora_ensemble.engine.saving import read_json, read_tensors
    from lora_ensemble.experiment import Experiment
    from lora_ensemble.predictions import Predictions
    from lora_ensemble.report import Results
    from lora_ensemble.runs.run import Run
    from lora_ensemble.sources.tables import rows

    def named(name: str, read: Callable[[Path], object]) -> Callable[[Path], object]:
        def inside(path: Path) -> object:
            moved = path.with_name(name)
            path.rename(moved)
            return read(moved)

        return inside

    lines = st.lists(ROW, max_size=4).map(lambda rows: "\n".join(json.dumps(row) for row in rows).encode())
    cells = st.lists(st.lists(st.text(max_size=12) | st.just("y" * 140_000), max_size=5), max_size=5)
    table = cells.map(lambda rows: "\n".join(",".join(row) for row in rows).encode(errors="replace"))
    found = {
        "settings JSON": (as_json(ROW | JSON), lambda path: Experiment.from_json(path.read_text(errors="replace"))),
        "JSON table": (as_json(st.lists(ROW, max_size=3) | JSON), named("t.json", rows)),
        "JSONL": (lines | st.binary(max_size=80), named("t.jsonl", rows)),
        "CSV": (table | st.binary(max_size=80), named("t.csv", rows)),
        "parquet": (broken(whole["parquet"]), named("t.parquet", rows)),
        "safetensors": (broken(whole["safetensors"]), read_tensors),
        "adapter config": (as_json(ROW | JSON), read_json),
        "predictions": (broken(whole["safetensors"]), Predictions.load),
        "run.json": (
            as_json(st.fixed_dictionaries({"experiment": ROW | JSON})),
            named("run.json", lambda p: Run(p.parent).experiment),
        ),
        "results.json": (as_json(ROW | JSON), Results.load),
        "questions": (lines, named("test.jsonl", _questions)),
    }
    return found | _binary_readers(whole)


def _questions(path: Path) -> object:
    from lora_ensemble.datasets.multiple_choice import MultipleChoice

    return MultipleChoice(str(path.parent)).load("test")


def _binary_readers(whole: dict[str, bytes]) -> dict[str, tuple[st.SearchStrategy[bytes], Callable[[Path], object]]]:
    from lora_ensemble.audio import clips
    from lora_ensemble.conversions.torchvision import read_state
    from lora_ensemble.images import decoding
    from lora_ensemble.sources.pickles import read_pickle

    def of(*kinds: str) -> st.SearchStrategy[bytes]:
        return st.sampled_from(kinds).flatmap(lambda kind: broken(whole[kind]))

    return {
        "CIFAR pickle": (broken(whole["pickle"]), read_pickle),
        ".pt": (broken(whole["pt"]), read_state),
        "image": (
            of("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"),
            lambda path: list(decoding.checked([path.read_bytes()], ["it"], "a data set")),
        ),
        "sound": (
            of("WAV", "FLAC", "OGG"),
            lambda path: list(clips.checked([path.read_bytes()], ["it"], "a data set")),
        ),
    }


def campaign(
    name: str, data: st.SearchStrategy[bytes], read: Callable[[Path], object], inputs: int, start: int
) -> dict[str, Any]:
    """How the reader answered."""
    count: collections.Counter[str] = collections.Counter()
    worst, shown = 0.0, set()

    @seed(start)
    @settings(
        max_examples=inputs,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(data)
    def once(content: bytes) -> None:
        nonlocal worst
        with tempfile.TemporaryDirectory() as place:
            path = Path(place) / "input"
            path.write_bytes(content)
            began = time.monotonic()
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    read(path)
                count["read"] += 1
            except UserError as error:
                count["clear error" if "\n" not in str(error).strip() else "error of several lines"] += 1
            except Exception as error:
                count["other exception"] += 1
                where = traceback.extract_tb(error.__traceback__)[-1]
                about = f"{name}: {type(error).__name__}: {str(error)[:120]} at {where.filename[-50:]}:{where.lineno}"
                if (key := f"{type(error)}{where.lineno}") not in shown:
                    shown.add(key)
                    print(about, flush=True)
            worst = max(worst, time.monotonic() - began)

    once()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return {**count, "slowest s": round(worst, 2), "peak MiB": peak}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=600, help="of all readers together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="one reader")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    chosen = {name: pair for name, pair in readers(seeds()).items() if asked.only in (None, name)}
    found = {}
    for name, (data, read) in chosen.items():
        found[name] = campaign(name, data, read, asked.inputs // len(chosen), asked.seed)
        print(f"| {name} | {found[name]} |", flush=True)
    total = collections.Counter[str]()
    for count in found.values():
        total.update({key: value for key, value in count.items() if key not in ("slowest s", "peak MiB")})
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{dict(total)}; peak memory {peak:.0f} MiB; slowest {max(c['slowest s'] for c in found.values())} s")
    if asked.json:
        asked.json.write_text(json.dumps({"readers": found, "total": total, "peak MiB": peak}, indent=1))


if __name__ == "__main__":
    main()

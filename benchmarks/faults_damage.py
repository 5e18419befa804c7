"""Every kind of file that we write, damaged in every way, and read by every command that reads it."""

from __future__ import annotations

import collections
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from forked import RECIPE, Ended, command, facts

Damage = Callable[[Path, Path, random.Random], None]


def flip(path: Path, other: Path, draw: random.Random, bits: int = 1) -> None:
    data = bytearray(path.read_bytes())
    for _ in range(bits):
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    path.write_bytes(data)


def zero(path: Path, other: Path, draw: random.Random) -> None:
    data = bytearray(path.read_bytes())
    start = draw.randrange(len(data))
    length = draw.choice([64, len(data) // 2, len(data)])
    data[start : start + length] = bytes(len(data[start : start + length]))
    path.write_bytes(data)


DAMAGES: dict[str, Damage] = {
    "truncated": lambda path, _, draw: path.write_bytes(path.read_bytes()[: draw.randrange(path.stat().st_size)]),
    "one bit": flip,
    "many bits": lambda path, other, draw: flip(path, other, draw, 20),
    "zeros": zero,
    "empty": lambda path, _, __: path.write_bytes(b""),
    "another's": lambda path, other, _: shutil.copyfile(other, path),
    "noise": lambda path, _, draw: path.write_bytes(draw.randbytes(path.stat().st_size)),
    "longer": lambda path, _, draw: path.write_bytes(path.read_bytes() + draw.randbytes(100)),
    "deleted": lambda path, _, __: path.unlink(),
}


def bases(place: Path) -> dict[str, tuple[Path, Path]]:
    """Folders of every kind, each with one of another seed."""
    half = ["--training.checkpoint-seconds", "0", "--training.save", "steps", "--training.save-steps", "3"]
    made: dict[str, list[Path]] = collections.defaultdict(list)
    for seed in ("0", "1"):
        words = ["--seed", seed]
        run, folds, many, cut = (place / f"{kind}{seed}" for kind in ("run", "folds", "many", "half"))
        for done in (
            command(["train", RECIPE, *words, "--training.save", "epoch", "--output", str(run)]),
            command(["predict", str(run)]),
            command(["cross-validate", RECIPE, *words, "--output", str(folds)]),
            command(["compare", RECIPE, "--seeds", seed, "--output", str(many)]),
            command(["train", RECIPE, *words, *half, "--output", str(cut)]),
        ):
            assert done.kind == "done", done.err
        for name in ("finished.json", "ensemble"):  # as if it had been killed before the end
            path = cut / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        shutil.rmtree(cut / "checkpoints" / "checkpoint-9")
        for kind, folder in {"run": run, "folds": folds, "many": many, "half": cut}.items():
            made[kind].append(folder)
    return {kind: (one, other) for kind, (one, other) in made.items()}


def readers(kind: str, folder: Path) -> dict[str, list[str]]:
    """The commands that read a folder of a kind."""
    at, out = str(folder), str(folder.parent / "out")
    half = ["--training.checkpoint-seconds", "0", "--training.save", "steps", "--training.save-steps", "3"]
    if kind == "run":
        return {
            "evaluate": ["evaluate", at],
            "evaluate --epochs": ["evaluate", at, "--epochs"],
            "predict": ["predict", at],
            "export": ["export", at, "--output", out],
            "report": ["report", at, "--output", f"{out}.html"],
            "verify": ["verify", at],
            "train": ["train", RECIPE, "--seed", "0", "--training.save", "epoch", "--output", at],
        }
    if kind == "half":
        return {"verify": ["verify", at], "train": ["train", RECIPE, "--seed", "0", *half, "--output", at]}
    again = {"folds": ["cross-validate", RECIPE, "--seed", "0"], "many": ["compare", RECIPE, "--seeds", "0"]}[kind]
    return {"verify": ["verify", at], again[0]: [*again, "--output", at]}


def damage(place: Path, cases: int, draw: random.Random, end: float) -> collections.Counter[str]:
    """Each case: one damaged file, read by every command that reads folders of its kind (the slow report every fifth
    time). A silent difference is an exit code 0 with another output, other weights, logits or scores."""
    made, work = bases(place), place / "work"
    files = {kind: [p.relative_to(one) for p in one.rglob("*") if _counts(p)] for kind, (one, _) in made.items()}
    expected = {kind: _expected(kind, made[kind][0], work) for kind in made}
    count: collections.Counter[str] = collections.Counter()
    for case in range(cases):
        if time.monotonic() > end:
            break
        kind = draw.choices(list(made), weights=[300, 150, 20, 2])[0]
        file, way = draw.choice(files[kind]), draw.choice(list(DAMAGES))
        one, other = made[kind]
        there = other / _of_other_seed(file, other)
        count["files"] += 1
        for name in readers(kind, work):
            if name == "report" and case % 5:
                continue
            _fresh(one, work)
            DAMAGES[way](work / file, there, draw)
            unchanged = (work / file).is_file() and (work / file).read_bytes() == (one / file).read_bytes()
            ended = command(readers(kind, work)[name])
            verdict = _verdict(name, ended, work, expected[kind][name], way, file)
            count["reads"] += 1
            count["unchanged" if unchanged else verdict] += 1
            if not unchanged and verdict in ("traceback", "silent difference", "unclear"):
                print(f"case {case}: {kind}/{file}, {way}, {name}: {verdict}\n{ended.err[-1200:]}", flush=True)
    return count


def _counts(path: Path) -> bool:
    """A report is shown and never read; a lock is empty."""
    return path.is_file() and path.stat().st_size > 0 and path.suffix != ".html" and "tensorboard" not in path.parts


def _of_other_seed(file: Path, other: Path) -> Path:
    """The same file where a folder is named by the seed."""
    return file if (other / file).is_file() else Path(file.as_posix().replace("-seed0", "-seed1"))


def _fresh(one: Path, work: Path) -> None:
    for path in (work, work.parent / "out"):
        shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(one, work)


def _expected(kind: str, one: Path, work: Path) -> dict[str, object]:
    found = {}
    for name, words in readers(kind, work).items():
        _fresh(one, work)
        ended = command(words)
        assert ended.kind == "done", ended.err
        found[name] = _result(name, ended, work)
    return found


def _result(name: str, ended: Ended, work: Path) -> object:
    """What a command tells, or leaves."""
    if name.startswith("evaluate"):
        return ended.out
    if name == "export":
        return facts(work.parent / "out")
    if name in ("train", "compare", "cross-validate", "predict"):
        return facts(work)
    return None


def _verdict(name: str, ended: Ended, work: Path, expected: object, way: str, file: Path) -> str:
    if ended.kind != "done":
        return ended.kind
    if name == "verify":
        return "whole, said verify" if way != "deleted" else "equal"
    try:
        same = _result(name, ended, work) == expected
    except ValueError:  # a damaged file that the command did not have to read, and left
        return "equal"
    if same or _untouched(name, work, expected, file):
        return "equal"
    return "silent difference"


def _untouched(name: str, work: Path, expected: object, file: Path) -> bool:
    """Whether only the damaged file itself differs, which the command did not read and left as it was. Predictions
    count where they are there: those that are gone are made anew when somebody asks for them."""
    if name not in ("train", "predict", "compare", "cross-validate") or not isinstance(expected, dict):
        return False
    found = facts(work)
    differing = {key for key in expected.keys() | found.keys() if expected.get(key) != found.get(key)}
    return differing <= {file.as_posix()} and ("predictions" not in file.parts or not (work / file).exists())

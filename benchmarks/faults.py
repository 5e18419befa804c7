"""Kills, damaged files and full disks: what survives, what is one line, what is a traceback, what is silently wrong.

python benchmarks/faults.py kills --cases 300
python benchmarks/faults.py damage --cases 1000
python benchmarks/faults.py disks --cases 30      # mounts a tmpfs, as root
"""

from __future__ import annotations

import argparse
import collections
import json
import random
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from faults_damage import damage
from forked import RECIPE, Ended, command, facts, prepare

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
WEIGHTS = {"train": 60, "predict": 40, "report": 15, "export": 30, "compare": 2, "cross-validate": 15}
"""How often each is killed: by what it takes, `compare` starts processes of its own."""


def jobs(folder: Path, made: Path) -> dict[str, list[str]]:
    """The commands that are killed, and where they write; `made` is a finished run."""
    out = str(folder)
    eager = ["--training.checkpoint-seconds", "0"]
    return {
        "train": ["train", RECIPE, *eager, "--output", out],
        "predict": ["predict", out],
        "report": ["report", str(made), "--output", str(folder / "report.html")],
        "export": ["export", str(made), "--output", str(folder / "ensemble")],
        "compare": ["compare", RECIPE, "--seeds", "0,1", *eager, "--output", out],
        "cross-validate": ["cross-validate", RECIPE, *eager, "--output", out],
    }


def begin(name: str, folder: Path, made: Path) -> None:
    """What must be there before the command."""
    shutil.rmtree(folder, ignore_errors=True)
    if name == "predict":
        shutil.copytree(made, folder)
        shutil.rmtree(folder / "predictions", ignore_errors=True)
    elif name in ("report", "export"):
        folder.mkdir()


def kills(place: Path, cases: int, draw: random.Random, end: float) -> collections.Counter[str]:
    """Each command is killed at a random moment, run again, and must leave what it leaves undisturbed."""
    made, folder = finished(place), place / "work"
    expected, seconds = {}, {}
    for name, words in jobs(folder, made).items():
        begin(name, folder, made)
        undisturbed = command(words)
        assert undisturbed.kind == "done", undisturbed.err
        expected[name], seconds[name] = facts(folder), undisturbed.seconds
    count: collections.Counter[str] = collections.Counter()
    for case in range(cases):
        if time.monotonic() > end:
            break
        name = draw.choices(list(expected), weights=[WEIGHTS[name] for name in expected])[0]
        words = jobs(folder, made)[name]
        begin(name, folder, made)
        killed = command(words, (draw.uniform(0.02, 1.0) * seconds[name], draw.choice(SIGNALS)))
        again = command(words)
        if killed.kind == "done" and name == "export":
            again = killed  # the same output a second time is refused
        verdict = judged(killed, again, expected[name], folder)
        count[f"{name}: {verdict}"] += 1
        count[verdict] += 1
        if verdict not in ("equal",):
            print(f"case {case}: {name}: {verdict}\n{killed.err[-1500:]}\n--- again\n{again.err[-1500:]}", flush=True)
    return count


def judged(killed: Ended, again: Ended, expected: dict[str, object], folder: Path) -> str:
    if "traceback" in (killed.kind, again.kind):
        return "traceback"
    if again.kind != "done":
        return again.kind
    return "equal" if facts(folder) == expected else "silent difference"


def finished(place: Path) -> Path:
    """A finished run with the weights of its epochs and its predictions."""
    made = place / "made"
    done = command(["train", RECIPE, "--training.save", "epoch", "--output", str(made)])
    assert done.kind == "done", done.err
    assert command(["predict", str(made)]).kind == "done"
    return made


def disks(place: Path, cases: int, draw: random.Random, end: float) -> collections.Counter[str]:
    """Train, predict and report on disks of rising sizes: each ends well, or with one line and nothing half-written."""
    made, count = finished(place), collections.Counter[str]()
    disk = place / "disk"
    disk.mkdir()
    size_needed = sum(path.stat().st_size for path in made.rglob("*") if path.is_file()) * 3 // 1024
    for case in range(cases):
        if time.monotonic() > end:
            break
        kib = 8 + case * size_needed // cases
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", str(disk)], check=True)
        try:
            name = ("train", "export", "report", "compare")[case % 4]
            words = jobs(disk / "work", made)[name]
            if name in ("report", "export"):
                (disk / "work").mkdir()
            ended = command(words)
            kind = ended.kind if ended.kind != "done" else "done"
            left = [p.name for p in disk.rglob("*") if ".partial-" in p.name or p.name.endswith(".tmp")]
            count[kind if not left else f"{kind}, leftovers"] += 1
            if kind not in ("done", "one line") or left:
                print(f"case {case}: {name} on {kib} KiB: {kind}, {left}\n{ended.err[-1500:]}", flush=True)
        finally:
            subprocess.run(["umount", str(disk)], check=True)
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["kills", "damage", "disks"])
    parser.add_argument("--cases", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=60, help="no new case after that")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    prepare()
    began = time.monotonic()
    campaign = {"kills": kills, "damage": damage, "disks": disks}[given.what]
    with tempfile.TemporaryDirectory() as place:
        made = Path(place).resolve()
        count = campaign(made, given.cases, random.Random(given.seed), began + 60 * given.minutes)
    print(f"| {given.what} | cases |\n|---|--:|")
    print("\n".join(f"| {name} | {number} |" for name, number in sorted(count.items())))
    print(f"{time.monotonic() - began:.0f} s")
    if given.json:
        given.json.write_text(json.dumps(count, indent=1))


if __name__ == "__main__":
    main()

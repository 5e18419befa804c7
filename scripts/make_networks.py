"""Write docs/networks.md: over which architectures an ensemble was measured to do what it promises.

python scripts/make_networks.py
"""

from __future__ import annotations

import logging
import sys
import tempfile
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "networks.md"
sys.path.insert(0, str(ROOT / "tests"))

import network_checks as checks  # noqa: E402
from tiny_networks import NETWORKS  # noqa: E402

HEAD = """# Networks

An ensemble can be made over any network whose attention layers have linear projections. Below are the architectures
over which this was measured, on tiny random networks of the libraries' own classes: `python scripts/make_networks.py`
wrote this page ({libraries};
{passed} of {all} networks pass everything). `tests/engine/test_any_network.py` runs the same.

- **targets**: the projections that are found and adapted, and the head that each member has for itself. A gradient
  reaches each of them.
- **alone**: each row of logits is what `ensemble.member(m)`, a plain model, computes.
- **step**: a step of training gives each member what it gets when it is trained alone.
- **trunk**: what runs once for all members changes no number.
- **disk**: saved and loaded, the logits have the same bits.
- **PEFT**: PEFT loads a member's folder and computes the same. "no": an attention layer of this architecture reads the
  weights of its projections in place of calling them, and PEFT would leave the update out without a word; members are
  saved without `adapter_config.json`, so that PEFT refuses them.

| network | adapted layers | heads | alone | step | trunk | disk | PEFT |
|---|---|---|---|---|---|---|---|
"""

FOOT = """
## Not supported yet

| network | why |
|---|---|
| transformers XLNet | its attention multiplies with parameters, there is no linear layer to adapt |
| transformers SqueezeBert | its projections are convolutions |
| PoolFormer, MLP-Mixer, convolutional networks | no attention; name the layers to adapt in `target_modules` |
| `torch.nn.MultiheadAttention` with `kdim`, `vdim`, `bias_k` or `add_zero_attn` | refused with this reason |
| inputs whose first axis is not the batch (`batch_first=False` at the top of a model) | members are rows of the batch |

For other networks than these, name the layers to adapt in `target_modules` and the head in `modules_to_save`; a pattern
that matches nothing is an error that lists what there is.
"""


def row(name: str) -> tuple[str, bool]:
    """One line of the table, and whether everything holds."""
    ensemble = checks.make(name)
    measured = [
        _holds(lambda: (checks.members_are_alone_what_they_are_together(name), checks.every_target_is_used(name))),
        _holds(lambda: checks.a_step_is_that_of_each_member_alone(name)),
        _holds(lambda: checks.what_is_shared_changes_nothing(name)),
        _holds(lambda: _in_folder(lambda folder: checks.saved_is_loaded(name, folder))),
        _holds(lambda: _in_folder(lambda folder: checks.peft_agrees(name, folder))),
    ]
    heads = ", ".join(f"`{head}`" for head in ensemble.heads) or "shared"
    cells = [name, str(len(ensemble.targets)), heads, *measured]
    return f"| {' | '.join(cells)} |\n", "fails" not in measured


def _holds(check: Callable[[], object]) -> str:
    try:
        return "no" if check() is False else "yes"
    except Exception as error:
        print(f"  {type(error).__name__}: {str(error).splitlines()[0]}")
        return "fails"


def _in_folder(check: Callable[[Path], object]) -> object:
    with tempfile.TemporaryDirectory() as folder:
        return check(Path(folder))


def main() -> None:
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    rows = []
    for name in sorted(NETWORKS):
        print(name)
        rows.append(row(name))
    libraries = ", ".join(f"{p} {version(p)}" for p in ("torch", "transformers", "timm", "torchvision", "peft"))
    head = HEAD.format(libraries=libraries, passed=sum(good for _, good in rows), all=len(rows))
    PAGE.write_text(head + "".join(line for line, _ in rows) + FOOT, encoding="utf-8")


if __name__ == "__main__":
    main()

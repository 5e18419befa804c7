"""Draw the pictures of docs/concepts.md from a run on the digits that come with the package (about a minute).

python scripts/make_pictures.py [FOLDER]
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from lora_ensemble import Experiment, Predictions, Run, Training, train
from lora_ensemble.backbones.digits_vit import DigitsViT
from lora_ensemble.datasets.digits import Digits
from lora_ensemble.datasets.letters import Letters
from lora_ensemble.methods.lora import Lora

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
MEMBERS = 5
BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#8c959f"


def draw(folder: Path) -> None:
    """The three pictures, as SVG."""
    matplotlib.rcParams |= {"svg.hashsalt": "lora-ensemble", "font.size": 9, "axes.spines.top": False}
    matplotlib.rcParams |= {"axes.spines.right": False, "savefig.facecolor": "white", "svg.fonttype": "path"}
    with tempfile.TemporaryDirectory() as place:
        training = Training(epochs=15, learning_rate=8e-3, device="cpu")
        experiment = Experiment(DigitsViT(), Lora(members=MEMBERS, r=4), Digits(train_examples=100), training)
        run = train(experiment, Path(place) / "run", on_progress=lambda _: None)
        for name, figure in (("members", members), ("kinds", kinds), ("abstention", abstention)):
            axes_of = figure(run)
            axes_of(folder / f"concept-{name}.svg")


def members(run: Run) -> Callable[[Path], None]:
    """Three inputs, and what each member thinks of them: a clear digit, a doubtful one, and a letter."""
    test, letters = run.predict("test"), run.predict("test", Letters())
    rows = [
        ("certain", test, int(test.total_B.argmin()), run.experiment.dataset.load("test")),
        ("ambiguous (aleatoric)", test, _doubtful(test), run.experiment.dataset.load("test")),
        ("a letter (epistemic)", letters, int(letters.epistemic_B.argmax()), Letters().load("test")),
    ]
    figure, axes = plt.subplots(2, 3, figsize=(7.2, 3.4), height_ratios=(1, 1.5), layout="constrained")
    for column, (title, p, row, split) in enumerate(rows):
        axes[0, column].imshow(split.examples[row]["image"], cmap="gray")
        axes[0, column].set(title=title, xticks=[], yticks=[])
        _members_of(axes[1, column], p, row)
    axes[1, 0].set_ylabel("member")
    return _saver(figure)


def _doubtful(p: Predictions) -> int:
    """The row that is most uncertain with the least disagreement."""
    return int((p.aleatoric_B - 4 * p.epistemic_B).argmax())


def _members_of(ax: Axes, p: Predictions, row: int) -> None:
    """Probabilities of the classes (across) of each member (down)."""
    ax.imshow(p.probs_MBC[:, row].numpy(), cmap="Blues", vmin=0, vmax=1, aspect="auto")
    ax.set(xticks=range(10), yticks=range(MEMBERS), xlabel="class")
    ax.set_title(
        f"total {p.total_B[row]:.2f} = aleatoric {p.aleatoric_B[row]:.2f}\n+ epistemic {p.epistemic_B[row]:.2f}",
        fontsize=8,
    )


def kinds(run: Run) -> Callable[[Path], None]:
    """Epistemic uncertainty of digits and of letters."""
    values = {"digits (learned)": run.predict("test"), "letters (never seen)": run.predict("test", Letters())}
    figure, ax = plt.subplots(figsize=(5.2, 2.6), layout="constrained")
    bins = np.linspace(0, 1.2, 40)
    for (label, p), colour in zip(values.items(), (BLUE, ORANGE), strict=True):
        found = p.epistemic_B.clamp(max=1.2).numpy()
        ax.hist(found, bins, weights=np.full(len(found), 1 / len(found)), color=colour, alpha=0.65, label=label)
    ax.set(xlabel="epistemic uncertainty (nats)", ylabel="share of the images")
    ax.legend(frameon=False)
    return _saver(figure)


def abstention(run: Run) -> Callable[[Path], None]:
    """How many answers are wrong where the most uncertain ones are left to a person."""
    p = run.predict("test")
    wrong_B = (p.mean_probs_BC.argmax(1) != p.labels_B).double()
    figure, ax = plt.subplots(figsize=(5.2, 2.6), layout="constrained")
    share = torch.arange(1, len(p) + 1) / len(p)
    kept = wrong_B[p.total_B.argsort()].cumsum(0) / torch.arange(1, len(p) + 1)
    ax.plot(100 * share, 100 * kept, color=BLUE, label="the most certain first")
    ax.axhline(100 * float(wrong_B.mean()), color=GREY, linestyle="--", label="chosen by chance")
    ax.set(xlabel="answered (%)", ylabel="wrong among them (%)", ylim=(0, None))
    ax.legend(frameon=False)
    return _saver(figure)


def _saver(figure: plt.Figure) -> Callable[[Path], None]:
    def save(path: Path) -> None:
        figure.savefig(path, metadata={"Date": None})
        plt.close(figure)

    return save


if __name__ == "__main__":
    draw(Path(sys.argv[1]) if len(sys.argv) > 1 else PICTURES)

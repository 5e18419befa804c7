"""Train or evaluate by published settings: NAME MODEL MEMBERS [WEIGHTS], as in prs-eth/LoRA-Ensemble."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tyro.conf import Positional

from lora_ensemble.cli.arguments import PROGRAM, parse
from lora_ensemble.cli.launching import ABOUT, launcher_of
from lora_ensemble.errors import UserError
from lora_ensemble.printable import printable

if TYPE_CHECKING:
    from lora_ensemble.contracts import Launcher
    from lora_ensemble.experiment import Experiment
    from lora_ensemble.interop.prs_eth.command_line import Request
    from lora_ensemble.predictions import Predictions
    from lora_ensemble.studies.folds.read import Rule


@dataclass(frozen=True)
class Options:
    name: Positional[str]
    """One of the 248 settings names, study/name, or a JSON file of that form."""
    model: Positional[str]
    """LoRA_Former, Deep_Ensemble or MCDropout; with ESC-50, AST_Former, Explicit_AST or ASTMCDropout."""
    members: Positional[int]
    """Number of members."""
    weights: Positional[str | None] = None
    """Published weights to evaluate, instead of training: a .pt file, or its name on the hub."""
    as_published: bool = False
    """Do what the published code does, as far as can be, not what the settings mean."""
    output: Path | None = None
    """Run folder, by default in runs; with weights, too: `evaluate`, `report` and `export` take it as any other."""
    data: str | None = None
    """Hub id or folder of the data. Default: the data set's own."""
    backbone: str | None = None
    """The pretrained weights: torchvision's name, or a local file. Default: IMAGENET1K_V1; with ESC-50, a DeiT."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to compute; auto takes a GPU if there is one."""
    fold: int | None = None
    """ESC-50: train this fold alone, 1 to 5. Default: all five, as the published command does."""
    show: bool = False
    """Print the experiment as JSON, and do nothing."""


def main(args: Sequence[str]) -> None:
    launcher, words = launcher_of(args, "settings")
    options = parse(Options, words, "settings", f"{__doc__}\n\n{ABOUT}")

    from lora_ensemble.analysis import evaluate
    from lora_ensemble.cli.apart import train_there
    from lora_ensemble.interop.prs_eth import published_scores
    from lora_ensemble.interop.prs_eth.command_line import request
    from lora_ensemble.interop.prs_eth.differences import differences_of, pooling, summary
    from lora_ensemble.interop.prs_eth.scores import published_rows
    from lora_ensemble.interop.prs_eth.settings import experiment

    asked = request(options.name, options.model, options.members, as_published=options.as_published)
    made = _configured(experiment(asked), options)
    said: list[str | None] = [summary(asked), *differences_of(asked)]
    if options.weights is not None:
        said = [f"evaluating {printable(options.weights)}; inputs are prepared as in its training", pooling(asked)]
    print(*map(printable, filter(None, said)), sep="\n- ", file=sys.stderr)
    if options.show:
        print(made.to_json())
        return
    if options.weights is None and asked.settings.get("training.training") is False:
        raise UserError(f"settings {options.name}: training.training = false only evaluates: give the weights, too")
    folder = options.output or default_folder(asked)
    if asked.audio and options.weights is None and options.fold is None:
        _cross_validated(made, folder, options.as_published, launcher)
        return
    if options.weights is None:
        folder = folder if options.fold is None else folder / f"fold-{options.fold}"
        if launcher.kind != "local":
            train_there({folder: made}, launcher)
        predictions = _trained(made, folder, asked)
    else:
        predictions = _adopted(made, asked, options, options.output or _evaluated(folder, options.weights))
    as_published = options.as_published
    scores = published_scores(published_rows(predictions, asked)) if as_published else evaluate(predictions)
    print(scores.to_markdown().rstrip())


def _configured(made: Experiment, options: Options) -> Experiment:
    training = dataclasses.replace(made.training, device=options.device)
    backbone, dataset = made.backbone, made.dataset
    if options.backbone is not None:
        audioset = getattr(backbone, "weights", options.backbone) is None  # then it is `name` that says from where
        backbone = dataclasses.replace(backbone, **{"name" if audioset else "weights": options.backbone})
    if options.data is not None:
        dataset = dataclasses.replace(dataset, data=options.data)  # type: ignore[call-arg]
    if options.fold is not None:
        if options.fold not in dataset.folds:
            there = f"there are {', '.join(map(str, dataset.folds))}" if dataset.folds else "its data have no folds"
            raise UserError(f"--fold {options.fold}: {there}")
        dataset = dataclasses.replace(dataset, fold=options.fold)  # type: ignore[call-arg]
    return dataclasses.replace(made, training=training, backbone=backbone, dataset=dataset)


def default_folder(asked: Request) -> Path:
    """Another one for each study, for settings of one name stand in several."""
    name = asked.settings.short_name if Path(asked.settings.name).is_file() else asked.settings.name
    words = [name, asked.model_name, str(asked.members), *["as-published"] * asked.as_published]
    return Path("runs") / "-".join(words)


def _evaluated(folder: Path, weights: str) -> Path:
    """Another one for each weights file."""
    return folder.with_name(f"{folder.name}-{Path(weights).name.removesuffix('.pt')}")


def _cross_validated(made: Experiment, folder: Path, as_published: bool, launcher: Launcher) -> None:
    """All folds. The published rule scores the epoch that is best on the test folds, so each is kept."""
    from lora_ensemble.cli.commands.cross_validate import print_scores
    from lora_ensemble.studies.folds.train import cross_validate

    if as_published:
        made = dataclasses.replace(made, training=dataclasses.replace(made.training, save="epoch"))
    print(f"folder of the folds: {printable(str(folder))}", file=sys.stderr)
    rule: Rule = "best-mean-accuracy" if as_published else "last"
    print_scores(cross_validate(made, folder, launcher=launcher), rule)


def _trained(made: Experiment, folder: Path, asked: Request) -> Predictions:
    from lora_ensemble.interop.prs_eth.scores import best_epoch
    from lora_ensemble.runs.run import train

    print(f"run folder: {printable(str(folder))}", file=sys.stderr)
    run = train(made, folder)
    place = shlex.quote(printable(str(folder)))
    print(f"trained in {run.cost['seconds']:.0f} s; more scores: {PROGRAM} evaluate {place}", file=sys.stderr)
    if not (asked.as_published and asked.stops_early):
        return run.predict("test")
    after = [epoch for epoch in run.epochs() if epoch > 0]
    return best_epoch([*run.predict_epochs("test", None, after).values(), run.predict("test")], asked)


def _adopted(made: Experiment, asked: Request, options: Options, folder: Path) -> Predictions:
    from lora_ensemble.interop.prs_eth.adopting import adopt_weights

    assert options.weights is not None
    run = adopt_weights(options.weights, asked, folder, options.backbone, made)
    print(
        f"run folder: {printable(str(folder))}; more scores: {PROGRAM} evaluate {shlex.quote(printable(str(folder)))}",
        file=sys.stderr,
    )
    return run.predict("test")

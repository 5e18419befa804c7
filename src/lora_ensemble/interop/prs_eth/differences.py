"""In words: what an experiment made from published settings does, and where the published code does otherwise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from lora_ensemble import registry
from lora_ensemble.interop.prs_eth.command_line import Request, request
from lora_ensemble.interop.prs_eth.settings import experiment

MISNAMED = {
    "CIFAR100_settings_max12noise3": "its name stands for noise of scale 0.01, its value is 0.1, as in max12noise2",
    "CIFAR100_settings_max1noise5": "its name stands for noise of scale 0.0001, its value is 0.001, as in max1noise4",
    "HAM10000_test_ENS_0.997": "its name stands for beta 0.997, its value is 0.995",
}
"""Published settings whose name promises another value than they hold."""


def differences(
    name_or_path: str | Path, model_name: str, members: int, *, as_published: bool = False
) -> tuple[str, ...]:
    """Where the experiment that `experiment_from_settings` returns for the same arguments differs from what the
    published code does with these settings, a sentence each. Raises what that function raises."""
    return differences_of(request(name_or_path, model_name, members, as_published=as_published))


def differences_of(asked: Request) -> tuple[str, ...]:
    """`differences` of a command line that is read already."""
    return tuple(sentence for rule in _RULES if (sentence := rule(asked)))


def summary(asked: Request) -> str:
    """What the experiment does, in one line."""
    made = experiment(asked)
    t = made.training
    fields = {
        **_changed(made.method),
        "data_set": registry.name_of(made.dataset),
        **_of_data(made.dataset),
        "steps": t.max_steps,
        "warmup": t.warmup_steps,
        "batch": t.batch_size,
        "optimizer": t.optimizer,
        "lr": t.learning_rate,
        "schedule": t.schedule,
        "class_weights": t.class_weights,
        "seed": made.seed,
    }
    said = ", ".join(f"{key} {value}" for key, value in fields.items())
    return f"{registry.name_of(made.method)} of {asked.arch}, {said}"


def _of_data(dataset: Any) -> dict[str, Any]:
    """What of a data set a table would name."""
    if dataset.folds:
        return {"fold": dataset.fold}
    return {"augmentation": "+".join(getattr(dataset, "augmentation", ())) or "none"}


def _changed(method: Any) -> dict[str, Any]:
    """What a table would name: members, rank, dropout rate, and the fields that differ from their defaults."""
    default = type(method)()
    return {k: v for k, v in vars(method).items() if k in ("members", "r", "p") or v != getattr(default, k)}


def _name(asked: Request) -> str | None:
    return MISNAMED.get(asked.settings.short_name)


def _order(asked: Request) -> str | None:
    if asked.settings.values["data.shuffle"]:
        return None
    if asked.as_published:
        return "rows come in the same order in every epoch, as published, but in our data set's order, not the files'"
    return "published: rows in the same order in every epoch (data.shuffle = false); here shuffled anew in each"


def _optimizer(asked: Request) -> str | None:
    decay = asked.settings.values["training.weight_decay"]
    if asked.as_published or asked.settings.values["training.optimizer"] != "AdamW" or not decay:
        return None
    return f"published: AdamW builds Adam, whose weight decay {decay} joins the gradient; here AdamW"


def _normalisation(asked: Request) -> str | None:
    if asked.as_published or asked.audio:
        return None
    return (
        "published: pixels divided by 255, channel_mean and channel_std unused; here ImageNet's mean and standard "
        "deviation, as in pretraining"
    )


def _clip(asked: Request) -> str | None:
    if asked.trained_members == 1:
        return None
    if asked.as_published:
        return (
            f"the published loss is the mean over members, ours their sum: gradient clip and weight decay are "
            f"{asked.members} times those of the settings, for the same steps"
        )
    if asked.method == "dropout":
        return "published: the loss, and so what the gradient clip sees, is the mean over members; here it is their sum"
    return "published: gradients of all members are clipped together, of the mean over members; here each member's own"


def _steps(asked: Request) -> str | None:
    epochs, steps = (asked.settings.values[f"training.max_{unit}"] for unit in ("epochs", "steps"))
    done = asked.published_steps
    if asked.audio and asked.as_published and done > steps:
        return f"published: {done} steps, as here, but the epoch in which max_steps = {steps} is reached ends there"
    if done < steps and not asked.audio and not asked.as_published and asked.subset("train") is None:
        return f"published: ends with epoch {epochs}, after {done} of {steps} steps"
    if done > steps:
        return f"published: goes on after max_steps to the end of max_epochs, after {done} steps; here {steps} steps"
    return None


def _noise(asked: Request) -> str | None:
    scale, last = asked.settings.get("model.perturb_scale", 0), asked.settings.get("model.max_perturb_layer")
    if asked.method != "deep" or asked.snapshot or not scale or last == 0:
        return None
    layers = asked.layers
    if asked.audio:
        return f"model.perturb_scale = {scale} is stale: an AST is trained without noise, as published"
    meant, done = layers if last is None else last, 0 if last is None else layers - last
    biases = "published: noise also on biases; here on weight matrices alone"
    if asked.as_published:
        return biases if done else None
    return f"published: noise on the last {done} blocks; here on the last {meant}, as described. {biases}"


def _heads(asked: Request) -> str | None:
    if asked.method == "dropout":
        return "published: the heads of the members are never trained, nor saved; here they are trained"
    if kind := asked.settings.get("model.head_init"):
        if asked.audio:
            if asked.method == "deep":
                return f"model.head_init = {kind!r} is stale: it has no effect on an explicit AST, as published"
            said = f"published: head_init = {kind!r} has no effect on an AST; here heads start as it says, biases at 0"
            return None if asked.as_published else said
        return "published: biases of heads are drawn as torch.nn.Linear's also with head_init; here they start at 0"
    return None


def _snapshot(asked: Request) -> str | None:
    if not asked.snapshot:
        return None
    return (
        "published: cycles are whole epochs, without burn_in_epochs one more than members, and the evaluator reads one "
        f"snapshot; here {asked.members} cycles over all steps, and all snapshots are averaged"
    )


def _split(asked: Request) -> str | None:
    if asked.settings.values["data.data_set"] != "HAM10000":
        return None
    return "as published, images of one lesion fall on both sides of the split; dataset.grouped = true splits by lesion"


def _folds(asked: Request) -> str | None:
    if not asked.audio:
        return None
    rule = "so here" if asked.as_published else "here after the last step"
    return f"published: five folds, scored at the epoch with the best mean accuracy on the test folds; {rule}"


def _early_stopping(asked: Request) -> str | None:
    if not asked.settings.get("training.early_stopping"):
        return None
    if not asked.stops_early:
        what = "snapshots" if asked.snapshot else "an epoch of all folds"
        return f"training.early_stopping = true is stale: {what} are scored without looking at it, as published"
    published = "published: trains to the end, and keeps the epoch with the best accuracy on the test split"
    if asked.as_published:
        return f"{published}; so does this command, but not `lora-ensemble evaluate`, which scores the last epoch"
    return f"{published}; here that with the lowest NLL on a validation split, which training leaves out"


def _loss(asked: Request) -> str | None:
    if asked.settings.get("training.loss") != "BCE":
        return None
    return "published: BCE stops with an error, for labels of images are class indices there; here they are one-hot"


def _subset(asked: Request) -> str | None:
    if (batches := asked.subset("evaluation")) is None:
        return None
    if asked.as_published and not asked.audio:
        return f"the first {batches} batches of the test split are scored, as published, but in our data set's order"
    return f"published: the first {batches} batches of the test split are scored; here all of it"


def _rotation(asked: Request) -> str | None:
    if "rotate" not in asked.settings.values["training.training_augmentation"]:
        return None
    return (
        "published: rotation of the original pixels, nearest neighbour, corners black; here after resizing, bilinear, "
        f"corners {'black' if asked.as_published else 'of the mean colour'}"
    )


def pooling(asked: Request) -> str | None:
    """Where scores are computed in another way."""
    if asked.members == 1:
        return None
    said = "published: accuracy and ECE from the softmax of mean logits, everything else from the mean of probabilities"
    if asked.as_published:
        return f"{said}; so does this command, and `published_scores` in Python, but not `lora-ensemble evaluate`"
    return f"{said}; here always the mean of probabilities"


def _test_split(asked: Request) -> str:
    return "published: the test split is scored after every epoch; here once, at the end"


def _random(asked: Request) -> str:
    return "the seed is the published one, the random numbers are not: members, order and augmentation differ"


_RULES: tuple[Callable[[Request], str | None], ...] = (
    _name,
    _order,
    _optimizer,
    _normalisation,
    _clip,
    _steps,
    _noise,
    _heads,
    _snapshot,
    _split,
    _folds,
    _early_stopping,
    _loss,
    _subset,
    _rotation,
    pooling,
    _test_split,
    _random,
)

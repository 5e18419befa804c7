"""Predictions that a run keeps: where they are, and whether they are still those of its weights and of the data."""

from __future__ import annotations

import errno
import hashlib
import json
import warnings
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lora_ensemble import registry
from lora_ensemble.contracts import Dataset, Shift
from lora_ensemble.disk.digests import DIGEST, digest_of_file, digest_of_json, digests_in
from lora_ensemble.disk.fingerprints import changed
from lora_ensemble.disk.records import read_object
from lora_ensemble.errors import UserError
from lora_ensemble.experiment import Experiment
from lora_ensemble.fields import to_plain
from lora_ensemble.runs.data import not_recorded

if TYPE_CHECKING:
    from lora_ensemble.predictions import Predictions
    from lora_ensemble.runs.predicting import Wanted

PREDICTIONS = "predictions"


def place_of(folder: Path, experiment: Experiment, wanted: Wanted) -> Path:
    """Where a run keeps predictions."""
    at = "" if wanted.step is None else f"-step-{wanted.step}"
    shifted = "" if wanted.shift is None else f"-{shift_label(wanted.shift)}"
    name = f"{dataset_label(wanted.dataset, experiment)}-{wanted.split}{at}{shifted}.safetensors"
    return folder / PREDICTIONS / name


def shift_label(shift: Shift) -> str:
    """A shift in the name of a predictions file: name and severity, with a digest of its other fields if need be."""
    name = f"{registry.name_of(shift)}-{shift.severity}"
    others = [f for f in fields(shift) if f.name != "severity"]
    as_always = all(getattr(shift, f.name) == f.default for f in others)
    return name if as_always else f"{name}-{_sha256(to_plain(shift))[:8]}"


def dataset_label(dataset: Dataset, experiment: Experiment) -> str:
    """A data set in the name of a predictions file: its name; with a digest of its fields where two would collide."""
    name = registry.name_of(dataset)
    other_kind = name != registry.name_of(experiment.dataset)
    as_always = all(getattr(dataset, f.name) == f.default for f in fields(dataset))
    if dataset == experiment.dataset or (other_kind and as_always):
        return name
    return f"{name}-{_sha256(to_plain(dataset))[:8]}"


def prediction_key(experiment: Experiment, wanted: Wanted, weights: Path | None) -> str:
    """Changes when predictions have to be computed anew, but for the data: with the configuration, the code of a data
    set that is a plug-in, the shift, and the contents of the weights, a saved ensemble or a checkpoint (None: nothing
    was trained yet), wherever these lie."""
    about = registry.record(wanted.dataset)
    if "from" in about:  # of where a plug-in's code comes from only its contents count
        about["from"] = about["from"].get("sha256")
    shifted = [] if wanted.shift is None else [registry.record(wanted.shift)]
    contents = None if weights is None else _contents(weights)
    return digest_of_json([experiment.determining(), about, wanted.split, contents, *shifted])


def load_kept(path: Path, key: str, wanted: Wanted, older_key: str | None) -> Predictions | None:
    """Stored predictions of this key and of data that are as they were; None where there are none, damaged ones, or
    such without the hidden features that are wanted.

    older_key: what an older version wrote in the place of the key; it did not record the data."""
    from lora_ensemble.predictions import Predictions

    try:
        kept = Predictions.load(path)
    except UserError:
        return None  # none, damaged or foreign: made anew
    if wanted.features and kept.features_MBD is None:
        return None
    found, data = kept.meta.get("key"), kept.meta.get("data")
    if older_key is not None and found == older_key and data is None:
        not_recorded(path.parents[1])
        return kept
    known = data if isinstance(data, Mapping) else {}
    return kept if found == key and not changed(known, wanted.dataset.fingerprint()) else None


def keep(predictions: Predictions, path: Path) -> bool:
    """Store predictions. False, with a warning, in a run folder that cannot be written to by anybody who only reads it;
    raises UserError for any other reason, as a full disk."""
    try:
        predictions.save(path)
    except UserError as error:
        cause = error.__cause__
        if not isinstance(cause, OSError) or cause.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        warnings.warn(f"predictions are not kept: {path.parent} cannot be written to ({cause.strerror})", stacklevel=2)
        return False
    return True


def older_prediction_key(experiment: Experiment, dataset: Dataset, split: str, weights: Path | None) -> str:
    """The key of the versions before digests: with the sizes and times of the files of weights."""
    paths = [] if weights is None else [p for p in sorted(weights.rglob("*")) if p.is_file()]
    files = [(str(p.relative_to(weights)), p.stat().st_size, p.stat().st_mtime_ns) for p in paths if weights]
    about = {"kind": registry.name_of(dataset), **to_plain(dataset)}
    return _sha256([experiment.determining(), about, split, files])


def _contents(weights: Path) -> str:
    """The digest of an ensemble is that of its manifest, which has those of all files; a checkpoint's is that of what
    training changes. What has neither is read entirely."""
    from lora_ensemble.engine.saving import MANIFEST
    from lora_ensemble.training.checkpoints import WEIGHTS

    if (weights / MANIFEST).is_file():
        manifest = read_object(weights / MANIFEST)
        if DIGEST in manifest and "files" in manifest:
            return str(manifest[DIGEST])
    elif (weights / WEIGHTS).is_file():
        return digest_of_file(weights / WEIGHTS)
    return digest_of_json(digests_in(weights))


def _sha256(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()

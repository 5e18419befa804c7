"""Features kept on disk: computed once for each clip, whatever the run, the fold or the data set it comes from."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from lora_ensemble.audio.filterbanks import FilterBanks
from lora_ensemble.disk.files import atomic_write
from lora_ensemble.errors import UserError

VARIABLE = "LORA_ENSEMBLE_CACHE"
"""Environment variable: a folder for the cache, or `off`."""
_VERSION = "1"  # to be raised whenever the features of a waveform change
_NAME = "features"


def cache_folder() -> Path | None:
    """Where features are kept: $LORA_ENSEMBLE_CACHE, else the user's cache folder; None where it is switched off."""
    chosen = os.environ.get(VARIABLE, "")
    if chosen.lower() in ("off", "0", "no", "false"):
        return None
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return (Path(chosen).expanduser() if chosen else Path(caches) / "lora-ensemble") / "features"


@dataclass(frozen=True)
class CachedFilterBanks:
    """Called like the filter banks, with the same result. One file for each clip, named by a digest of its samples and
    of everything that decides the features; a file that is damaged or says that it holds something else is made anew.

    Any number of processes may share a folder, and it may be removed at any time."""

    features: FilterBanks
    folder: Path | None = field(default_factory=cache_folder)
    """None: nothing is kept."""

    def __call__(self, waveform: np.ndarray) -> Tensor:
        """Waveform float32 (samples,) at 16 kHz, to features float32 (frames, bins). A folder that cannot be written to
        is warned of. Raises DataError as FilterBanks does."""
        if self.folder is None:
            return self.features(waveform)
        about = self._about(waveform)
        path = self._path(about)
        kept = _read(path, about)
        if kept is not None and kept.shape == (self.features.frames, self.features.bins):
            return kept
        made = self.features(waveform)
        try:
            atomic_write(
                path, lambda temporary: save_file({_NAME: made}, temporary, {**about, "digest": _digest(made)})
            )
        except UserError as error:
            cause = str(error).removeprefix(f"cannot write {path}: ")
            warnings.warn(f"features are not kept: {self.folder} cannot be written to ({cause})", stacklevel=2)
        return made

    def _about(self, waveform: np.ndarray) -> dict[str, str]:
        parameters = {"features": type(self.features).__name__, **asdict(self.features)}
        samples = hashlib.blake2b(np.ascontiguousarray(waveform).data, digest_size=16).hexdigest()
        return {"version": _VERSION, "parameters": json.dumps(parameters, sort_keys=True), "samples": samples}

    def _path(self, about: dict[str, str]) -> Path:
        assert self.folder is not None
        name = hashlib.blake2b(json.dumps(about, sort_keys=True).encode(), digest_size=16).hexdigest()
        return self.folder / name[:2] / f"{name}.safetensors"


def _read(path: Path, about: dict[str, str]) -> Tensor | None:
    """The features in a file, if it is whole and about the right thing."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            said = file.metadata() or {}
            features = file.get_tensor(_NAME).clone()  # the file may be replaced
    except (OSError, SafetensorError):
        return None
    right = {**about, "digest": _digest(features)} == said and features.dtype == torch.float32
    return features if right else None


def _digest(features: Tensor) -> str:
    return hashlib.blake2b(features.contiguous().numpy().tobytes(), digest_size=16).hexdigest()

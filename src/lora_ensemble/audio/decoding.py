"""Recordings in any common format, at any rate, with any number of channels, to one channel at 16 kHz."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lora_ensemble.errors import DataError, UserError, first_line

if TYPE_CHECKING:
    import numpy as np

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".oga", ".opus", ".aif", ".aiff", ".aifc", ".au", ".caf", ".w64")
"""Endings of files that hold audio, the preferred ones first."""

RATE = 16000
"""Samples per second of all audio here."""
SHORTEST = RATE // 40
"""Samples of the shortest recording: 25 ms, of which one frame of features is made."""

_BLOCK = 1 << 20  # samples that are read at once, whatever length a damaged file claims
_CUT = re.compile(r"data : (\d+) \(should be \d+\)")  # libsndfile on a WAV file that is shorter than it says
_UNKNOWN = 0x7FFFF000  # or more bytes, it says so in a file that was written into a pipe


class Recording(NamedTuple):
    """A decoded recording."""

    audio: np.ndarray
    """float32 (samples,), in -1 .. 1, one channel at 16 kHz."""
    rate: int
    """Samples per second in which it is stored."""


def decode(stored: bytes | Path | None) -> Recording:
    """A recording from a file or its content: the mean of its channels, resampled.

    Raises DataError that says in a few words what is wrong with it: no audio, damaged, cut off, empty, too short, not
    finite; FileNotFoundError for a file that is not there.
    """
    import numpy as np

    if stored is None:
        raise DataError("holds neither bytes nor a path")
    samples_NC, rate = _read(stored)
    if len(samples_NC) == 0:
        raise DataError("has no samples")
    if not np.isfinite(samples_NC).all():
        raise DataError("has samples that are not finite")
    audio = resampled(samples_NC.mean(1), rate)
    if len(audio) < SHORTEST:
        raise DataError(f"is too short ({1000 * len(audio) / RATE:.3g} ms, expected at least 25)")
    return Recording(audio, rate)


def resampled(audio: np.ndarray, rate: int) -> np.ndarray:
    """(samples,) at `rate`, to float32 at 16 kHz: band-limited, so nothing above 8 kHz is folded down."""
    import numpy as np

    if rate == RATE:
        return np.ascontiguousarray(audio, dtype=np.float32)
    import soxr

    resampled: np.ndarray = soxr.resample(audio, rate, RATE, quality="HQ").astype(np.float32, copy=False)
    return resampled


def require_decoders(about: str) -> None:
    """Raises UserError, naming the data set (`about`), where the libraries that decode are not installed."""
    try:
        import soundfile  # noqa: F401
        import soxr  # noqa: F401
    except (ImportError, OSError) as error:  # OSError: soundfile without libsndfile
        raise UserError(f"{about} needs soundfile and soxr: pip install 'lora-ensemble[audio]'") from error


def _read(stored: bytes | Path) -> tuple[np.ndarray, int]:
    """float32 (samples, channels), and the rate."""
    import numpy as np
    import soundfile

    if isinstance(stored, Path) and not stored.is_file():
        raise FileNotFoundError(stored)
    try:
        with soundfile.SoundFile(io.BytesIO(stored) if isinstance(stored, bytes) else stored) as file:
            blocks = [file.read(_BLOCK, dtype="float32", always_2d=True)]
            while len(blocks[-1]) == _BLOCK:
                blocks.append(file.read(_BLOCK, dtype="float32", always_2d=True))
            said, rate, cut = file.frames, file.samplerate, _CUT.search(file.extra_info)
    except soundfile.SoundFileError as error:
        cause = first_line(Exception(getattr(error, "error_string", error))).strip(". ")
        raise DataError(f"cannot be read ({cause})") from error
    samples_NC = np.concatenate(blocks)
    if len(samples_NC) < said or (cut and int(cut[1]) < _UNKNOWN):
        raise DataError(f"is damaged or cut off: it says it is longer than the {len(samples_NC)} samples it has")
    return samples_NC, rate

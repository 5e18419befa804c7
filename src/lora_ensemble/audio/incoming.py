"""Sounds that are to be answered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lora_ensemble.audio.clips import looked_at
from lora_ensemble.audio.own import KIND, USUAL
from lora_ensemble.contracts import Split
from lora_ensemble.sources import incoming_files
from lora_ensemble.sources.incoming import Incoming, Options, labels_of


def rows(path: str, options: Options) -> Iterator[Incoming]:
    """Of a folder, a file, or a table of paths or bytes."""
    return incoming_files.rows(path, options, KIND, options.audio_column, USUAL)


def split(rows: Sequence[Incoming], options: Options) -> Split:
    """Decoded; without those that cannot be, where these are to be skipped."""
    stored, ids = [row.stored for row in rows], [row.id for row in rows]
    clips, good = looked_at(stored, ids, "the input", skip=options.skip_unreadable, quiet=True)
    kept = [rows[number] for number in good]
    return Split(clips, labels_of(kept, options), [row.id for row in kept], options.classes, "audio")

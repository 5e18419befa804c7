"""One plug-in: its name, where its code is, and where that comes from."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lora_ensemble.registry.kinds import singular


@dataclass(frozen=True)
class Plugin:
    """What is known of a plug-in without importing it."""

    kind: str
    name: str
    """As a user types it."""
    module: str
    """Where its code is, for importlib."""
    attribute: str | None = None
    """Its class or function there; None: the module itself, or its only class of the kind."""
    file: Path | None = None
    """Its source; None where there is none to be read."""
    package: str | None = None
    """The installed package that brings it, other than this one, with its version: "beans 1.2"."""
    given: bool = False
    """Whether the user gave its file."""

    @property
    def ours(self) -> bool:
        """Whether it comes with this package."""
        return self.package is None and not self.given

    @property
    def where(self) -> str:
        """Where it comes from, in words; nothing for one of this package."""
        return self.package or (str(self.file) if self.given else "")

    def __str__(self) -> str:
        return f"{singular(self.kind)} {self.name!r}" + (f" of {self.where}" if self.where else "")

    def holds(self, cls: type[Any]) -> bool:
        """Whether a class is this plug-in's."""
        if self.attribute is None:
            return cls.__module__ == self.module
        return getattr(sys.modules.get(self.module), self.attribute, None) is cls

    def origin(self) -> dict[str, str]:
        """What a run records of where its code comes from: package and version, or path; and the digest of the code."""
        digest = {} if self.file is None else {"sha256": digest_of(self)}
        if self.package is not None:
            package, _, version = self.package.rpartition(" ")
            return {"package": package, "version": version, **digest}
        return {"file": str(self.file), **digest}


def digest_of(plugin: Plugin) -> str:
    """SHA-256 of the plug-in's source: as it was executed where the user gave the file, as it is there otherwise."""
    executed = getattr(sys.modules.get(plugin.module), "__source_sha256__", None)
    if executed is not None:
        return str(executed)
    assert plugin.file is not None
    return hashlib.sha256(plugin.file.read_bytes()).hexdigest()

"""Whether a plug-in is the one that a run was made with."""

from __future__ import annotations

import shlex
from typing import Any

from lora_ensemble.errors import ConfigurationError, UserError
from lora_ensemble.registry.plugin import Plugin


def check_origin(what: str, name: str, plugin: Plugin | None, recorded: Any) -> None:
    """Raises UserError, saying what to give, where there is no such plug-in or its code is another than was recorded.

    what: the kind, for the message. recorded: what `Plugin.origin` gave; None for a plug-in of this package."""
    if recorded is not None and not _is_origin(recorded):
        raise ConfigurationError([f'{what} {name!r}: its "from" does not say where its code comes from: {recorded!r}'])
    if plugin is None or plugin.ours != (recorded is None):
        raise UserError(
            f"{what} {name!r} came {_from(recorded)}{_hint(recorded)}; here there is {plugin or 'none of this name'}"
        )
    ours = plugin.origin()
    if recorded.get("sha256") != ours.get("sha256"):
        raise UserError(
            f"the code of {plugin} has changed: SHA-256 {_short(recorded)} when it came {_from(recorded)}, now "
            f"{_short(ours)}; give the code as it was, or train anew with --output"
        )


def _is_origin(recorded: Any) -> bool:
    return (
        isinstance(recorded, dict)
        and all(isinstance(value, str) for value in recorded.values())
        and ("file" in recorded or recorded.keys() >= {"package", "version"})
    )


def _from(recorded: dict[str, str] | None) -> str:
    if recorded is None:
        return "with lora-ensemble"
    if "file" in recorded:
        return f"from the file {recorded['file']}"
    return f"from the package {recorded['package']} {recorded['version']}"


def _hint(recorded: dict[str, str] | None) -> str:
    if recorded is None:
        return ""
    if "file" in recorded:
        return " (give it with --plugin FILE.py or LORA_ENSEMBLE_PLUGINS=FILE.py)"
    return f" (pip install {shlex.quote(recorded['package'] + '==' + recorded['version'])})"


def _short(origin: dict[str, str]) -> str:
    return origin.get("sha256", "unknown")[:12]

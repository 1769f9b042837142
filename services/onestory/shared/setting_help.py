"""The help text of a setting. It stands beside the default value, and the settings page is generated from it."""

from __future__ import annotations

from dataclasses import field
from typing import Any, NamedTuple


class SettingHelp(NamedTuple):
    """The text of one setting for its reader, in Markdown. `docs/reference/settings.md` is generated from it."""

    unit: str
    effect: str
    change: str
    """When a deployment changes it."""


def setting(default: Any, unit: str, effect: str, change: str, *, secret: bool = False) -> Any:
    """Return a dataclass field that carries its help text. A secret is never part of a `repr`."""
    metadata = {"help": SettingHelp(unit, effect, change)}
    if default == {}:
        return field(default_factory=dict, metadata=metadata)
    return field(default=default, metadata=metadata, repr=not secret)

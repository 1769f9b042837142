"""Reads the media ranges of Accept (RFC 9110, 12.5.1)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

_QUALITY = re.compile(r"0?\.\d{1,3}|0\.?|1(?:\.0{0,3})?")


class MediaRange(NamedTuple):
    """One item of Accept: its media type or range in lower case, and its quality from 0 to 1."""

    name: str
    quality: float


def media_ranges(lines: Sequence[str]) -> list[MediaRange]:
    """Return the items of Accept from all its lines. A quality that is no number from 0 to 1 counts as 1."""
    found = []
    for item in ",".join(lines).split(","):
        name, *parameters = [part.strip().lower() for part in item.split(";")]
        quality = next((each[2:].strip() for each in parameters if each.startswith("q=")), "1")
        if name:
            found.append(MediaRange(name, float(quality) if _QUALITY.fullmatch(quality) else 1.0))
    return found

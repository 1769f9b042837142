"""Chooses the format of an answer from Accept and `_format`, and reads the lists in header fields.

RFC 9110: 5.3 (several lines of a field are one list), 8.3.1 (media types in any case), 12.5.1 (Accept). FHIR R4:
http://hl7.org/fhir/R4/http.html#mime-type and #version-parameter.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import Enum
from functools import lru_cache
from typing import NamedTuple

FHIR_JSON = "application/fhir+json"
JSON = "application/json"
HTML = "text/html"
EVENT_STREAM = "text/event-stream"
FHIR_VERSIONS = ("4.0", "4.0.1")
_LONGEST_CACHED = 500
# A quote that does not end takes the rest of the line, so that no line costs quadratic time.
_QUOTED = r'"(?:[^"\\]|\\.)*+"?'
_ITEM = re.compile(rf'(?:[^,"]|{_QUOTED})++')
_PART = re.compile(rf'(?:[^;"]|{_QUOTED})++')
_QUALITY = re.compile(r"0?\.\d{1,3}|0\.?|1(?:\.0{0,3})?")


class Format(Enum):
    """A format of answers."""

    JSON = "json"
    HTML = "html"
    EVENT_STREAM = "event-stream"


_TYPES: Mapping[Format, tuple[str, ...]] = {
    Format.JSON: (FHIR_JSON, JSON, "application/json+fhir", "text/json", "json"),
    Format.HTML: (HTML, "application/xhtml+xml", "html"),
    Format.EVENT_STREAM: (EVENT_STREAM,),
}
"""The names of a format, in Accept and in `_format`. `application/json+fhir` is the name in FHIR DSTU2."""
_RANGES: Mapping[Format, tuple[tuple[str, ...], ...]] = {
    Format.JSON: (("application/*",), ("*/*", "*")),
    Format.HTML: (("text/*",), ("*/*", "*")),
    Format.EVENT_STREAM: (("text/*",), ("*/*", "*")),
}
"""The ranges that include a format, the more exact ones first. Java's own client sends `*` for `*/*`."""


class MediaRange(NamedTuple):
    """One item of Accept. `quality` is from 0 to 1; `fhir_version` is empty where the item names none."""

    name: str
    quality: float
    fhir_version: str


class _Rank(NamedTuple):
    """How much a caller wants a format. The greater rank wins."""

    quality: float
    exactness: int
    earliness: int


_NO_RANGE = MediaRange("", 0.0, "")
_NOT_WANTED = _Rank(0.0, 0, 0)


def choose_format(offered: tuple[Format, ...], accept: Sequence[str], format_parameter: str = "") -> Format | None:
    """Return the format that the caller wants most, or None where it accepts none of those that are offered.

    `accept` has the lines of Accept. `format_parameter` is `_format`; it takes precedence over Accept. The format that
    is offered first wins where the caller wants two equally.
    """
    if len(format_parameter) + sum(map(len, accept)) <= _LONGEST_CACHED:
        return _choose_cached(offered, tuple(accept), format_parameter)
    return _choose(offered, accept, format_parameter)


def _choose(offered: tuple[Format, ...], accept: Sequence[str], format_parameter: str) -> Format | None:
    if wanted := format_parameter.strip():
        # A client that does not encode the "+" of application/fhir+json sends a space.
        requested = next(iter(media_ranges([wanted.replace("/fhir ", "/fhir+")])), _NO_RANGE)
        return next((each for each in offered if requested.name in _TYPES[each] and _is_served(requested)), None)
    ranges = media_ranges(accept)
    if not ranges:
        return offered[0]
    best = max(offered, key=lambda each: _rank(each, ranges))
    return best if _rank(best, ranges).quality > 0 else None


_choose_cached = lru_cache(512)(_choose)


def _rank(offered: Format, ranges: Sequence[MediaRange]) -> _Rank:
    """Return the rank by the most exact range for this format (RFC 9110, 12.5.1)."""
    for exactness, names in enumerate((_TYPES[offered], *_RANGES[offered])):
        found = [
            _Rank(each.quality, -exactness, -place)
            for place, each in enumerate(ranges)
            if each.name in names and _is_served(each)
        ]
        if found:
            return max(found)
    return _NOT_WANTED


def _is_served(wanted: MediaRange) -> bool:
    return wanted.fhir_version in ("", *FHIR_VERSIONS)


def media_ranges(lines: Sequence[str]) -> list[MediaRange]:
    """Return the items of Accept, in lower case. A quality that is no number from 0 to 1 counts as 1."""
    found = []
    for item in header_items(lines):
        name, *parameters = [part.strip() for part in _PART.findall(item)] or [""]
        values = {
            key.strip().lower(): value.strip(' "') for key, _, value in (each.partition("=") for each in parameters)
        }
        quality = values.get("q", "1")
        found.append(
            MediaRange(
                name.lower(), float(quality) if _QUALITY.fullmatch(quality) else 1.0, values.get("fhirversion", "")
            )
        )
    return found


def header_items(lines: Sequence[str]) -> list[str]:
    """Return the items of a header field that is a list, from all its lines. A comma in quotes ends no item."""
    return [item for line in lines for part in _ITEM.findall(line) if (item := part.strip())]


def preferences(lines: Sequence[str]) -> dict[str, str]:
    """Return the preferences in the lines of Prefer: name in lower case to value, empty without one (RFC 7240).

    The first of two preferences with one name counts. Parts after a semicolon count as preferences too, because FHIR
    clients send `return=minimal; wait=5`.
    """
    parts = [part.strip() for item in header_items(lines) for part in _PART.findall(item)]
    pairs = [(name.strip().lower(), value.strip(' "')) for name, _, value in (part.partition("=") for part in parts)]
    return dict(reversed(pairs))

"""Contained resources of several Patient statements in one Patient: each keeps its own, under a name of its own."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from onestory.shared.fhir.elements import Element, value

# A quote inside a JSON string is escaped, so text that looks like a reference does not match.
_LOCAL = re.compile(rb'("reference"\s*:\s*"#)([^"]+")')


def renamed(element: Element, mark: str) -> Element:
    """The element with `#id` turned into `#mark-id`, so that two sources' ids cannot meet."""
    return {key: msgspec.Raw(_renamed(bytes(raw), mark)) for key, raw in element.items()}


def contained(element: Element | None, mark: str) -> list[bytes]:
    """The contained resources of a statement, renamed likewise."""
    resources: Sequence[dict[str, msgspec.Raw]] = (
        msgspec.json.decode(element["contained"], type=list[dict[str, msgspec.Raw]]) if element else ()
    )
    return [_renamed(msgspec.json.encode({**each, "id": f"{mark}-{_id(each)}"}), mark) for each in resources]


def referred(resources: Sequence[bytes], shown: Sequence[bytes]) -> list[msgspec.Raw]:
    """Those that something refers to (FHIR R4 dom-3), directly or through another one of them."""
    named = {_id(msgspec.json.decode(resource, type=dict[str, msgspec.Raw])): resource for resource in resources}
    kept: dict[str, bytes] = {}
    ahead = list(shown)
    while ahead:
        for match in _LOCAL.finditer(ahead.pop()):
            name = match[2][:-1].decode()
            if name in named and name not in kept:
                kept[name] = named[name]
                ahead.append(named[name])
    return [msgspec.Raw(resource) for resource in kept.values()]


def _renamed(raw: bytes, mark: str) -> bytes:
    return _LOCAL.sub(rb"\g<1>%b-\g<2>" % mark.encode(), raw)


def _id(resource: dict[str, msgspec.Raw]) -> str:
    return str(value(resource, "id"))

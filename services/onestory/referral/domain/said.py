"""A resource of the directory as it was said, and how its identifiers and references are read."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

_SHARED = re.compile(r"([A-Za-z]+)/([a-z2-7]{26})")

Json = Mapping[str, Any]


class Said(NamedTuple):
    """The assertion that stands of a directory resource. `stands` is False once it has been retracted."""

    shared_id: str
    resource_type: str
    said_by: str
    content: bytes
    stands: bool


def is_active(said: Said, resource: Json) -> bool:
    """Whether it still stands, and says that it is active."""
    return said.stands and bool(resource.get("active", True))


def value_of(identifiers: list[Json], is_system: Callable[[object], bool]) -> str:
    """The value of the first Identifier of a system, else empty."""
    found = [each for each in identifiers if is_system(each.get("system")) and each.get("use") != "old"]
    return next((each["value"] for each in found if each.get("value")), "")


def logical(reference: Json, is_system: Callable[[object], bool]) -> str:
    """What a Reference names by an identifier of a system, else empty."""
    identifier = reference.get("identifier")
    return value_of([identifier], is_system) if identifier else ""


def referenced(reference: Json, kind: str) -> str:
    """The directory id of a resource of this type to which a Reference leads, else empty."""
    match = _SHARED.fullmatch(reference.get("reference", ""))
    return match[2] if match and match[1] == kind else ""

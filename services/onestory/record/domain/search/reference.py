"""Search by reference (FHIR R4, http://hl7.org/fhir/R4/search.html#reference)."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from onestory.shared.errors import Malformed

_RELATIVE = re.compile(r"(?P<resource_type>[A-Z][A-Za-z]+)/(?P<id>[A-Za-z0-9.-]{1,64})(/_history/[A-Za-z0-9.-]{1,64})?")
_ID = re.compile(r"[A-Za-z0-9.-]{1,64}")


class Target(NamedTuple):
    """Where a reference leads. `resource_type` is empty for any."""

    resource_type: str
    id: str


def target(reference: object, fhir: str) -> Target | None:
    """The resource here that a reference leads to, whichever version it names. `fhir` is the FHIR base URL."""
    match = _RELATIVE.fullmatch(reference.removeprefix(f"{fhir}/")) if isinstance(reference, str) else None
    return Target(match["resource_type"], match["id"]) if match else None


def asked(text: str, name: str, resource_type: str, fhir: str) -> Target | str:
    """What `Type/id`, a bare id, or a URL asks for; a URL that is not ours is itself. Raises `Malformed`."""
    found = target(text, fhir)
    if found is None and _ID.fullmatch(text):
        return Target(resource_type, text)
    if found is None and "://" in text:
        return text
    if found is None or resource_type not in ("", found.resource_type):
        raise Malformed(f"{name} takes Type/id, an id, or a URL.", code="value")
    return found


def is_met(wanted: Target | str, value: Any, fhir: str) -> bool:
    """Whether this Reference leads there."""
    reference = value.get("reference") if isinstance(value, dict) else None
    if isinstance(wanted, str):
        return bool(reference == wanted)
    found = target(reference, fhir)
    return found is not None and found.id == wanted.id and wanted.resource_type in ("", found.resource_type)

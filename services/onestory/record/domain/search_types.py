"""Resource types of FHIR R4: a mistyped one is refused, because an empty list would be read as "there is none"."""

from __future__ import annotations

from collections.abc import Iterable

import fhirkit

from onestory.shared.errors import Malformed, NotFound

TYPES = frozenset(fhirkit.RESOURCE_TYPES)


def in_address(resource_type: str) -> str:
    """The type in an address. Raises `NotFound`."""
    if resource_type not in TYPES:
        raise NotFound("FHIR R4 has no such resource type.", code="not-supported")
    return resource_type


def in_parameter(resource_types: Iterable[str]) -> tuple[str, ...]:
    """The types in a parameter. Raises `Malformed`."""
    listed = tuple(resource_types)
    if not TYPES.issuperset(listed):
        raise Malformed("_type names a resource type that FHIR R4 does not have.", code="value")
    return listed

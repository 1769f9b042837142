"""Resource types of FHIR R4: a mistyped one is refused, because an empty list would be read as "there is none"."""

from __future__ import annotations

from collections.abc import Iterable

from onestory.shared.errors import Malformed, NotFound
from onestory.shared.fhir.definitions import resource_types


def in_address(resource_type: str) -> str:
    """The type in an address. Raises `NotFound`."""
    if resource_type not in resource_types():
        raise NotFound("FHIR R4 has no such resource type.", code="not-supported")
    return resource_type


def in_parameter(named: Iterable[str]) -> tuple[str, ...]:
    """The types in a parameter. Raises `Malformed`."""
    listed = tuple(named)
    if not resource_types().issuperset(listed):
        raise Malformed("_type names a resource type that FHIR R4 does not have.", code="value")
    return listed

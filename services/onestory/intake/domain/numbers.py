"""NHS numbers in identifiers (NHS Data Dictionary, NHS NUMBER; https://fhir.nhs.uk/Id/nhs-number)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from onestory.shared.errors import Unprocessable
from onestory.shared.identity import NHS_NUMBER_SYSTEM, PersonIdentifier, is_nhs_number, is_nhs_number_system


def person_of_number(identifiers: Iterable[tuple[Mapping[str, Any], str]]) -> PersonIdentifier | None:
    """The person that identifiers, each with its FHIRPath, name by NHS number; None without one.

    A number marked `old` is not the person's. Raises `Unprocessable` for a wrong check digit, and for two numbers.
    """
    found: dict[str, str] = {}
    for identifier, path in identifiers:
        if not _is_in_force(identifier):
            continue
        if not is_nhs_number(identifier["value"]):
            raise Unprocessable(
                "This is no NHS number (ten digits without spaces, the last a modulus 11 check digit): correct it, or "
                "leave the identifier out.",
                code="value",
                expression=f"{path}.value",
            )
        found.setdefault(identifier["value"], path)
    if len(found) > 1:
        says = "A person has one NHS number: send others with use old, or as Patient.link."
        raise Unprocessable(says, code="invariant", expression=f"{list(found.values())[1]}.value")
    return next((PersonIdentifier(NHS_NUMBER_SYSTEM, number) for number in found), None)


def listed(identifiers: Sequence[Any], path: str) -> Iterator[tuple[Mapping[str, Any], str]]:
    """The identifiers of what stands at this path, each with its own."""
    return ((each, f"{path}.identifier[{index}]") for index, each in enumerate(identifiers))


def _is_in_force(identifier: Mapping[str, Any]) -> bool:
    return is_nhs_number_system(identifier.get("system")) and "value" in identifier and identifier.get("use") != "old"

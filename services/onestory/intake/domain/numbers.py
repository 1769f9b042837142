"""NHS numbers in identifiers (NHS Data Dictionary, NHS NUMBER; https://fhir.nhs.uk/Id/nhs-number)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from onestory.shared.errors import Unprocessable
from onestory.shared.identity import NHS_NUMBER_SYSTEM, PersonIdentifier, is_nhs_number

# Published NHS files spell the system in more than one way.
_SYSTEM = re.compile(r"https?://fhir\.nhs\.uk/id/nhs-number", re.I)


def is_nhs_number_system(system: object) -> bool:
    """Whether this is the system of NHS numbers, in any spelling that the NHS itself has published."""
    return isinstance(system, str) and (system == NHS_NUMBER_SYSTEM or _SYSTEM.fullmatch(system) is not None)


def person_of_number(identifiers: msgspec.Raw | Sequence[Any], path: str) -> PersonIdentifier | None:
    """The person that identifiers name by NHS number; None without one. A number marked `old` is not the person's.

    `path` is that of what has the identifiers. Raises `Unprocessable` for a wrong check digit, and for two numbers.
    """
    listed = msgspec.json.decode(identifiers) if isinstance(identifiers, msgspec.Raw) else identifiers
    found: dict[str, str] = {}
    for number, at in _numbers(listed, path):
        if not is_nhs_number(number):
            raise Unprocessable(
                "This is no NHS number (ten digits without spaces, the last a modulus 11 check digit): correct it, or "
                "leave the identifier out.",
                code="value",
                expression=at,
            )
        found[number] = at
    if len(found) > 1:
        says = "A person has one NHS number: send others with use old, or as Patient.link."
        raise Unprocessable(says, code="invariant", expression=list(found.values())[1])
    return next((PersonIdentifier(NHS_NUMBER_SYSTEM, number) for number in found), None)


def _numbers(identifiers: Sequence[Any], path: str) -> Iterator[tuple[str, str]]:
    for index, each in enumerate(identifiers):
        if is_nhs_number_system(each.get("system")) and "value" in each and each.get("use") != "old":
            yield each["value"], f"{path}.identifier[{index}].value"

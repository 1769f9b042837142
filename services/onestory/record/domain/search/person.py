"""Whom a request is about: a Patient id, a reference to a Patient, or an identifier."""

from __future__ import annotations

from typing import NamedTuple

from onestory.shared.errors import Malformed
from onestory.shared.identity import (
    NHS_NUMBER_SYSTEM,
    PROVISIONAL_SYSTEM,
    Keys,
    PersonIdentifier,
    is_nhs_number,
    is_nhs_number_system,
    parse_shared_id,
)


class Asked(NamedTuple):
    """The person that a request names, and the NHS number or the local identifier (system, value) if that is how.

    By a local identifier the key is nobody's, until the record says whose it is.
    """

    person_key: str
    number: str | None = None
    local: tuple[str, str] | None = None


def by_id(patient_id: str, keys: Keys) -> Asked | None:
    """The person behind a Patient id: an NHS number, or the shared id of a source's Patient. Else None."""
    if is_nhs_number(patient_id):
        return Asked(keys.person_key(PersonIdentifier(NHS_NUMBER_SYSTEM, patient_id)), patient_id)
    shared = parse_shared_id(patient_id)
    return Asked(shared.person_key) if shared else None


def by_address(resource_type: str, resource_id: str, keys: Keys) -> Asked | None:
    """The person whom `[type]/[id]` is about; None when the id is not in a form of ours."""
    if resource_type == "Patient":
        return by_id(resource_id, keys)
    shared = parse_shared_id(resource_id)
    return Asked(shared.person_key) if shared else None


def by_identifier(token: str, keys: Keys) -> Asked:
    """The person behind `system|value`; without a system it is an NHS number. Raises `Malformed`."""
    system, bar, value = token.partition("|")
    if not bar:
        system, value = NHS_NUMBER_SYSTEM, token
    if not system or not value or "\0" in token:
        raise Malformed("An identifier is given as system|value, or as a bare NHS number.", code="value")
    if not is_nhs_number_system(system):
        local = None if system == PROVISIONAL_SYSTEM else (system, value)
        return Asked(keys.person_key(PersonIdentifier(system, value)), local=local)
    number = value.replace(" ", "")
    if not is_nhs_number(number):
        raise Malformed("This NHS number is not valid: ten digits, the last of which checks the others.", code="value")
    return Asked(keys.person_key(PersonIdentifier(NHS_NUMBER_SYSTEM, number)), number)


def by_reference(value: str, keys: Keys, fhir: str) -> Asked:
    """The person behind `Patient/<id>`, its URL here, a bare id, or `system|value`. Raises `Malformed`.

    `fhir` is the FHIR base URL.
    """
    if "|" in value:
        return by_identifier(value, keys)
    asked = by_id(value.removeprefix(f"{fhir}/").removeprefix("Patient/"), keys)
    if asked is None:
        raise Malformed("A patient is given as NHS number, Patient/<id> or system|value.", code="value")
    return asked

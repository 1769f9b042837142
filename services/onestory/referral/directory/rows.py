"""Reads directory resources into rows of the `directory_*` tables.

A row stores references as they are, because the resource that they lead to may arrive later. FHIR R4 HealthcareService
(http://hl7.org/fhir/R4/healthcareservice.html), PractitionerRole, Practitioner, Organization; our own extensions are
defined in schemas/fhir.

Each field of a row is a column of the same name. `said_by` is the ODS code of the source's organisation.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import datetime
from typing import NamedTuple

import msgspec

from onestory.referral.directory.affiliations import AffiliationRow, affiliation_row, refuse_foreign_affiliation
from onestory.referral.directory.model import (
    WEEKDAYS,
    CurrentDirectoryStatement,
    Json,
    id_in_reference,
    identifier_in_reference,
    identifier_value,
    is_active,
)
from onestory.referral.directory.slots import ScheduleRow, SlotRow, schedule_row, slot_row
from onestory.shared.errors import Malformed, Unprocessable
from onestory.shared.fhir.affiliations import read_organisation
from onestory.shared.fhir.dates import PeriodSpan, parse_period
from onestory.shared.fhir.validate import validate
from onestory.shared.identity import (
    is_dos_service_system,
    is_ods_code_system,
    is_sds_user_system,
    is_storable,
)

TEAM_KIND = "https://onestory.nhs.uk/CodeSystem/team-kind"
TEAM_NETWORK = "https://onestory.nhs.uk/StructureDefinition/team-network"
PRACTICE_SERVED = "https://onestory.nhs.uk/StructureDefinition/practice-served"
ESCALATION_CONTACT = "https://onestory.nhs.uk/StructureDefinition/escalation-contact"


class OrganisationRow(NamedTuple):
    """A row of `directory_organisation`; `ods`, `kind` and `network` are empty where the Organization has none.

    `kind` is a code of the CodeSystem organisation-kind, `network` the code of a care network.
    """

    shared_id: str
    said_by: str
    ods: str
    name: str
    active: bool
    kind: str = ""
    network: str = ""


class TeamRow(NamedTuple):
    """A row of `directory_team`. Its organisation is `ods`, or else the Organization with the id `organisation_id`.

    `own_dos_service_id` and `own_practices` are the team's own words. `ownership_store` decides which of them count.
    """

    shared_id: str
    said_by: str
    ods: str
    organisation_id: str
    name: str
    kind: str
    network: str
    own_dos_service_id: str
    own_practices: list[str]
    escalation_name: str
    escalation_phone: str
    escalation_email: str
    active: bool


class PractitionerRow(NamedTuple):
    """A row of `directory_practitioner`; `subject` is empty where the Practitioner has no SDS user id."""

    shared_id: str
    said_by: str
    subject: str
    name: str
    active: bool


class RoleRow(NamedTuple):
    """A row of `directory_role`, and its `teams`: pairs (HealthcareService id, DoS service id), one of them empty.

    `is_in_post` follows the `active` of the Practitioner, once that is known.
    """

    shared_id: str
    said_by: str
    practitioner_id: str
    subject: str
    name: str
    code: str
    starts_at: datetime | None
    ends_at: datetime | None
    active: bool
    is_in_post: bool
    weekdays: list[str]
    teams: frozenset[tuple[str, str]]


DirectoryRow = OrganisationRow | AffiliationRow | TeamRow | PractitionerRow | RoleRow | ScheduleRow | SlotRow


def refuse_foreign_row(row: DirectoryRow, authorities: Collection[str]) -> None:
    """Raise `Unprocessable` where the source may not state this about another organisation."""
    if isinstance(row, TeamRow) and row.ods not in ("", row.said_by) and row.said_by not in authorities:
        raise Unprocessable(
            "providedBy names another organisation: only the provider of a team, or a directory authority, can publish "
            "it.",
            code="not-ones-own",
        )
    if isinstance(row, AffiliationRow):
        refuse_foreign_affiliation(row, authorities)


def to_row(statement: CurrentDirectoryStatement) -> DirectoryRow:
    """Return the row of a resource. Raises `Unprocessable` for an unusable one; the issue's code is the reason."""
    try:
        issues = validate(statement.content)
        resource = {} if issues else msgspec.json.decode(statement.content)
    except (Malformed, msgspec.DecodeError, RecursionError) as error:
        raise Unprocessable("The content is not FHIR R4.", code="content-form") from error
    if resource.get("resourceType") != statement.resource_type:
        raise Unprocessable(f"The content is not FHIR R4, or not a {statement.resource_type}.", code="content-form")
    row = ROW_BY_TYPE[statement.resource_type](statement, resource)
    if not all(is_storable(value) for value in _indexed_values(row)):
        raise Unprocessable("An identifier of the resource is too long, or contains NUL.", code="content-form")
    return row


def _organisation_row(statement: CurrentDirectoryStatement, resource: Json) -> OrganisationRow:
    ods = identifier_value(resource.get("identifier", []), is_ods_code_system).upper()
    stated = read_organisation(
        statement.shared_id, statement.organisation, resource, asserted=is_active(statement, resource)
    )
    return OrganisationRow(
        stated.shared_id, stated.source, ods, stated.name, stated.active, stated.kind, stated.network
    )


def _team_row(statement: CurrentDirectoryStatement, resource: Json) -> TeamRow:
    provider = resource.get("providedBy", {})
    ods, organisation_id = (
        identifier_in_reference(provider, is_ods_code_system).upper(),
        id_in_reference(provider, "Organization"),
    )
    if provider and not (ods or organisation_id):
        raise Unprocessable("providedBy names no organisation by ODS code or by reference.", code="no-organisation")
    ods = ods or ("" if organisation_id else statement.organisation)
    kind = _team_kind(resource)
    contact: Json = next(
        (extension.get("valueContactDetail", {}) for extension in _extensions(resource, ESCALATION_CONTACT)), {}
    )
    return TeamRow(
        statement.shared_id,
        statement.organisation,
        ods,
        organisation_id,
        resource.get("name") or kind or "unnamed team",
        kind,
        next((extension.get("valueString", "") for extension in _extensions(resource, TEAM_NETWORK)), ""),
        identifier_value(resource.get("identifier", []), is_dos_service_system),
        sorted(set(_practices_served(resource))),
        contact.get("name", ""),
        _telecom(contact, "phone"),
        _telecom(contact, "email"),
        is_active(statement, resource),
    )


def _practitioner_row(statement: CurrentDirectoryStatement, resource: Json) -> PractitionerRow:
    subject = identifier_value(resource.get("identifier", []), is_sds_user_system)
    names = sorted(resource.get("name", []), key=lambda name: name.get("use") in ("old", "nickname", "temp"))
    name = names[0] if names else {}
    text = name.get("text") or " ".join(filter(None, [*name.get("given", []), name.get("family")]))
    return PractitionerRow(statement.shared_id, statement.organisation, subject, text, is_active(statement, resource))


def _role_row(statement: CurrentDirectoryStatement, resource: Json) -> RoleRow:
    practitioner = resource.get("practitioner", {})
    practitioner_id, subject = (
        id_in_reference(practitioner, "Practitioner"),
        identifier_in_reference(practitioner, is_sds_user_system),
    )
    if not (practitioner_id or subject):
        raise Unprocessable("practitioner names no Practitioner by SDS user id or by reference.", code="nobody")
    services = resource.get("healthcareService", [])
    references = {
        (id_in_reference(service, "HealthcareService"), identifier_in_reference(service, is_dos_service_system))
        for service in services
    }
    # The directory id is exact, so a DoS service id in the same reference adds nothing.
    teams = frozenset((team_id, "" if team_id else dos_id) for team_id, dos_id in references if team_id or dos_id)
    if services and not teams:
        raise Unprocessable("healthcareService names no team by reference or by DoS service id.", code="no-team")
    period = _period(resource)
    return RoleRow(
        statement.shared_id,
        statement.organisation,
        "" if subject else practitioner_id,
        subject,
        practitioner.get("display", ""),
        next((code for concept in resource.get("code", []) if (code := _first_code(concept))), ""),
        period.begin,
        period.end,
        is_active(statement, resource),
        True,
        _weekdays(resource),
        teams,
    )


def _weekdays(resource: Json) -> list[str]:
    """The days of PractitionerRole.availableTime; empty where one of its parts names no days: every day."""
    parts = [part.get("daysOfWeek", []) for part in resource.get("availableTime", [])]
    return sorted({day for part in parts for day in part}, key=WEEKDAYS.index) if all(parts) else []


def _period(resource: Json) -> PeriodSpan:
    try:
        return parse_period(resource.get("period", {}))
    except ValueError as error:
        raise Unprocessable("PractitionerRole.period has an invalid date.", code="content-form") from error


ROW_BY_TYPE: Mapping[str, Callable[[CurrentDirectoryStatement, Json], DirectoryRow]] = {
    "Organization": _organisation_row,
    "OrganizationAffiliation": affiliation_row,
    "HealthcareService": _team_row,
    "Practitioner": _practitioner_row,
    "PractitionerRole": _role_row,
    "Schedule": schedule_row,
    "Slot": slot_row,
}
"""The resource types that the referral service uses, each with the function that reads its row."""


def _team_kind(resource: Json) -> str:
    concepts = [*resource.get("category", []), *resource.get("type", [])]
    codings = [coding for concept in concepts for coding in concept.get("coding", [])]
    own_code = next((coding.get("code", "") for coding in codings if coding.get("system") == TEAM_KIND), "")
    concepts_type_first = [*resource.get("type", []), *resource.get("category", [])]
    return own_code or next((code for concept in concepts_type_first if (code := _first_code(concept))), "")


def _first_code(concept: Json) -> str:
    codes = [str(coding["code"]) for coding in concept.get("coding", []) if coding.get("code")]
    return codes[0] if codes else str(concept.get("text", ""))


def _practices_served(resource: Json) -> Iterator[str]:
    for extension in _extensions(resource, PRACTICE_SERVED):
        identifier = extension.get("valueIdentifier", {})
        if is_ods_code_system(identifier.get("system")) and identifier.get("value"):
            yield identifier["value"].upper()


def _extensions(resource: Json, url: str) -> Iterator[Json]:
    return (extension for extension in resource.get("extension", []) if extension.get("url") == url)


def _telecom(contact: Json, system: str) -> str:
    values = (point.get("value", "") for point in contact.get("telecom", []) if point.get("system") == system)
    return next(values, "")


def _indexed_values(row: DirectoryRow) -> Iterator[str]:
    match row:
        case OrganisationRow():
            yield row.ods
        case AffiliationRow():
            yield from (row.network, row.ods, row.member_ods, *row.dos_service_ids)
        case TeamRow():
            yield row.own_dos_service_id
        case PractitionerRow():
            yield row.subject
        case RoleRow():
            yield from (row.subject, *(dos_id for _, dos_id in row.teams))
        case ScheduleRow():
            yield from row.dos_service_ids

"""What the directory's resources say, as rows. References stay what they are: what they lead to may arrive later.

FHIR R4 HealthcareService (http://hl7.org/fhir/R4/healthcareservice.html), PractitionerRole, Practitioner, Organization;
our extensions are in schemas/fhir.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import NamedTuple

import msgspec

from onestory.referral.domain.offers import ListedSchedule, ListedSlot, schedule, slot
from onestory.referral.domain.periods import begins, ends
from onestory.referral.domain.said import Json, Said, is_active, logical, referenced, value_of
from onestory.shared.errors import Malformed, Unprocessable
from onestory.shared.fhir.validation import validate
from onestory.shared.identity import (
    is_dos_service_system,
    is_keepable,
    is_ods_code_system,
    is_sds_user_system,
)

TEAM_KIND = "https://onestory.nhs.uk/CodeSystem/team-kind"
TEAM_NETWORK = "https://onestory.nhs.uk/StructureDefinition/team-network"
PRACTICE_SERVED = "https://onestory.nhs.uk/StructureDefinition/practice-served"
ESCALATION_CONTACT = "https://onestory.nhs.uk/StructureDefinition/escalation-contact"


class ListedOrganisation(NamedTuple):
    """A row of `directory_organisation`; `ods` is empty where the Organization has no code."""

    shared_id: str
    said_by: str
    ods: str
    name: str
    active: bool


class ListedTeam(NamedTuple):
    """A row of `directory_team`: its organisation is `ods`, or what `organisation_id` leads to."""

    shared_id: str
    said_by: str
    ods: str
    organisation_id: str
    name: str
    kind: str
    network: str
    dos_service_id: str
    practices: list[str]
    escalation_name: str
    escalation_phone: str
    escalation_email: str
    active: bool


class ListedPractitioner(NamedTuple):
    """A row of `directory_practitioner`; `subject` is empty where no SDS user id is said."""

    shared_id: str
    said_by: str
    subject: str
    name: str
    active: bool


class ListedRole(NamedTuple):
    """A row of `directory_role`, and `teams`: (HealthcareService id, DoS service id), one of which is empty.

    Whether the practitioner is still `is_in_post` is for the Practitioner to say.
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
    teams: frozenset[tuple[str, str]]


Listed = ListedOrganisation | ListedTeam | ListedPractitioner | ListedRole | ListedSchedule | ListedSlot


def listed(said: Said) -> Listed:
    """The row of a resource. Raises `Unprocessable`, its issue's code being the reason, for one that is of no use."""
    try:
        issues = validate(said.content)
    except Malformed as error:
        raise Unprocessable("It is not FHIR R4 at all.", code="content-form") from error
    resource = {} if issues else msgspec.json.decode(said.content)
    if resource.get("resourceType") != said.resource_type:
        raise Unprocessable(f"It is not FHIR R4, or no {said.resource_type}.", code="content-form")
    row = LISTED[said.resource_type](said, resource)
    if not all(is_keepable(value) for value in _indexed(row)):
        raise Unprocessable("One of its identifiers is too long.", code="content-form")
    return row


def _organisation(said: Said, resource: Json) -> ListedOrganisation:
    ods = value_of(resource.get("identifier", []), is_ods_code_system).upper()
    return ListedOrganisation(said.shared_id, said.said_by, ods, resource.get("name", ""), is_active(said, resource))


def _team(said: Said, resource: Json) -> ListedTeam:
    provider = resource.get("providedBy", {})
    ods, organisation_id = logical(provider, is_ods_code_system).upper(), referenced(provider, "Organization")
    if provider and not (ods or organisation_id):
        raise Unprocessable("providedBy names no organisation by ODS code or by reference.", code="no-organisation")
    ods = ods or ("" if organisation_id else said.said_by)
    if ods and ods != said.said_by:
        raise Unprocessable("A team is listed by the organisation that provides it alone.", code="not-ones-own")
    kind = _kind(resource)
    contact: Json = next((each.get("valueContactDetail", {}) for each in _extensions(resource, ESCALATION_CONTACT)), {})
    return ListedTeam(
        said.shared_id,
        said.said_by,
        ods,
        organisation_id,
        resource.get("name") or kind or "a team without a name",
        kind,
        next((each.get("valueString", "") for each in _extensions(resource, TEAM_NETWORK)), ""),
        value_of(resource.get("identifier", []), is_dos_service_system),
        sorted(set(_practices(resource))),
        contact.get("name", ""),
        _telecom(contact, "phone"),
        _telecom(contact, "email"),
        is_active(said, resource),
    )


def _practitioner(said: Said, resource: Json) -> ListedPractitioner:
    subject = value_of(resource.get("identifier", []), is_sds_user_system)
    names = sorted(resource.get("name", []), key=lambda name: name.get("use") in ("old", "nickname", "temp"))
    name = names[0] if names else {}
    text = name.get("text") or " ".join(filter(None, [*name.get("given", []), name.get("family")]))
    return ListedPractitioner(said.shared_id, said.said_by, subject, text, is_active(said, resource))


def _role(said: Said, resource: Json) -> ListedRole:
    who = resource.get("practitioner", {})
    practitioner_id, subject = referenced(who, "Practitioner"), logical(who, is_sds_user_system)
    if not (practitioner_id or subject):
        raise Unprocessable("practitioner names nobody by SDS user id or by reference.", code="nobody")
    services = resource.get("healthcareService", [])
    found = {(referenced(each, "HealthcareService"), logical(each, is_dos_service_system)) for each in services}
    # An id is exact; a DoS service id beside it says no more.
    teams = frozenset((team_id, "" if team_id else dos) for team_id, dos in found if team_id or dos)
    if services and not teams:
        raise Unprocessable("healthcareService names no team by reference or by DoS service id.", code="no-team")
    period = resource.get("period", {})
    return ListedRole(
        said.shared_id,
        said.said_by,
        "" if subject else practitioner_id,
        subject,
        who.get("display", ""),
        next((code for concept in resource.get("code", []) if (code := _code(concept))), ""),
        begins(period),
        ends(period),
        is_active(said, resource),
        True,
        teams,
    )


LISTED: Mapping[str, Callable[[Said, Json], Listed]] = {
    "Organization": _organisation,
    "HealthcareService": _team,
    "Practitioner": _practitioner,
    "PractitionerRole": _role,
    "Schedule": schedule,
    "Slot": slot,
}
"""What this room uses of the directory."""


def _kind(resource: Json) -> str:
    concepts = [*resource.get("category", []), *resource.get("type", [])]
    codings = [coding for concept in concepts for coding in concept.get("coding", [])]
    ours = next((coding.get("code", "") for coding in codings if coding.get("system") == TEAM_KIND), "")
    told = [*resource.get("type", []), *resource.get("category", [])]
    return ours or next((code for concept in told if (code := _code(concept))), "")


def _code(concept: Json) -> str:
    codes = [str(coding["code"]) for coding in concept.get("coding", []) if coding.get("code")]
    return codes[0] if codes else str(concept.get("text", ""))


def _practices(resource: Json) -> Iterator[str]:
    for each in _extensions(resource, PRACTICE_SERVED):
        named = each.get("valueIdentifier", {})
        if is_ods_code_system(named.get("system")) and named.get("value"):
            yield named["value"].upper()


def _extensions(resource: Json, url: str) -> Iterator[Json]:
    return (each for each in resource.get("extension", []) if each.get("url") == url)


def _telecom(contact: Json, system: str) -> str:
    found = (each.get("value", "") for each in contact.get("telecom", []) if each.get("system") == system)
    return next(found, "")


def _indexed(row: Listed) -> Iterator[str]:
    match row:
        case ListedOrganisation():
            yield row.ods
        case ListedTeam():
            yield row.dos_service_id
        case ListedPractitioner():
            yield row.subject
        case ListedRole():
            yield from (row.subject, *(dos for _, dos in row.teams))
        case ListedSchedule():
            yield from row.dos_service_ids

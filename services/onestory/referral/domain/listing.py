"""What the directory's resources say, as rows. References stay what they are: what they lead to may arrive later.

FHIR R4 HealthcareService (http://hl7.org/fhir/R4/healthcareservice.html), PractitionerRole, Practitioner, Organization;
our extensions are in schemas/fhir.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from onestory.referral.domain.periods import begins, ends
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

_SHARED = re.compile(r"([A-Za-z]+)/([a-z2-7]{26})")

Json = Mapping[str, Any]


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


Listed = ListedOrganisation | ListedTeam | ListedPractitioner | ListedRole


class Said(NamedTuple):
    """The assertion that stands of a directory resource. `stands` is False once it has been retracted."""

    shared_id: str
    resource_type: str
    said_by: str
    content: bytes
    stands: bool


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
    ods = _identifier(resource.get("identifier", []), is_ods_code_system).upper()
    return ListedOrganisation(said.shared_id, said.said_by, ods, resource.get("name", ""), _is_active(said, resource))


def _team(said: Said, resource: Json) -> ListedTeam:
    provider = resource.get("providedBy", {})
    ods, organisation_id = _logical(provider, is_ods_code_system).upper(), _shared_id(provider, "Organization")
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
        _identifier(resource.get("identifier", []), is_dos_service_system),
        sorted(set(_practices(resource))),
        contact.get("name", ""),
        _telecom(contact, "phone"),
        _telecom(contact, "email"),
        _is_active(said, resource),
    )


def _practitioner(said: Said, resource: Json) -> ListedPractitioner:
    subject = _identifier(resource.get("identifier", []), is_sds_user_system)
    names = sorted(resource.get("name", []), key=lambda name: name.get("use") in ("old", "nickname", "temp"))
    name = names[0] if names else {}
    text = name.get("text") or " ".join(filter(None, [*name.get("given", []), name.get("family")]))
    return ListedPractitioner(said.shared_id, said.said_by, subject, text, _is_active(said, resource))


def _role(said: Said, resource: Json) -> ListedRole:
    who = resource.get("practitioner", {})
    practitioner_id, subject = _shared_id(who, "Practitioner"), _logical(who, is_sds_user_system)
    if not (practitioner_id or subject):
        raise Unprocessable("practitioner names nobody by SDS user id or by reference.", code="nobody")
    services = resource.get("healthcareService", [])
    found = {(_shared_id(each, "HealthcareService"), _logical(each, is_dos_service_system)) for each in services}
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
        _is_active(said, resource),
        True,
        teams,
    )


LISTED: Mapping[str, Callable[[Said, Json], Listed]] = {
    "Organization": _organisation,
    "HealthcareService": _team,
    "Practitioner": _practitioner,
    "PractitionerRole": _role,
}
"""What this room uses of the directory."""


def _is_active(said: Said, resource: Json) -> bool:
    return said.stands and bool(resource.get("active", True))


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


def _identifier(identifiers: list[Json], is_system: Callable[[object], bool]) -> str:
    found = [each for each in identifiers if is_system(each.get("system")) and each.get("use") != "old"]
    return next((each["value"] for each in found if each.get("value")), "")


def _logical(reference: Json, is_system: Callable[[object], bool]) -> str:
    identifier = reference.get("identifier")
    return _identifier([identifier], is_system) if identifier else ""


def _shared_id(reference: Json, kind: str) -> str:
    match = _SHARED.fullmatch(reference.get("reference", ""))
    return match[2] if match and match[1] == kind else ""


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

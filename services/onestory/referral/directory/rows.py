"""What the directory's resources say, as rows. References stay what they are: what they lead to may arrive later.

FHIR R4 HealthcareService (http://hl7.org/fhir/R4/healthcareservice.html), PractitionerRole, Practitioner, Organization;
our extensions are in schemas/fhir.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import msgspec

from onestory.referral.directory.model import DirectoryResource, Json, is_active, logical, referenced, value_of
from onestory.referral.directory.slots import ListedSchedule, ListedSlot, begins, ends, schedule, slot
from onestory.shared.errors import Malformed, Unprocessable
from onestory.shared.events import DirectoryChanged, Operation, rank_of
from onestory.shared.fhir.validate import validate
from onestory.shared.identity import (
    is_directory_id,
    is_dos_service_system,
    is_keepable,
    is_ods_code_system,
    is_sds_user_system,
)
from onestory.shared.kafka.reader import ConsumedEvent

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


def listed(said: DirectoryResource) -> Listed:
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


def _organisation(said: DirectoryResource, resource: Json) -> ListedOrganisation:
    ods = value_of(resource.get("identifier", []), is_ods_code_system).upper()
    return ListedOrganisation(said.shared_id, said.said_by, ods, resource.get("name", ""), is_active(said, resource))


def _team(said: DirectoryResource, resource: Json) -> ListedTeam:
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


def _practitioner(said: DirectoryResource, resource: Json) -> ListedPractitioner:
    subject = value_of(resource.get("identifier", []), is_sds_user_system)
    names = sorted(resource.get("name", []), key=lambda name: name.get("use") in ("old", "nickname", "temp"))
    name = names[0] if names else {}
    text = name.get("text") or " ".join(filter(None, [*name.get("given", []), name.get("family")]))
    return ListedPractitioner(said.shared_id, said.said_by, subject, text, is_active(said, resource))


def _role(said: DirectoryResource, resource: Json) -> ListedRole:
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


LISTED: Mapping[str, Callable[[DirectoryResource, Json], Listed]] = {
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


# A statement about a resource of the directory that this room uses.


class DirectoryStatement(NamedTuple):
    """A row of `directory_statement`. The greatest (rank, published_at, event_id) stands, as in the record."""

    shared_id: str
    event_id: UUID
    rank: int
    published_at: datetime
    resource_type: str
    said_by: str
    operation: str
    content: bytes | None
    digest: bytes


def statement(arrival: ConsumedEvent) -> DirectoryStatement | None:
    """What a message says; None for what this room does not use.

    Raises `Unprocessable` for what it would use and cannot: its issue's code is the reason. Such a statement does not
    count at all, so that what was said before it still stands.
    """
    event = arrival.event
    if isinstance(event, Unprocessable):
        raise event
    if not isinstance(event, DirectoryChanged):
        raise Unprocessable(f"{type(event).__name__} does not belong on {arrival.topic}.", code="wrong-topic")
    entry = event.entry
    if entry.resource_type not in LISTED:
        return None
    if (arrival.key or b"") != entry.shared_id.encode() or not is_directory_id(entry.shared_id):
        raise Unprocessable("The message key is not the id of the directory resource.", code="wrong-key")
    _check(event)
    return DirectoryStatement(
        entry.shared_id,
        event.event_id,
        rank_of(event.sequence, entry.recorded_at),
        event.published_at,
        entry.resource_type,
        event.source.organisation,
        entry.operation.value,
        entry.content,
        hashlib.sha256(entry.content or b"").digest(),
    )


def _check(event: DirectoryChanged) -> None:
    entry = event.entry
    if not is_keepable(event.source.organisation):
        raise Unprocessable("The source's name cannot be kept.", code="source-form")
    if entry.key_id is not None or (entry.content is None) is (entry.operation is Operation.ASSERT):
        raise Unprocessable("An assertion has readable content, and a retraction has none.", code="content-form")
    if entry.content is not None:
        listed(DirectoryResource(entry.shared_id, entry.resource_type, event.source.organisation, entry.content, True))


def each_once(
    statements: Iterable[DirectoryStatement],
) -> tuple[list[DirectoryStatement], list[DirectoryStatement]]:
    """Each event once with the earliest of its clocks; and those that reuse an event id for other content."""
    once: dict[tuple[str, UUID], DirectoryStatement] = {}
    reused = []
    for said in statements:
        first = once.setdefault((said.shared_id, said.event_id), said)
        if first.digest != said.digest or first.operation != said.operation:
            reused.append(said)
            continue
        earliest = first._replace(
            rank=min(first.rank, said.rank), published_at=min(first.published_at, said.published_at)
        )
        once[said.shared_id, said.event_id] = earliest
    return list(once.values()), reused

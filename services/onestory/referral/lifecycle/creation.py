"""Makes a new referral of a ServiceRequest (http://hl7.org/fhir/R4/servicerequest.html)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from onestory.referral.clocks.domain import Clocks
from onestory.referral.lifecycle.decide import build_change
from onestory.referral.lifecycle.model import (
    Action,
    ChangeContext,
    Json,
    Referral,
    ReferralChange,
    ReferralKind,
    Status,
    task_local_id,
)
from onestory.referral.lifecycle.status_words import PROVIDER_RESPONSE_REQUIRED
from onestory.shared.errors import Forbidden, Unprocessable
from onestory.shared.events import REFERRAL_SYSTEM, Party
from onestory.shared.fhir.references import is_advice_request, pds_patient_id
from onestory.shared.identity import (
    DOS_SERVICE_SYSTEM,
    NHS_NUMBER_SYSTEM,
    Keys,
    PersonIdentifier,
    is_dos_service_system,
    is_nhs_number,
    is_nhs_number_system,
    is_ods_code_system,
)

MAX_TEAMS = 5
"""The most teams that one ServiceRequest asks at once."""
_CATEGORY = "https://fhir.nhs.uk/CodeSystem/message-category-servicerequest"
_VALIDATION = (_CATEGORY, "validation")
# Elements that are not copied: the service writes them itself, or they belong to one version.
_CLINICIANS = ("Practitioner", "PractitionerRole")
_OWN_FIELDS = ("resourceType", "id", "meta", "status", "subject", "priority", "performer", "text")


@dataclass(frozen=True, slots=True)
class TeamReference:
    """A reference to a team: by its id in the directory, or else by its id in the Directory of Services (`dos_id`).

    `path` is the FHIRPath of the reference, for error texts.
    """

    team_id: str
    dos_id: str
    path: str


@dataclass(frozen=True, slots=True)
class ReferralRequest:
    """The content of a ServiceRequest from which a referral is made.

    `body` has its other elements. `carried` are the shared ids of resources that came with it in a message.
    `group_id` is the same for all teams that are asked at once; empty: it is one team.
    """

    person: PersonIdentifier
    team: TeamReference
    status: Status
    kind: ReferralKind
    priority: str
    body: Json
    carried: tuple[str, ...] = ()
    group_id: str = ""


@dataclass(frozen=True, slots=True)
class ReferralOrigin:
    """The requester of a new referral: its party and its user (`sub`), and the referral's local id there.

    `based_on` is the id of the referral that it continues; empty: none.
    """

    party: Party
    subject: str
    local_id: str
    based_on: str = ""


def parse_service_request(
    resource: Json,
    person: PersonIdentifier | None = None,
    team: TeamReference | None = None,
    base_url: str = "",
) -> ReferralRequest:
    """The request in a valid ServiceRequest. `person` and `team` replace those that it names, where given.

    The subject may be a URL below `base_url`, the FHIR base URL of this deployment.

    Raises `Unprocessable` where it makes no referral.
    """
    status = resource.get("status")
    if status not in ("active", "draft"):
        raise Unprocessable(
            "Send status active, or draft to send it later. Every later change is an operation on the Task.",
            code="business-rule",
            expression="ServiceRequest.status",
        )
    if resource.get("doNotPerform"):
        problem = "A referral asks for something to be done: leave doNotPerform out."
        raise Unprocessable(problem, code="business-rule", expression="ServiceRequest.doNotPerform")
    return ReferralRequest(
        person=person or _parse_person(resource.get("subject", {}), base_url),
        team=team or parse_team_reference(resource.get("performer", []), "ServiceRequest.performer"),
        status=Status.REQUESTED if status == "active" else Status.DRAFT,
        kind=_kind(resource),
        priority=resource.get("priority", "routine"),
        body=_body(resource),
    )


def _body(resource: Json) -> Json:
    """The elements that are kept as they were sent. Of the performers they are the named clinicians in the team."""
    body = {name: value for name, value in resource.items() if name not in _OWN_FIELDS}
    clinicians = [performer for performer in resource.get("performer", ()) if _is_clinician(performer)]
    return {**body, "performer": clinicians} if clinicians else body


def _is_clinician(performer: Json) -> bool:
    """Whether a performer is a Practitioner or PractitionerRole, by its type, its reference or its SDS user id."""
    kind = str(performer.get("reference", "")).rpartition("/")[0].rpartition("/")[2]
    system = str(performer.get("identifier", {}).get("system", ""))
    return performer.get("type") in _CLINICIANS or kind in _CLINICIANS or system.lower().endswith("/sds-user-id")


def refuse_other_requester(request: ReferralRequest, party: Party) -> None:
    """Raise `Forbidden` where ServiceRequest.requester is another organisation than the one of the token."""
    identifier = request.body.get("requester", {}).get("identifier", {})
    if is_ods_code_system(identifier.get("system")) and identifier.get("value", "").upper() != party.organisation:
        problem = "The token is for another organisation than this requester: leave requester out."
        raise Forbidden(problem, expression="ServiceRequest.requester")


def create_referral(
    request: ReferralRequest,
    recipient: Party,
    origin: ReferralOrigin,
    context: ChangeContext,
    clocks: Clocks,
    keys: Keys,
) -> ReferralChange:
    """The first change of a new referral, which makes it."""
    person_key = keys.person_key(request.person)
    owned = partial(_owned_id, keys, person_key, origin.party.organisation)
    sent = request.status is Status.REQUESTED
    referral = Referral(
        person=request.person,
        person_key=person_key,
        local_id=origin.local_id,
        referral_id=owned("ServiceRequest", origin.local_id),
        task_id=owned("Task", task_local_id(origin.local_id, 1)),
        task_number=1,
        version=1,
        kind=request.kind,
        priority=request.priority,
        status=request.status,
        business_status=_first_business_status(request.kind) if sent else "",
        is_open=True,
        requester=origin.party,
        requester_subject=origin.subject,
        sender=origin.party,
        referrer=origin.party,
        recipient=recipient,
        service_request=request.body,
        correlation_id=context.correlation_id,
        created_at=context.at,
        changed_at=context.at,
        changed_by=context.event_id,
        sent_at=context.at if sent else None,
        due_at=clocks.due(request.kind, request.priority, request.status, context.at),
        based_on=origin.based_on,
        group_id=request.group_id,
    )
    change = build_change(referral, referral, Action.REQUEST if sent else "draft", context)
    return replace(change, carried=request.carried)


def task_id(keys: Keys, referral: Referral, number: int) -> str:
    """The shared id of a referral's Task with this number."""
    name = task_local_id(referral.local_id, number)
    return _owned_id(keys, referral.person_key, referral.requester.organisation, "Task", name)


def message_id(keys: Keys, referral: Referral, name: str) -> str:
    """The shared id of the message of a referral that has this local id."""
    return _owned_id(keys, referral.person_key, referral.requester.organisation, "Communication", name)


def referral_id(keys: Keys, person: PersonIdentifier, organisation: str, local_id: str) -> str:
    """The shared id of the referral of an organisation that has this local id there."""
    return _owned_id(keys, keys.person_key(person), organisation, "ServiceRequest", local_id)


def parse_service_requests(resource: Json, base_url: str = "") -> list[ReferralRequest]:
    """The requests in a valid ServiceRequest: one for each team in `performer`, at most `MAX_TEAMS`.

    Raises what `parse_service_request` raises.
    """
    path = "ServiceRequest.performer"
    located = ((f"{path}[{index}]", each) for index, each in enumerate(resource.get("performer", ())))
    named: dict[tuple[str, str], TeamReference] = {}
    for place, reference in located:
        if team := _team_reference(reference, place):
            named.setdefault((team.team_id, team.dos_id), team)
    if len(named) <= 1:
        return [parse_service_request(resource, team=next(iter(named.values()), None), base_url=base_url)]
    requests = [parse_service_request(resource, team=team, base_url=base_url) for team in named.values()]
    if len(named) > MAX_TEAMS or requests[0].kind is ReferralKind.ADVICE:
        raise Unprocessable(
            f"Ask at most {MAX_TEAMS} teams at once, and one team for advice.", code="business-rule", expression=path
        )
    return requests


def parse_team_reference(references: Sequence[Json], path: str) -> TeamReference:
    """The one team that References name. Raises `Unprocessable` unless exactly one of them names a team."""
    located = [(f"{path}[{index}]", reference) for index, reference in enumerate(references)]
    teams = [team for place, reference in located if (team := _team_reference(reference, place))]
    if len(teams) != 1:
        raise Unprocessable(
            "Name the one team that you ask: HealthcareService/<id in the directory>, or an identifier with system "
            f"{DOS_SERVICE_SYSTEM}. To publish a ServiceRequest of your own system as part of the record, POST it in a "
            "Bundle to /fhir.",
            code="required" if not teams else "business-rule",
            expression=path,
        )
    return teams[0]


def _owned_id(keys: Keys, person_key: str, organisation: str, resource_type: str, name: str) -> str:
    """The shared id of a resource that belongs to a referral."""
    return keys.shared_id(person_key, organisation, REFERRAL_SYSTEM, resource_type, name)


def _team_reference(reference: Mapping[str, Any], path: str) -> TeamReference | None:
    kind, _, name = str(reference.get("reference", "")).rpartition("/")
    if kind.endswith("HealthcareService") and name:
        return TeamReference(name, "", path)
    identifier = reference.get("identifier", {})
    if is_dos_service_system(identifier.get("system")) and identifier.get("value"):
        return TeamReference("", identifier["value"], path)
    return None


def _parse_person(subject: Mapping[str, Any], base_url: str) -> PersonIdentifier:
    identifier = subject.get("identifier", {})
    by_number = identifier.get("value") if is_nhs_number_system(identifier.get("system")) else None
    reference = str(subject.get("reference", ""))
    # The id of a Patient of another server may look like an NHS number, and is none.
    relative = reference.removeprefix(f"{base_url}/") if base_url else reference
    is_relative = relative.startswith("Patient/")
    by_id = relative.removeprefix("Patient/") if is_relative else pds_patient_id(reference) or reference
    numbers = {number for number in (by_number, by_id) if number}
    if len(numbers) != 1 or not is_nhs_number(number := numbers.pop()):
        raise Unprocessable(
            "Name the person by one NHS number with a correct check digit: Patient/<NHS number>, or an identifier with "
            f"system {NHS_NUMBER_SYSTEM}.",
            code="value",
            expression="ServiceRequest.subject",
        )
    return PersonIdentifier(NHS_NUMBER_SYSTEM, number)


def _kind(resource: Json) -> ReferralKind:
    if is_advice_request(resource):
        return ReferralKind.ADVICE
    codings = {
        (coding.get("system"), coding.get("code"))
        for category in resource.get("category", ())
        for coding in category.get("coding", ())
    }
    return ReferralKind.VALIDATION if _VALIDATION in codings else ReferralKind.REFERRAL


def _first_business_status(kind: ReferralKind) -> str:
    return PROVIDER_RESPONSE_REQUIRED if kind is ReferralKind.ADVICE else "AWAITING_TRIAGE"

"""A new referral, as a ServiceRequest says it (http://hl7.org/fhir/R4/servicerequest.html)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from onestory.referral.clocks.domain import Clocks
from onestory.referral.lifecycle.decide import finish, task_local_id
from onestory.referral.lifecycle.machine import PROVIDER_RESPONSE_REQUIRED, Action, Doing, ReferralChange
from onestory.referral.lifecycle.model import Json, Referral, ReferralKind, Status
from onestory.shared.errors import Forbidden, Unprocessable
from onestory.shared.events import REFERRAL_SYSTEM, Party
from onestory.shared.fhir.references import asks_for_advice
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

_CATEGORY = "https://fhir.nhs.uk/CodeSystem/message-category-servicerequest"
_VALIDATION = (_CATEGORY, "validation")
# What the room says itself, and what is of a version.
_OURS = ("resourceType", "id", "meta", "status", "subject", "priority", "performer", "text")


@dataclass(frozen=True, slots=True)
class TeamNamed:
    """How a team is named: by its id in the directory, or by its id in the Directory of Services. `path` is where."""

    team_id: str
    dos_id: str
    path: str


@dataclass(frozen=True, slots=True)
class ReferralRequest:
    """What a ServiceRequest asks for, of whom, for which person."""

    person: PersonIdentifier
    team: TeamNamed
    status: Status
    kind: ReferralKind
    priority: str
    body: Json


@dataclass(frozen=True, slots=True)
class Asking:
    """Who asks: for which party, which user, and under which name of its own (`local_id`)."""

    party: Party
    subject: str
    local_id: str


def asked(resource: Json, person: PersonIdentifier | None = None, team: TeamNamed | None = None) -> ReferralRequest:
    """What a valid ServiceRequest asks for; for this person and of this team, where it is known that it is for them.

    Raises `Unprocessable` for what makes no referral.
    """
    status = resource.get("status")
    if status not in ("active", "draft"):
        raise Unprocessable(
            "A new referral is active, or draft until it is sent: everything later is an operation on its Task.",
            code="business-rule",
            expression="ServiceRequest.status",
        )
    if resource.get("doNotPerform"):
        says = "A referral asks for something to be done: leave doNotPerform out."
        raise Unprocessable(says, code="business-rule", expression="ServiceRequest.doNotPerform")
    return ReferralRequest(
        person=person or _person(resource.get("subject", {})),
        team=team or team_named(resource.get("performer", []), "ServiceRequest.performer"),
        status=Status.REQUESTED if status == "active" else Status.DRAFT,
        kind=_kind(resource),
        priority=resource.get("priority", "routine"),
        body={name: value for name, value in resource.items() if name not in _OURS},
    )


def refuse_other_requester(wanted: ReferralRequest, party: Party) -> None:
    """Raise `Forbidden` where the ServiceRequest names another organisation as its requester than the token does."""
    identifier = wanted.body.get("requester", {}).get("identifier", {})
    if is_ods_code_system(identifier.get("system")) and identifier.get("value", "").upper() != party.organisation:
        says = "The token is of another organisation than this requester."
        raise Forbidden(says, expression="ServiceRequest.requester")


def create(
    wanted: ReferralRequest, recipient: Party, asking: Asking, doing: Doing, clocks: Clocks, keys: Keys
) -> ReferralChange:
    """The referral's first change."""
    person_key = keys.person_key(wanted.person)
    owned = partial(_owned_id, keys, person_key, asking.party.organisation)
    sent = wanted.status is Status.REQUESTED
    referral = Referral(
        person=wanted.person,
        person_key=person_key,
        local_id=asking.local_id,
        referral_id=owned("ServiceRequest", asking.local_id),
        task_id=owned("Task", task_local_id(asking.local_id, 1)),
        task_number=1,
        version=1,
        kind=wanted.kind,
        priority=wanted.priority,
        status=wanted.status,
        business_status=_first_word(wanted.kind) if sent else "",
        is_open=True,
        requester=asking.party,
        requester_subject=asking.subject,
        sender=asking.party,
        recipient=recipient,
        service_request=wanted.body,
        correlation_id=doing.correlation_id,
        created_at=doing.at,
        changed_at=doing.at,
        changed_by=doing.event_id,
        sent_at=doing.at if sent else None,
        due_at=clocks.due(wanted.kind, wanted.priority, wanted.status, doing.at),
    )
    return finish(referral, referral, Action.REQUEST if sent else "draft", doing)


def task_id(keys: Keys, referral: Referral, number: int) -> str:
    """The shared id of a referral's Task of this number."""
    name = task_local_id(referral.local_id, number)
    return _owned_id(keys, referral.person_key, referral.requester.organisation, "Task", name)


def message_id(keys: Keys, referral: Referral, name: str) -> str:
    """The shared id of the message of a referral that has this name."""
    return _owned_id(keys, referral.person_key, referral.requester.organisation, "Communication", name)


def referral_id(keys: Keys, person: PersonIdentifier, organisation: str, local_id: str) -> str:
    """The shared id of the referral that an organisation gives this name."""
    return _owned_id(keys, keys.person_key(person), organisation, "ServiceRequest", local_id)


def team_named(references: Sequence[Json], path: str) -> TeamNamed:
    """The one team that References name. Raises `Unprocessable` unless there is one, and one only."""
    found = [named for index, each in enumerate(references) if (named := _team(each, f"{path}[{index}]"))]
    if len(found) != 1:
        raise Unprocessable(
            "Name the one team that you ask: HealthcareService/<id in the directory>, or an identifier with system "
            f"{DOS_SERVICE_SYSTEM}. To publish a ServiceRequest of your own system as part of the record, POST it in a "
            "Bundle to /fhir.",
            code="required" if not found else "business-rule",
            expression=path,
        )
    return found[0]


def _owned_id(keys: Keys, person_key: str, organisation: str, resource_type: str, name: str) -> str:
    """The shared id of what belongs to a referral."""
    return keys.shared_id(person_key, organisation, REFERRAL_SYSTEM, resource_type, name)


def _team(reference: Mapping[str, Any], path: str) -> TeamNamed | None:
    kind, _, name = str(reference.get("reference", "")).rpartition("/")
    if kind.endswith("HealthcareService") and name:
        return TeamNamed(name, "", path)
    identifier = reference.get("identifier", {})
    if is_dos_service_system(identifier.get("system")) and identifier.get("value"):
        return TeamNamed("", identifier["value"], path)
    return None


def _person(subject: Mapping[str, Any]) -> PersonIdentifier:
    identifier = subject.get("identifier", {})
    by_number = identifier.get("value") if is_nhs_number_system(identifier.get("system")) else None
    by_id = str(subject.get("reference", "")).rpartition("Patient/")[2] or None
    numbers = {each for each in (by_number, by_id) if each}
    if len(numbers) != 1 or not is_nhs_number(number := numbers.pop()):
        raise Unprocessable(
            "Name the person by one NHS number with a right check digit: Patient/<NHS number>, or an identifier with "
            f"system {NHS_NUMBER_SYSTEM}.",
            code="value",
            expression="ServiceRequest.subject",
        )
    return PersonIdentifier(NHS_NUMBER_SYSTEM, number)


def _kind(resource: Json) -> ReferralKind:
    if asks_for_advice(resource):
        return ReferralKind.ADVICE
    codings = {
        (coding.get("system"), coding.get("code"))
        for category in resource.get("category", ())
        for coding in category.get("coding", ())
    }
    return ReferralKind.VALIDATION if _VALIDATION in codings else ReferralKind.REFERRAL


def _first_word(kind: ReferralKind) -> str:
    return PROVIDER_RESPONSE_REQUIRED if kind is ReferralKind.ADVICE else "AWAITING_TRIAGE"

"""A referral as FHIR R4 (http://hl7.org/fhir/R4/workflow-module.html), and its changes as events on Kafka.

`service_request` and `task` give bodies without id and meta; `resource_content` adds these.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import orjson

from onestory.referral.appointments.model import ReferralAppointment
from onestory.referral.lifecycle.model import (
    Json,
    Referral,
    ReferralChange,
    ReferralKind,
    Status,
    WrittenResource,
    request_status,
)
from onestory.shared.events import Entry, Operation, Party, ReferralChanged
from onestory.shared.fhir.dates import format_instant
from onestory.shared.fhir.references import literal_references
from onestory.shared.identity import NHS_NUMBER_SYSTEM, ODS_CODE_SYSTEM, parse_shared_id

E_RS_STATUS = "https://fhir.nhs.uk/CodeSystem/eRS-ReferralState"
TASK_CODE = "http://hl7.org/fhir/CodeSystem/task-code"
ONESTORY = "https://onestory.nhs.uk/StructureDefinition"
HOLDER = f"{ONESTORY}/referral-holder"
"""Extension on Task: the party that is clinically responsible."""
NEXT_ACTOR = f"{ONESTORY}/referral-next-actor"
"""Extension on Task: the party that has to act until Task.restriction.period.end."""
CLAIMED = f"{ONESTORY}/referral-claimed"
"""Extension on Task: a user of its owner works on it. Only the team's worklist names this user."""
APPOINTMENT = f"{ONESTORY}/referral-appointment"
"""Extension on Task: an appointment of the referral. It has extensions id, status, start, end, with, and
slot-withdrawn where its Slot is not offered any more."""
VERSION = f"{ONESTORY}/referral-version"
"""Extension on Task: the count of the referral's changes."""


def service_request(referral: Referral) -> Json:
    """The ServiceRequest as it was requested, with the status that follows from the Task."""
    requested = dict(referral.service_request)
    return {
        **requested,
        "status": request_status(referral),
        "subject": subject(referral),
        # FHIR allows no HealthcareService as requester.
        "requester": requested.get("requester") or party_reference(Party(referral.requester.organisation)),
        "performer": [party_reference(referral.recipient), *requested.get("performer", ())],
        "priority": referral.priority,
        "authoredOn": requested.get("authoredOn") or format_instant(referral.created_at),
    }


def task(referral: Referral) -> Json:
    """The Task in force."""
    holder, next_actor = referral.holder, referral.next_actor
    body: dict[str, Any] = {
        "extension": [
            *([{"url": HOLDER, "valueReference": party_reference(holder)}] if holder else []),
            *([{"url": NEXT_ACTOR, "valueReference": party_reference(next_actor)}] if next_actor else []),
            *([{"url": CLAIMED, "valueBoolean": True}] if referral.claimed_by else []),
            *map(_appointment, referral.appointments if referral.status is not Status.ENTERED_IN_ERROR else ()),
            {"url": VERSION, "valueInteger": referral.version},
        ],
        "status": str(referral.status),
        "statusReason": referral.reason.concept if referral.reason else None,
        "businessStatus": _codeable_concept(E_RS_STATUS, referral.business_status),
        "intent": "order",
        "priority": referral.priority,
        "code": _codeable_concept(TASK_CODE, "fulfill")
        if referral.kind is not ReferralKind.ADVICE
        else {"text": "Advice and guidance"},
        "focus": {"reference": f"ServiceRequest/{referral.referral_id}"},
        "for": subject(referral),
        "authoredOn": format_instant(referral.sent_at or referral.created_at),
        "lastModified": format_instant(referral.changed_at),
        # FHIR allows no HealthcareService as requester: a team that passed it on is named by its organisation.
        "requester": party_reference(Party(referral.sender.organisation)),
        "owner": party_reference(referral.recipient),
        "restriction": {"period": {"end": format_instant(referral.due_at)}} if referral.due_at else None,
        "output": list(referral.outputs),
    }
    return {name: value for name, value in body.items() if value not in (None, [])}


def _appointment(appointment: ReferralAppointment) -> Json:
    named: list[Json] = [
        {"url": "id", "valueString": appointment.appointment_id},
        {"url": "status", "valueCode": str(appointment.status)},
        {"url": "start", "valueInstant": format_instant(appointment.starts_at)},
        *([{"url": "end", "valueInstant": format_instant(appointment.ends_at)}] if appointment.ends_at else []),
        {"url": "with", "valueReference": party_reference(appointment.team)},
        *([{"url": "slot-withdrawn", "valueBoolean": True}] if appointment.slot_withdrawn else []),
    ]
    return {"url": APPOINTMENT, "extension": named}


def subject(referral: Referral) -> Json:
    """A Reference to the person: by NHS number, or by the identifier of a provisional identity."""
    if not referral.person.is_nhs_number:
        return {"identifier": {"system": referral.person.system, "value": referral.person.value}}
    number = referral.person.value
    identifier = {"system": NHS_NUMBER_SYSTEM, "value": number}
    return {"reference": f"Patient/{number}", "type": "Patient", "identifier": identifier}


def party_reference(party: Party) -> Json:
    """A Reference to a party: a team by its id in the directory, an organisation by its ODS code."""
    organisation = {"system": ODS_CODE_SYSTEM, "value": party.organisation}
    if party.team:
        return {"reference": f"HealthcareService/{party.team}", "type": "HealthcareService"}
    return {"type": "Organization", "identifier": organisation}


def _codeable_concept(system: str, code: str) -> Json | None:
    return {"coding": [{"system": system, "code": code}]} if code else None


def referral_event(change: ReferralChange) -> ReferralChanged:
    """The event of a change."""
    referral, context = change.referral, change.context
    entries = tuple(_entry(change, written) for written in change.resources)
    return ReferralChanged(
        event_id=context.event_id,
        person=referral.person,
        referral_id=referral.referral_id,
        task_id=referral.task_id,
        version=referral.version,
        kind=str(referral.kind),
        priority=referral.priority,
        action=change.action,
        reason=change.reason,
        actor=context.actor,
        status=str(referral.status),
        business_status=referral.business_status,
        is_open=referral.is_open,
        requester=referral.requester,
        recipient=referral.recipient,
        holder=referral.holder,
        next_actor=referral.next_actor,
        due_at=referral.due_at,
        occurred_at=context.at,
        correlation_id=referral.correlation_id,
        notices=change.notices,
        based_on=referral.based_on,
        carried=carried_ids(referral.person_key, entries, change.carried),
        entries=entries,
    )


def carried_ids(person_key: str, entries: Collection[Entry], more: Collection[str]) -> tuple[str, ...]:
    """The shared ids of what a change carries: the person's resources that it names, and `more` that came with it.

    The resources that it writes itself are left out.
    """
    named = {name for _, name in literal_references(entry.content or b"" for entry in entries)}
    carried = (named | set(more)) - {entry.shared_id for entry in entries}
    return tuple(
        sorted(name for name in carried if (parsed := parse_shared_id(name)) and parsed.person_key == person_key)
    )


def resource_content(change: ReferralChange, written: WrittenResource) -> bytes:
    """A written resource as FHIR JSON with id and meta: its version is the event of the change."""
    meta = {"versionId": str(change.context.event_id), "lastUpdated": format_instant(change.context.at)}
    return _resource_bytes(written, {**meta, **_tags(change)})


def _entry(change: ReferralChange, written: WrittenResource) -> Entry:
    return Entry(
        resource_type=written.resource_type,
        local_id=written.local_id,
        shared_id=written.shared_id,
        recorded_at=change.context.at,
        operation=Operation.ASSERT,
        content=_resource_bytes(written, _tags(change)),
    )


def _tags(change: ReferralChange) -> Mapping[str, Any]:
    return {"tag": [{"system": ODS_CODE_SYSTEM, "code": change.referral.requester.organisation}]}


def _resource_bytes(written: WrittenResource, meta: Mapping[str, Any]) -> bytes:
    # The order matters: the record finds `meta` in the first bytes, and puts its own version there.
    first = {"resourceType": written.resource_type, "id": written.shared_id, "meta": meta}
    return orjson.dumps({**first, **written.body})

"""A referral as FHIR R4: its ServiceRequest and its Task (http://hl7.org/fhir/R4/workflow-module.html).

Bodies have no id and no meta: whoever writes them puts these in front.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from onestory.referral.lifecycle.machine import ReferralChange, Written
from onestory.referral.lifecycle.model import Json, Referral, ReferralKind, request_status
from onestory.shared.events import Entry, Operation, Party, ReferralChanged
from onestory.shared.fhir.dates import format_instant
from onestory.shared.identity import NHS_NUMBER_SYSTEM, ODS_CODE_SYSTEM

E_RS_STATUS = "https://fhir.nhs.uk/CodeSystem/eRS-ReferralState"
TASK_CODE = "http://hl7.org/fhir/CodeSystem/task-code"
ONESTORY = "https://onestory.nhs.uk/StructureDefinition"
HOLDER = f"{ONESTORY}/referral-holder"
"""Extension on Task: who is clinically responsible."""
NEXT_ACTOR = f"{ONESTORY}/referral-next-actor"
"""Extension on Task: who has to act until Task.restriction.period.end."""
CLAIMED = f"{ONESTORY}/referral-claimed"
"""Extension on Task: somebody of its owner works on it. Who it is, the team's worklist tells."""
VERSION = f"{ONESTORY}/referral-version"
"""Extension on Task: the count of the referral's changes."""


def service_request(referral: Referral) -> Json:
    """The ServiceRequest: what was asked for, with the status that follows from the Task."""
    said = dict(referral.service_request)
    return {
        **said,
        "status": request_status(referral),
        "subject": subject(referral),
        "requester": said.get("requester") or reference_to(referral.requester),
        "performer": [reference_to(referral.recipient)],
        "priority": referral.priority,
        "authoredOn": said.get("authoredOn") or format_instant(referral.created_at),
    }


def task(referral: Referral) -> Json:
    """The Task in force."""
    holder, next_actor = referral.holder, referral.next_actor
    body: dict[str, Any] = {
        "extension": [
            *([{"url": HOLDER, "valueReference": reference_to(holder)}] if holder else []),
            *([{"url": NEXT_ACTOR, "valueReference": reference_to(next_actor)}] if next_actor else []),
            *([{"url": CLAIMED, "valueBoolean": True}] if referral.claimed_by else []),
            {"url": VERSION, "valueInteger": referral.version},
        ],
        "status": str(referral.status),
        "statusReason": referral.reason.concept if referral.reason else None,
        "businessStatus": _coded(E_RS_STATUS, referral.business_status),
        "intent": "order",
        "priority": referral.priority,
        "code": _coded(TASK_CODE, "fulfill")
        if referral.kind is not ReferralKind.ADVICE
        else {"text": "Advice and guidance"},
        "focus": {"reference": f"ServiceRequest/{referral.referral_id}"},
        "for": subject(referral),
        "authoredOn": format_instant(referral.sent_at or referral.created_at),
        "lastModified": format_instant(referral.changed_at),
        # A requester can be no HealthcareService: a team that passed it on is named by its organisation.
        "requester": reference_to(Party(referral.sender.organisation)),
        "owner": reference_to(referral.recipient),
        "restriction": {"period": {"end": format_instant(referral.due_at)}} if referral.due_at else None,
        "output": list(referral.outputs),
    }
    return {name: value for name, value in body.items() if value not in (None, [])}


def subject(referral: Referral) -> Json:
    """The person, by number where there is one."""
    if not referral.person.is_nhs_number:
        return {"identifier": {"system": referral.person.system, "value": referral.person.value}}
    number = referral.person.value
    identifier = {"system": NHS_NUMBER_SYSTEM, "value": number}
    return {"reference": f"Patient/{number}", "type": "Patient", "identifier": identifier}


def reference_to(party: Party) -> Json:
    """A team by its id in the directory, an organisation by its ODS code."""
    organisation = {"system": ODS_CODE_SYSTEM, "value": party.organisation}
    if party.team:
        return {"reference": f"HealthcareService/{party.team}", "type": "HealthcareService"}
    return {"type": "Organization", "identifier": organisation}


def _coded(system: str, code: str) -> Json | None:
    return {"coding": [{"system": system, "code": code}]} if code else None


# A change of a referral as Kafka hears of it, and as it is read here.


def event(changed: ReferralChange) -> ReferralChanged:
    """The event."""
    referral, doing = changed.referral, changed.doing
    return ReferralChanged(
        event_id=doing.event_id,
        person=referral.person,
        referral_id=referral.referral_id,
        task_id=referral.task_id,
        version=referral.version,
        kind=str(referral.kind),
        priority=referral.priority,
        action=changed.action,
        reason=changed.reason,
        actor=doing.actor,
        status=str(referral.status),
        business_status=referral.business_status,
        is_open=referral.is_open,
        requester=referral.requester,
        recipient=referral.recipient,
        holder=referral.holder,
        next_actor=referral.next_actor,
        due_at=referral.due_at,
        occurred_at=doing.at,
        correlation_id=referral.correlation_id,
        notices=changed.notices,
        entries=tuple(_entry(changed, each) for each in changed.written),
    )


def content(changed: ReferralChange, written: Written) -> bytes:
    """A resource as it is read here: with the version that this change makes of it."""
    meta = {"versionId": str(changed.doing.event_id), "lastUpdated": format_instant(changed.doing.at)}
    return _bytes(written, {**meta, **_tags(changed)})


def _entry(changed: ReferralChange, written: Written) -> Entry:
    return Entry(
        resource_type=written.resource_type,
        local_id=written.local_id,
        shared_id=written.shared_id,
        recorded_at=changed.doing.at,
        operation=Operation.ASSERT,
        content=_bytes(written, _tags(changed)),
    )


def _tags(changed: ReferralChange) -> Mapping[str, Any]:
    return {"tag": [{"system": ODS_CODE_SYSTEM, "code": changed.referral.requester.organisation}]}


def _bytes(written: Written, meta: Mapping[str, Any]) -> bytes:
    # In this order: the record puts its own version into `meta` by looking at the first bytes.
    front = {"resourceType": written.resource_type, "id": written.shared_id, "meta": meta}
    return orjson.dumps({**front, **written.body})

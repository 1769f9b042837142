"""A referral as FHIR R4: its ServiceRequest and its Task (http://hl7.org/fhir/R4/workflow-module.html).

Bodies have no id and no meta: whoever writes them puts these in front.
"""

from __future__ import annotations

from typing import Any

from onestory.referral.domain.referral import Json, Kind, Referral, request_status
from onestory.shared.events import Party
from onestory.shared.fhir.instants import format_instant
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
        "code": _coded(TASK_CODE, "fulfill") if referral.kind is not Kind.ADVICE else {"text": "Advice and guidance"},
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

"""The answer to a message that was processed: a message too, with everything under the ids that it has here."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import orjson

from onestory.referral.bars.domain import carrying
from onestory.referral.bars.domain.opening import EVENTS, PROFILE
from onestory.referral.bars.work import Done, Work
from onestory.shared.fhir.instants import format_instant

_SYSTEM = f"https://fhir.nhs.uk/CodeSystem/{EVENTS}"


def answer(work: Work, done: Done, base_url: str) -> bytes:
    """The Bundle: MessageHeader with response `ok`, then the ServiceRequest or Appointment, then what was stated."""
    kind = "Appointment" if done.appointment_id else "ServiceRequest"
    about = f"{base_url}/{kind}/{done.appointment_id or done.referral_id}"
    entries = [_entry(f"urn:uuid:{uuid4()}", orjson.dumps(_header(work, about))), _entry(about, done.resource)]
    stated = carrying.to_state(work.event, {**work.foreign, **done.owned})
    for each in stated.entries if stated else ():
        assert each.content is not None
        entries.append(_entry(f"{base_url}/{each.resource_type}/{each.shared_id}", each.content))
    meta = orjson.dumps({"versionId": work.message.version, "profile": [PROFILE]})
    return b'{"resourceType":"Bundle","id":"%b","meta":%b,"type":"message","timestamp":"%b","entry":[%b]}' % (
        str(uuid4()).encode(),
        meta,
        format_instant(work.arrived.at).encode(),
        b",".join(entries),
    )


def _header(work: Work, about: str) -> dict[str, Any]:
    said = work.message.header.resource
    sender = said.get("source", {}).get("endpoint", "")
    return {
        "resourceType": "MessageHeader",
        "id": str(uuid4()),
        "eventCoding": {"system": _SYSTEM, "code": f"{work.message.event.partition('-')[0]}-response"},
        **({"destination": [{"endpoint": sender}]} if sender else {}),
        "source": {"name": "OneStory", "software": "OneStory", "endpoint": _endpoint(work)},
        "reason": said["reason"],
        "response": {"identifier": work.message.message_id, "code": "ok"},
        "focus": [{"reference": about}],
    }


def _endpoint(work: Work) -> str:
    destinations = work.message.header.resource.get("destination", ())
    return str(destinations[0].get("endpoint", "")) if destinations else ""


def _entry(full_url: str, content: bytes) -> bytes:
    return b'{"fullUrl":%b,"resource":%b}' % (orjson.dumps(full_url), content)

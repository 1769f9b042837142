"""A ServiceRequest as `GET /ServiceRequest` shows it: a rejection and its reason are in it. Pure.

BaRS has no Task. Its sender reads the request to learn what became of it, so a rejected or failed one is revoked here.
The request itself stays active on the record: the person still needs what was requested.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson

from onestory.referral.lifecycle.model import Referral, Status
from onestory.referral.lifecycle.render import subject
from onestory.shared.fhir.dates import format_instant
from onestory.shared.identity import PersonIdentifier

STATUS_REASON = "http://hl7.org/fhir/StructureDefinition/request-statusReason"
"""Extension on a request: the reason of its status (http://hl7.org/fhir/R4/extension-request-statusreason.html)."""

_GIVEN_BACK = frozenset({Status.REJECTED, Status.FAILED})
_WITH_REASON = frozenset({*_GIVEN_BACK, Status.CANCELLED, Status.ON_HOLD})


def differs(referral: Referral, identified: PersonIdentifier | None) -> bool:
    """Whether BaRS shows the request otherwise than the record has it. `identified`: its person, known since then."""
    return identified is not None or _shows_state(referral)


def _shows_state(referral: Referral) -> bool:
    return referral.status in _WITH_REASON and (referral.reason is not None or referral.status in _GIVEN_BACK)


def request_for_sender(content: bytes, referral: Referral, identified: PersonIdentifier | None) -> bytes:
    """The ServiceRequest of a referral as BaRS shows it. `content` is FHIR JSON with id and meta."""
    if not differs(referral, identified):
        return content
    request: dict[str, Any] = orjson.loads(content)
    if identified is not None:
        request["subject"] = subject(replace(referral, person=identified))
    if referral.status in _GIVEN_BACK:
        request["status"] = "revoked"
    if _shows_state(referral) and referral.reason is not None:
        others = [each for each in request.get("extension", ()) if each.get("url") != STATUS_REASON]
        request["extension"] = [*others, _status_reason(referral.reason.concept)]
    version = {"versionId": str(referral.changed_by), "lastUpdated": format_instant(referral.changed_at)}
    request["meta"] = {**request.get("meta", {}), **version}
    return orjson.dumps(request)


def _status_reason(concept: Mapping[str, Any]) -> dict[str, Any]:
    return {"url": STATUS_REASON, "valueCodeableConcept": concept}

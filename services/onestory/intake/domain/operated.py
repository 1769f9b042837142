"""What is a referral's, and not a statement: it is made and changed by operations.

A referral that looked sent, and was not, would be waited for by nobody.
"""

from __future__ import annotations

from typing import Any

import orjson

from onestory.intake.domain.submission import Accepted, Submission
from onestory.shared.errors import NotAllowed
from onestory.shared.fhir.definitions import operated_types

_REQUEST = "ServiceRequest"
_TEAM = "HealthcareService"


def refuse_operated(submission: Submission) -> None:
    """Raise `NotAllowed` for a resource of such a type by itself (http://hl7.org/fhir/R4/http.html#Status-Codes).

    Nor is a new ServiceRequest taken: the referral room answers it, or nobody does.
    """
    operated = operated_types().get(submission.resource_type)
    if operated is None:
        return
    error = NotAllowed(operated.instead, expression=submission.resource_type)
    creates = "create" not in operated.refused and submission.method != "POST" and not submission.resource_id
    error.headers["Allow"] = "GET, POST" if creates else "GET"
    raise error


def looks_sent(accepted: Accepted, bundle_type: str) -> bool:
    """Whether a statement reads like a referral that was sent: an active request of a team, or in a message."""
    if accepted.resource_type != _REQUEST or accepted.content is None:
        return False
    request: dict[str, Any] = orjson.loads(accepted.content)
    is_to_team = bundle_type == "message" or any(map(_is_team, request.get("performer", ())))
    return request.get("status") == "active" and is_to_team


def _is_team(performer: dict[str, Any]) -> bool:
    if performer.get("type") == _TEAM or f"{_TEAM}/" in performer.get("reference", ""):
        return True
    return str(performer.get("identifier", {}).get("system", "")).lower().endswith("/dos-service-id")

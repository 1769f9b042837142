"""How BaRS says an error: OperationOutcome with a code of its own beside each issue.

Source: NHS Booking and Referral API 1.4.0, the published error bodies of receivers (REC_*).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from onestory.shared.errors import Issue
from onestory.shared.fhir.outcome import outcome

CODES = "https://fhir.nhs.uk/CodeSystem/http-error-codes"
_BY_STATUS = {
    401: "REC_UNAUTHORIZED",
    403: "REC_FORBIDDEN",
    404: "REC_NOT_FOUND",
    405: "REC_METHOD_NOT_ALLOWED",
    406: "REC_NOT_ACCEPTABLE",
    408: "REC_TIMEOUT",
    409: "REC_CONFLICT",
    422: "REC_UNPROCESSABLE_ENTITY",
    425: "REC_TOO_EARLY",
    429: "REC_TOO_MANY_REQUESTS",
    500: "REC_SERVER_ERROR",
    501: "REC_NOT_IMPLEMENTED",
    503: "REC_SERVICE_UNAVAILABLE",
}


def code(status: int) -> str:
    """What a receiver calls this status."""
    return _BY_STATUS.get(status, "REC_BAD_REQUEST" if status < 500 else "REC_SERVER_ERROR")


def bars_outcome(issues: Sequence[Issue], contained: tuple[str, bytes] | None, status: int) -> bytes:
    """The OperationOutcome as a sender of BaRS expects it."""
    said: dict[str, Any] = orjson.loads(outcome(issues, contained))
    coding = {"system": CODES, "code": code(status)}
    told = [{**issue, "details": {"coding": [coding]}} for issue in said["issue"]]
    return orjson.dumps({**said, "issue": told})

"""The response to an error: the only table from error families to HTTP statuses, and the OperationOutcome."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from starlette.responses import Response

from onestory.shared import errors
from onestory.shared.fhir.outcome import operation_outcome
from onestory.shared.http.media_types import FHIR_JSON

OutcomeWriter = Callable[[Sequence[errors.Issue], tuple[str, bytes] | None, int], bytes]
"""Writes an OperationOutcome: issues, contained resource (extension URL and JSON), HTTP status -> JSON."""

# The only table from error family to status (FHIR R4 http.html#Status-Codes).
STATUS_BY_ERROR: dict[type[errors.OneStoryError], int] = {
    errors.Malformed: 400,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.NotAllowed: 405,
    errors.NotAcceptable: 406,
    errors.TimedOut: 408,
    errors.Conflict: 409,
    errors.Gone: 410,
    errors.PreconditionFailed: 412,
    errors.TooLarge: 413,
    errors.WrongMediaType: 415,
    errors.Unprocessable: 422,
    errors.TooEarly: 425,
    errors.PreconditionRequired: 428,
    errors.TooManyRequests: 429,
    errors.NotSupported: 501,
    errors.Unavailable: 503,
}
_EXTRA_HEADERS = {401: {"WWW-Authenticate": "Bearer"}, 429: {"Retry-After": "2"}, 503: {"Retry-After": "2"}}


def error_response(error: errors.OneStoryError, outcome_writer: OutcomeWriter | None = None) -> Response:
    """Return the response to an error: the status from the table, and an OperationOutcome."""
    status = next(STATUS_BY_ERROR[family] for family in type(error).__mro__ if family in STATUS_BY_ERROR)
    headers = {**_EXTRA_HEADERS.get(status, {}), **error.headers}
    if outcome_writer:
        body = outcome_writer(error.issues, error.contained, status)
    else:
        body = operation_outcome(error.issues, error.contained)
    return Response(body, status, headers, FHIR_JSON)

"""The families of errors. HTTP maps each family to a status, in one table; consumers retry or park.

A status in a docstring below is the HTTP status of the family.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Issue:
    """One issue of an OperationOutcome (FHIR R4, http://hl7.org/fhir/R4/operationoutcome.html).

    `code` is from http://hl7.org/fhir/issue-type. `expression` is the FHIRPath of the field. `diagnostics` explains the
    fault and its remedy. It never quotes a value from a resource.
    """

    code: str
    diagnostics: str
    expression: str = ""
    severity: str = "error"


class OneStoryError(Exception):
    """Every error that OneStory raises on purpose.

    `issues` is safe to show to the caller. `headers` are extra headers of the HTTP answer. `contained` is a resource
    that the answer shows: the URL of the extension that points to it, and its JSON.
    """

    code = "processing"

    def __init__(self, diagnostics: str, *, expression: str = "", code: str = "", issues: Sequence[Issue] = ()) -> None:
        super().__init__(diagnostics)
        self.headers: dict[str, str] = {}
        self.contained: tuple[str, bytes] | None = None
        self.issues: tuple[Issue, ...] = tuple(issues) or (Issue(code or self.code, diagnostics, expression),)


class Misconfigured(OneStoryError):
    """The operator must change a setting. The process does not start."""


class Malformed(OneStoryError):
    """400: the request cannot be read."""

    code = "structure"


class Unauthenticated(OneStoryError):
    """401: the token is missing or does not verify."""

    code = "login"


class Forbidden(OneStoryError):
    """403: the caller may not do this."""

    code = "forbidden"


class NotFound(OneStoryError):
    """404: it does not exist, or the caller may not see it."""

    code = "not-found"


class Gone(OneStoryError):
    """410: it existed, and its source has retracted it."""

    code = "deleted"


class NotAllowed(OneStoryError):
    """405: the address does not support this method. The answer names the methods in `Allow`."""

    code = "not-supported"


class NotSupported(OneStoryError):
    """501: a standard has this address, and this server does not support it."""

    code = "not-supported"


class NotAcceptable(OneStoryError):
    """406: the caller requests a format that is not supported."""

    code = "not-supported"


class Conflict(OneStoryError):
    """409: the request contradicts the current state."""

    code = "conflict"


class TimedOut(OneStoryError):
    """408: the time limit has passed. Nothing was done, or the answer was lost."""

    code = "timeout"


class TooEarly(OneStoryError):
    """425 (RFC 8470): the same request is still being processed."""

    code = "transient"


class PreconditionFailed(OneStoryError):
    """412: a precondition does not hold, or an append-only API cannot check it."""

    code = "conflict"


class PreconditionRequired(OneStoryError):
    """428 (RFC 6585): the request must name the version that it changes."""

    code = "required"


class TooManyRequests(OneStoryError):
    """429 (RFC 6585): the caller has too many connections, or too many bytes wait for it."""

    code = "throttled"


class TooLarge(OneStoryError):
    """413: the request is larger than a limit."""

    code = "too-long"


class WrongMediaType(OneStoryError):
    """415: the content type or encoding is not supported."""

    code = "not-supported"


class Unprocessable(OneStoryError):
    """422: readable, but it can never be used as it is. A consumer parks such a message."""

    code = "invalid"


class Unavailable(OneStoryError):
    """503: Kafka, PostgreSQL or another dependency does not answer. A consumer tries again later."""

    code = "transient"


def at_path(error: OneStoryError, path: str) -> OneStoryError:
    """Return an error of the same family whose first issue names this FHIRPath, unless it names one already."""
    issue = error.issues[0]
    return error if issue.expression else type(error)(issue.diagnostics, code=issue.code, expression=path)

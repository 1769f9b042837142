"""The families of errors. Each edge turns a family into its own answer, in one table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Issue:
    """One thing that is wrong: an OperationOutcome issue (FHIR R4, http://hl7.org/fhir/R4/operationoutcome.html).

    `code` is from http://hl7.org/fhir/issue-type. `expression` is the FHIRPath of the field. `diagnostics` says what is
    wrong and how to mend it, and never quotes a value from a resource.
    """

    code: str
    diagnostics: str
    expression: str = ""
    severity: str = "error"


class OneStoryError(Exception):
    """Anything that we raise on purpose. `issues` is what the caller may be told, `headers` what goes beside it.

    `contained` is a resource that the answer shows, as JSON, and the URL of the extension that points to it.
    """

    code = "processing"

    def __init__(self, diagnostics: str, *, expression: str = "", code: str = "", issues: Sequence[Issue] = ()) -> None:
        super().__init__(diagnostics)
        self.headers: dict[str, str] = {}
        self.contained: tuple[str, bytes] | None = None
        self.issues: tuple[Issue, ...] = tuple(issues) or (Issue(code or self.code, diagnostics, expression),)


class Misconfigured(OneStoryError):
    """The operator must change a setting; the process does not start."""


class Malformed(OneStoryError):
    """The request cannot be read at all: 400."""

    code = "structure"


class Unauthenticated(OneStoryError):
    """No token, or one that does not verify: 401."""

    code = "login"


class Forbidden(OneStoryError):
    """The caller may not do this: 403."""

    code = "forbidden"


class NotFound(OneStoryError):
    """No such thing, or none that the caller may know of: 404."""

    code = "not-found"


class Gone(OneStoryError):
    """It was here, and its source has withdrawn it: 410."""

    code = "deleted"


class NotAllowed(OneStoryError):
    """The route has no such method: 405."""

    code = "not-supported"


class NotAcceptable(OneStoryError):
    """The caller asks for a format that we do not write: 406."""

    code = "not-supported"


class Conflict(OneStoryError):
    """It contradicts what already stands: 409."""

    code = "conflict"


class TimedOut(OneStoryError):
    """It took longer than its limit, and nothing was done, or the answer was lost: 408."""

    code = "timeout"


class TooEarly(OneStoryError):
    """The same request is being worked on: 425 (RFC 8470)."""

    code = "transient"


class PreconditionFailed(OneStoryError):
    """A precondition that does not hold, or that an append-only door cannot keep: 412."""

    code = "conflict"


class PreconditionRequired(OneStoryError):
    """The request lacks the version that it is about: 428 (RFC 6585)."""

    code = "required"


class TooLarge(OneStoryError):
    """Larger than a limit: 413."""

    code = "too-long"


class WrongMediaType(OneStoryError):
    """A content type or encoding that we do not read: 415."""

    code = "not-supported"


class Unprocessable(OneStoryError):
    """Readable, but it can never be used as it is: 422 at a door, parked in a consumer."""

    code = "invalid"


class Unavailable(OneStoryError):
    """Something we depend on does not answer; the same call may succeed later: 503 at a door, retried in a consumer."""

    code = "transient"

"""The values that enter and leave the decision of intake, and the reading of a request's URL and conditions.

A `Submission` and its `RequestContext` enter. `apply_claims` adds what the publisher claims, and gives the
`SubmissionContext` that all later steps use. A `PreparedSubmission` leaves.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import unquote
from uuid import UUID

from onestory.shared.errors import Forbidden, Malformed, NotAllowed, OneStoryError, Unprocessable
from onestory.shared.events import BOOKING_SYSTEM, REFERRAL_SYSTEM, DirectoryChanged, RecordChanged, Source
from onestory.shared.fhir.definitions import operation_only_types, patient_compartment
from onestory.shared.identity import Keys, PersonIdentifier

if TYPE_CHECKING:
    from onestory.intake.domain.replacement import Replacement

_SYSTEM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")
_SEQUENCE = re.compile(r"[0-9]{1,19}")
_SEQUENCE_LIMIT = 2**63
# Identifier.system is a uri, Identifier.value is a string (http://hl7.org/fhir/R4/datatypes.html).
_URI = re.compile(r"[^\s\x00-\x1f]+")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_ESCAPED = re.compile(r"\\([\\,|$])|,")
# FHIR strings cannot contain NUL, so no system and no value with it is accepted.
_ALTERNATIVE = "\0"


@dataclass(frozen=True, slots=True)
class Submission:
    """One publish request.

    `resource_type` is empty for `POST /fhir`. `search` is the query string, still encoded. `preconditions` are the
    conditional headers of the request by name, without If-None-Exist. `dry_run`: decide, and publish nothing.
    """

    method: str
    body: bytes = b""
    resource_type: str = ""
    resource_id: str = ""
    search: str = ""
    if_none_exist: str | None = None
    preconditions: Mapping[str, str] = field(default_factory=dict)
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class PublisherClaims:
    """The optional claims of a publisher about its statement, from headers or from tags. None: no claim.

    `name_of_copies` is the name that only copies of the Bundle have, or empty. `replaced_system` is another system of
    the organisation, whose statements these replace.
    """

    system: str | None = None
    sequence: str | None = None
    complete_types: tuple[str, ...] | None = None
    name_of_copies: str = ""
    replaced_system: str = ""


@dataclass(frozen=True, slots=True)
class Deployment:
    """The settings that decide about submissions.

    `base_url` is the FHIR base URL of this deployment, without a slash at the end. `sequenced_sources` are the
    sources that must send a sequence, as `<organisation>/<system>`. `replaced_systems` has the name of the earlier
    system by the new source.
    """

    keys: Keys
    base_url: str
    sequenced_sources: frozenset[str] = frozenset()
    replaced_systems: Mapping[str, str] = field(default_factory=dict)
    max_bundle_entries: int = 10_000


@dataclass(frozen=True, slots=True)
class RequestContext:
    """The facts known before the body is read. `organisation`, `system` and `role` come from the verified token.

    `is_system_fixed`: the token names its system, and publishes for no other one.
    """

    deployment: Deployment
    organisation: str
    system: str
    received_at: datetime
    submission_id: UUID
    correlation_id: str
    idempotency_key: str = ""
    role: str = ""
    is_system_fixed: bool = False


@dataclass(frozen=True, slots=True)
class SubmissionContext:
    """The circumstances of one submission after the publisher's claims are applied.

    `submission_id` is new for each request. `idempotency_key` is empty when the request has none.
    """

    deployment: Deployment
    source: Source
    received_at: datetime
    submission_id: UUID
    correlation_id: str
    idempotency_key: str = ""
    sequence: int | None = None
    complete_types: tuple[str, ...] = ()
    role: str = ""
    name_of_copies: str = ""
    replaced_system: str = ""

    def fallback_local_id(self, index: int) -> str:
        """Return the local id of the entry at this index when nothing else names it.

        A repetition with the same idempotency key gives the same id.
        """
        return f"{self.idempotency_key or self.submission_id}/{index}"


@dataclass(frozen=True, slots=True)
class KnownResource:
    """The person, the source and the local id behind a shared id, as the record knows them.

    `linked_person_keys` are the person keys of all identities that are the same person. It is filled only for
    statements that a judgement names.
    """

    person: PersonIdentifier
    source: Source
    resource_type: str
    local_id: str
    linked_person_keys: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class AcceptedEntry:
    """An entry that went into an event. `content` is None for a retraction."""

    method: str
    resource_type: str
    shared_id: str
    event_id: UUID
    content: bytes | None


@dataclass(frozen=True, slots=True)
class ExistingEntry:
    """An entry of a conditional create that changes nothing: its source has the resource already.

    `content` is the resource as readers see it, and `received_at` when Kafka received that version.
    """

    resource_type: str
    shared_id: str
    event_id: UUID
    content: bytes
    received_at: datetime


@dataclass(frozen=True, slots=True)
class RefusedEntry:
    """An entry of a batch that went into no event."""

    error: OneStoryError


@dataclass(frozen=True, slots=True)
class ReadEntry:
    """A read in a batch: the URL below the FHIR base URL, and the value of If-None-Match or an empty text."""

    url: str
    if_none_match: str


@dataclass(frozen=True, slots=True)
class PreparedSubmission:
    """The events to publish, and the outcome of each entry in the order of the submission.

    `replacement` says which statements of another system the submission replaces, if it claims to.

    `bundle_type` is empty when the submission was one resource.
    """

    bundle_type: str
    events: tuple[RecordChanged | DirectoryChanged, ...]
    outcomes: tuple[AcceptedEntry | ExistingEntry | RefusedEntry | ReadEntry, ...] = field(default=())
    replacement: Replacement | None = None


def apply_claims(request: RequestContext, header: PublisherClaims, tag: PublisherClaims) -> SubmissionContext:
    """Return the context with the publisher's claims. A claim in a header takes precedence over one in a tag.

    Raises `Unprocessable` for a claim that is not valid, and `Forbidden` for a system name that OneStory reserves or
    that is not the system of the token.
    """
    if request.is_system_fixed:
        _refuse_other_system(request.system, "X-Source-System", header.system)
        _refuse_other_system(request.system, "meta.tag", tag.system)
    source = Source(request.organisation, _system(header.system or tag.system or request.system))
    return SubmissionContext(
        deployment=request.deployment,
        source=source,
        received_at=request.received_at,
        submission_id=request.submission_id,
        correlation_id=request.correlation_id,
        idempotency_key=request.idempotency_key,
        sequence=_sequence(header.sequence or tag.sequence, source, request.deployment),
        complete_types=_complete_types(header.complete_types or tag.complete_types or ()),
        role=request.role,
        name_of_copies=tag.name_of_copies,
        replaced_system=_system(header.replaced_system) if header.replaced_system else "",
    )


def _refuse_other_system(own: str, place: str, claimed: str | None) -> None:
    if claimed and claimed != own:
        raise Forbidden(
            f"{place}: it names another system than the token's claim system. Leave it out, send the system of the "
            "token, or use a token of that system."
        )


def _system(name: str) -> str:
    if not _SYSTEM.fullmatch(name):
        text = (
            "X-Source-System, or its tag, must have 1 to 64 characters of A-Z a-z 0-9 . _ : - as the name of a system."
        )
        raise Unprocessable(text, code="value")
    if name.lower() in (REFERRAL_SYSTEM, BOOKING_SYSTEM):
        raise Forbidden("OneStory reserves this system name for its own referrals and bookings. Send another name.")
    return name


def _sequence(claimed: str | None, source: Source, deployment: Deployment) -> int | None:
    declared = f"{source.organisation}/{source.system}" in deployment.sequenced_sources
    if not declared and claimed is not None:
        text = "X-Sequence: this source has not declared that it always sends a sequence. Leave the header out."
        raise Unprocessable(text, code="business-rule")
    if declared and not (claimed is not None and _SEQUENCE.fullmatch(claimed) and int(claimed) < _SEQUENCE_LIMIT):
        text = "X-Sequence: this source has declared that it always sends one. Send a whole number from 0."
        raise Unprocessable(text, code="required")
    return int(claimed) if claimed is not None else None


def _complete_types(types: tuple[str, ...]) -> tuple[str, ...]:
    if any(kind not in patient_compartment() for kind in types):
        text = "X-Complete-Types names a type outside the Patient compartment. Send resource types such as Condition."
        raise Unprocessable(text, code="value")
    return tuple(sorted(set(types)))


@dataclass(frozen=True, slots=True)
class RequestUrl:
    """The parts of a URL such as `Condition/c1?patient=...`. `search` is still encoded."""

    resource_type: str
    resource_id: str
    search: str


def parse_request_url(url: str, base_url: str, path: str) -> RequestUrl:
    """Return the parts of the URL in Bundle.entry.request (http://hl7.org/fhir/R4/http.html).

    The URL is relative, or begins with `base_url`. Raises `Unprocessable`, at `path`, for any other URL.
    """
    relative, _, search = url.removeprefix(base_url).removeprefix("/").partition("?")
    kind, _, rest = relative.partition("/")
    if "$" in relative:
        raise Unprocessable(
            "request.url names an operation, which a Bundle cannot carry. Send resources.",
            code="not-supported",
            expression=path,
        )
    if "/" in rest or not kind or ":" in kind:
        raise Unprocessable("request.url must be Type or Type/id.", code="value", expression=path)
    return RequestUrl(kind, rest, search)


def identifier_condition(search: str, path: str) -> str:
    """Return `system|value` from the condition `identifier=system|value`, percent-encoded or not.

    Raises `Malformed` for any other search. An identifier names the same resource for good; the result of another
    search could change before the projector reads the statement.
    """
    name, _, value = search.partition("=")
    system, bar, code = _unescaped(unquote(value)).partition("|")
    is_storable_pair = _URI.fullmatch(system) and code.strip() and not _CONTROL.search(code)
    if unquote(name) != "identifier" or "&" in search or not bar or not is_storable_pair:
        raise Malformed(
            "The only supported condition is identifier=system|value: it names one resource. Send that, or an id.",
            code="not-supported",
            expression=path,
        )
    return f"{system}|{code}"


def _unescaped(token: str) -> str:
    """Return a search value without its escapes (http://hl7.org/fhir/R4/search.html#escaping).

    A comma that is not escaped separates alternatives. It becomes `_ALTERNATIVE`.
    """
    return _ESCAPED.sub(lambda match: match[1] or _ALTERNATIVE, token)


def patient_parameter(search: str, path: str) -> str:
    """Return the value of `?patient=` without `Patient/`, or an empty string when there is no query.

    Raises `Malformed` for any other parameter.
    """
    if not search:
        return ""
    name, _, value = search.partition("=")
    if name != "patient" or "&" in search or not value:
        raise Malformed(
            "A delete by search is not supported. Send Type/id, with ?patient=<NHS number> for your own local id.",
            code="not-supported",
            expression=path,
        )
    return unquote(value).removeprefix("Patient/")


def refuse_operation_only_type(submission: Submission) -> None:
    """Raise `NotAllowed` for one resource of a type that only operations of a referral create and change.

    As a mere statement it would look like a referral that was sent, and no team would get it. Such a type may be part
    of a Bundle (http://hl7.org/fhir/R4/http.html#Status-Codes). A POST of a ServiceRequest comes here only when the
    referral service, which has that route, is not served.
    """
    operation_only = operation_only_types().get(submission.resource_type)
    if operation_only is None:
        return
    error = NotAllowed(operation_only.instead, expression=submission.resource_type)
    creates = "create" not in operation_only.refused and submission.method != "POST" and not submission.resource_id
    error.headers["Allow"] = "GET, POST" if creates else "GET"
    raise error

"""What the publisher is told: the answers of a FHIR server (http://hl7.org/fhir/R4/http.html)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from typing import Any

import orjson
from starlette.datastructures import Headers
from starlette.responses import Response

from onestory.intake.domain.item import looks_sent
from onestory.intake.domain.request import AcceptedEntry, PublisherClaims, RefusedEntry
from onestory.intake.publish import MOST_NAMED, PublishedSubmission, Seen
from onestory.shared.errors import Issue
from onestory.shared.fhir.dates import format_instant
from onestory.shared.fhir.outcome import outcome
from onestory.shared.http.app import refusal
from onestory.shared.http.openapi import FHIR_JSON

# What the headers of a publish say (FHIR R4 http.html, RFC 7240 Prefer, and our own).

# The headers that ask for something which an append-only door cannot keep.
_PRECONDITIONS = ("If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since")
_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
LONGEST_WAIT_S = 60


@dataclass(frozen=True, slots=True)
class Preferences:
    """`returns` is minimal, representation or OperationOutcome; `wait_s` is 0 where nothing shall be waited for.

    `stated`: the caller said so.
    """

    returns: str = "minimal"
    wait_s: int = 0
    stated: bool = True


UNSTATED = Preferences("representation", 2, stated=False)
"""For one resource, to whoever states nothing: FHIR clients take ids from the answer, and read what they wrote."""


def said(headers: Headers) -> PublisherClaims:
    """What the headers say of the statement."""
    types = tuple(part.strip() for part in headers.get("X-Complete-Types", "").split(",") if part.strip())
    return PublisherClaims(headers.get("X-Source-System"), headers.get("X-Sequence"), types or None)


def preconditions(headers: Headers) -> list[str]:
    """The names of those that were sent."""
    return [name for name in _PRECONDITIONS if name in headers]


def preferences(headers: Headers) -> Preferences | None:
    """What the caller would like, if anything. As RFC 7240 has it, a preference that makes no sense is none."""
    if "Prefer" not in headers:
        return None
    asked = [part.strip() for part in ",".join(headers.getlist("Prefer")).replace(";", ",").split(",")]
    stated = dict(part.partition("=")[::2] for part in reversed(asked))
    returns, wait = stated.get("return", ""), stated.get("wait", "")
    return Preferences(
        returns=returns if returns in ("representation", "OperationOutcome") else "minimal",
        wait_s=min(int(wait), LONGEST_WAIT_S) if wait.isascii() and wait.isdecimal() and len(wait) < 9 else 0,
    )


def traceparent(headers: Headers) -> str:
    """The W3C trace context that came with the request, or empty."""
    given = headers.get("traceparent", "")
    return given if _TRACEPARENT.fullmatch(given) else ""


_REASONS = {
    200: "OK", 201: "Created", 204: "No Content", 400: "Bad Request", 403: "Forbidden", 412: "Precondition Failed",
    413: "Content Too Large", 415: "Unsupported Media Type", 422: "Unprocessable Content",
}  # fmt: skip
_TAKEN = Issue("informational", "Kafka has it; readers see it a moment later.", severity="information")
_VISIBLE = Issue("informational", "Kafka has it, and readers see it.", severity="information")
_SUPERSEDED = Issue(
    "informational",
    "Another statement of yours stands for this resource: it has a later meta.lastUpdated or sequence. This one is in "
    "the history.",
    severity="warning",
)
_NOT_SENT = Issue(
    "informational",
    "An active request of a team was published as part of the record: nobody was sent a referral. To refer somebody, "
    "POST /fhir/ServiceRequest (a BaRS message: POST /$process-message).",
    severity="warning",
)
_OUTCOME_TAKEN, _OUTCOME_VISIBLE, _OUTCOME_SUPERSEDED = (outcome([each]) for each in (_TAKEN, _VISIBLE, _SUPERSEDED))


class Answers:
    """Makes answers. `base_url` is that of FHIR."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url

    def to(self, published: PublishedSubmission, at: datetime, prefer: Preferences, seen: Seen) -> Response:
        """The answer to a publish that Kafka has acknowledged."""
        headers = dict(published.headers)
        if seen.visible and prefer.stated:
            headers["Preference-Applied"] = f"wait={prefer.wait_s}"
        if seen.superseded:
            headers["X-OneStory-Superseded"] = ", ".join(sorted(seen.superseded)[:MOST_NAMED])
        kind = published.prepared.bundle_type
        told = [_VISIBLE if seen.visible else _TAKEN, *([_SUPERSEDED] if seen.superseded else [])]
        if any(isinstance(each, AcceptedEntry) and looks_sent(each, kind) for each in published.prepared.outcomes):
            told.append(_NOT_SENT)
        says = outcome(told)
        match kind:
            case "":
                return self._to_resource(published, at, prefer, headers, says)
            case "transaction" | "batch":
                return self._to_bundle(published, at, prefer, headers, seen)
            case _:
                return Response(says, 202, headers, FHIR_JSON)

    def _to_resource(
        self, published: PublishedSubmission, at: datetime, prefer: Preferences, headers: dict[str, str], says: bytes
    ) -> Response:
        accepted = published.prepared.outcomes[0]
        assert isinstance(accepted, AcceptedEntry)
        headers |= {
            "Location": self._location(accepted),
            "ETag": _etag(accepted),
            "Last-Modified": format_datetime(at, usegmt=True),
        }
        status = _status(accepted)
        if prefer.returns == "OperationOutcome":
            return Response(says, 200 if status == 204 else status, headers, FHIR_JSON)
        if prefer.returns == "representation" and accepted.content is not None:
            return Response(_representation(accepted), status, headers, FHIR_JSON)
        return Response(None, status, headers)

    def _to_bundle(
        self, published: PublishedSubmission, at: datetime, prefer: Preferences, headers: dict[str, str], seen: Seen
    ) -> Response:
        kind = published.prepared.bundle_type
        entries = [self._entry(each, at, prefer, seen) for each in published.prepared.outcomes]
        body = b'{"resourceType":"Bundle","type":"%b-response","entry":[%b]}' % (kind.encode(), b",".join(entries))
        return Response(body, 200, headers, FHIR_JSON)

    def _entry(self, each: AcceptedEntry | RefusedEntry, at: datetime, prefer: Preferences, seen: Seen) -> bytes:
        if isinstance(each, RefusedEntry):
            answer = refusal(each.error)
            return _response({"status": _line(answer.status_code)}, bytes(answer.body))
        response = {
            "status": _line(_status(each)),
            "location": self._location(each),
            "etag": _etag(each),
            "lastModified": format_instant(at),
        }
        written = _response(response, _told(each, prefer, seen))
        if prefer.returns == "representation" and each.content is not None:
            return b'{"resource":%b,%b' % (_representation(each), written[1:])
        return written

    def _location(self, accepted: AcceptedEntry) -> str:
        return f"{self._base_url}/{accepted.resource_type}/{accepted.shared_id}/_history/{accepted.event_id}"


def _told(each: AcceptedEntry, prefer: Preferences, seen: Seen) -> bytes:
    """The outcome of one entry: what was asked for, and what is not as it looks."""
    if looks_sent(each, ""):
        return outcome([_NOT_SENT, *([_SUPERSEDED] if each.shared_id in seen.superseded else [])])
    if each.shared_id in seen.superseded:
        return _OUTCOME_SUPERSEDED
    if prefer.returns != "OperationOutcome":
        return b""
    return _OUTCOME_VISIBLE if seen.visible else _OUTCOME_TAKEN


def _response(response: dict[str, Any], said: bytes) -> bytes:
    written = orjson.dumps(response)
    return b'{"response":%b}' % (written[:-1] + b',"outcome":%b}' % said if said else written)


def _status(accepted: AcceptedEntry) -> int:
    # An append-only door cannot know whether a PUT is the first of its kind: it is an update.
    return {"PUT": 200, "DELETE": 204}.get(accepted.method, 201)


def _line(status: int) -> str:
    return f"{status} {_REASONS.get(status, '')}".rstrip()


def _etag(accepted: AcceptedEntry) -> str:
    return f'W/"{accepted.event_id}"'


def _representation(accepted: AcceptedEntry) -> bytes:
    # Without lastUpdated: that is the broker's time, which readers get to see.
    assert accepted.content is not None
    return accepted.content.replace(b'"meta":{', b'"meta":{"versionId":"%b",' % str(accepted.event_id).encode(), 1)

"""Writes the responses of a publish (http://hl7.org/fhir/R4/http.html), as the Prefer header asks (RFC 7240)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from typing import Any

import msgspec
import orjson
from starlette.datastructures import Headers
from starlette.responses import Response

from onestory.intake.batch_answers import batch_read_entry
from onestory.intake.domain.request import (
    AcceptedEntry,
    ExistingEntry,
    PreparedSubmission,
    ReadEntry,
    RefusedEntry,
)
from onestory.intake.publish import MAX_EVENT_IDS, PublishedSubmission, PublishVisibility
from onestory.shared.errors import Issue
from onestory.shared.fhir.bundle import etag
from onestory.shared.fhir.dates import format_instant
from onestory.shared.fhir.outcome import operation_outcome
from onestory.shared.http import media_types
from onestory.shared.http.error_response import error_response
from onestory.shared.http.internal import InternalAnswer
from onestory.shared.http.openapi import FHIR_JSON

MAX_WAIT_S = 60
# FHIR clients take the id from a representation, and read the resource at once.
DEFAULT_WAIT_S = 2
_REQUEST = "ServiceRequest"
_TEAM = "HealthcareService"
_REASONS = {
    200: "OK", 201: "Created", 204: "No Content", 400: "Bad Request", 403: "Forbidden", 412: "Precondition Failed",
    413: "Content Too Large", 415: "Unsupported Media Type", 422: "Unprocessable Content",
}  # fmt: skip
_ACKNOWLEDGED = Issue("informational", "Kafka has the statement. Readers see it in a moment.", severity="information")
_VISIBLE = Issue("informational", "Kafka has the statement, and readers see it.", severity="information")
_SUPERSEDED = Issue(
    "informational",
    "Another statement of yours is current here: it has a later meta.lastUpdated or sequence. This one is in "
    "the history.",
    severity="warning",
)
_NOT_SENT = Issue(
    "informational",
    "An active request to a team was published as part of the record. No team was informed. To send a referral, "
    "send POST /fhir/ServiceRequest, or for a BaRS message POST /$process-message.",
    severity="warning",
)
_EXISTS = Issue(
    "informational",
    "You have a resource with this identifier already. Nothing was published.",
    severity="information",
)
_OUTCOME_ACKNOWLEDGED, _OUTCOME_VISIBLE, _OUTCOME_SUPERSEDED, _OUTCOME_EXISTS = (
    operation_outcome([issue]) for issue in (_ACKNOWLEDGED, _VISIBLE, _SUPERSEDED, _EXISTS)
)


@dataclass(frozen=True, slots=True)
class Preferences:
    """The caller's preferences for the response.

    `returns` is minimal, representation or OperationOutcome. `wait_s` is the longest wait for readers, in seconds; 0
    means no wait. `wait_stated` is False when the caller did not ask for a wait.
    """

    returns: str = "minimal"
    wait_s: int = 0
    wait_stated: bool = True


DEFAULT_FOR_RESOURCE = Preferences("representation", DEFAULT_WAIT_S, wait_stated=False)
"""For one resource without Prefer."""


def preferences(headers: Headers) -> Preferences | None:
    """Return the preferences in Prefer, or None without that header. An unknown value is ignored (RFC 7240)."""
    if "Prefer" not in headers:
        return None
    by_name = media_types.preferences(headers.getlist("Prefer"))
    returns, wait = by_name.get("return", ""), by_name.get("wait", "")
    returns = returns if returns in ("representation", "OperationOutcome") else "minimal"
    if wait.isascii() and wait.isdecimal() and len(wait) < 9:
        return Preferences(returns, min(int(wait), MAX_WAIT_S))
    return Preferences(returns, DEFAULT_WAIT_S if returns == "representation" else 0, wait_stated=False)


class PublishResponses:
    """Writes the responses of a deployment with this FHIR base URL."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url

    def write(
        self,
        published: PublishedSubmission,
        received_at: datetime,
        prefer: Preferences,
        visibility: PublishVisibility,
        reads: Sequence[InternalAnswer] = (),
    ) -> Response:
        """Return the response to a publish that Kafka has acknowledged. `reads` answer the reads of a batch."""
        headers = dict(published.headers)
        if visibility.visible and prefer.wait_stated:
            headers["Preference-Applied"] = f"wait={prefer.wait_s}"
        if visibility.superseded:
            headers["X-OneStory-Superseded"] = ", ".join(sorted(visibility.superseded)[:MAX_EVENT_IDS])
        kind = published.prepared.bundle_type
        if kind in ("transaction", "batch"):
            return self._bundle(published, received_at, prefer, headers, visibility, reads)
        outcome = _outcome(published, visibility)
        if kind and prefer.returns == "OperationOutcome":
            return Response(outcome, 202, headers, FHIR_JSON)
        if kind:
            # All entries are published, or none, as in a transaction.
            return self._bundle(published, received_at, prefer, headers, visibility)
        return self._resource(published, received_at, prefer, headers, outcome)

    def write_dry_run(self, prepared: PreparedSubmission) -> Response:
        """Return the response to a submission that was decided, and of which nothing was published."""
        accepted = Counter(each.resource_type for each in prepared.outcomes if isinstance(each, AcceptedEntry))
        refused = [each.error for each in prepared.outcomes if isinstance(each, RefusedEntry)]
        texts = [f"Nothing was published. Would be published: {_counted(accepted)}."]
        if replacement := prepared.replacement:
            texts.append(f"Would be replaced of system {replacement.system}: {_counted(replacement.replaced)}.")
            texts.append(f"Would stay of system {replacement.system}: {_counted(replacement.staying)}.")
            if replacement.later:
                later = _counted(replacement.later)
                texts.append(f"Would stay because they are later than the time of this Bundle: {later}.")
        issues = [Issue("informational", text, severity="information") for text in texts]
        issues += [issue for error in refused for issue in error.issues]
        return Response(operation_outcome(issues), 200, media_type=FHIR_JSON)

    def _resource(
        self,
        published: PublishedSubmission,
        received_at: datetime,
        prefer: Preferences,
        headers: dict[str, str],
        outcome: bytes,
    ) -> Response:
        entry = published.prepared.outcomes[0]
        assert isinstance(entry, AcceptedEntry | ExistingEntry)
        headers |= {
            "Location": self._location(entry),
            "ETag": etag(entry.event_id),
            "Last-Modified": format_datetime(_modified_at(entry, received_at), usegmt=True),
        }
        status = _status(entry, published)
        if prefer.returns == "OperationOutcome":
            return Response(outcome, 200 if status == 204 else status, headers, FHIR_JSON)
        if prefer.returns == "representation" and entry.content is not None:
            return Response(_representation(entry), status, headers, FHIR_JSON)
        return Response(None, status, headers)

    def _bundle(
        self,
        published: PublishedSubmission,
        received_at: datetime,
        prefer: Preferences,
        headers: dict[str, str],
        visibility: PublishVisibility,
        reads: Sequence[InternalAnswer] = (),
    ) -> Response:
        kind = published.prepared.bundle_type
        answers = iter(reads)
        entries = [
            batch_read_entry(next(answers))
            if isinstance(entry, ReadEntry)
            else self._entry(entry, published, received_at, prefer, visibility, kind)
            for entry in published.prepared.outcomes
        ]
        is_request = kind in ("transaction", "batch")
        name = kind if is_request else "transaction"
        body = b'{"resourceType":"Bundle","type":"%b-response","entry":[%b]}' % (name.encode(), b",".join(entries))
        return Response(body, 200 if is_request else 202, headers, FHIR_JSON)

    def _entry(
        self,
        entry: AcceptedEntry | ExistingEntry | RefusedEntry,
        published: PublishedSubmission,
        received_at: datetime,
        prefer: Preferences,
        visibility: PublishVisibility,
        kind: str,
    ) -> bytes:
        if isinstance(entry, RefusedEntry):
            refusal = error_response(entry.error)
            current = {"etag": entry.error.headers["ETag"]} if "ETag" in entry.error.headers else {}
            return _entry_response({"status": _status_line(refusal.status_code), **current}, bytes(refusal.body))
        response = {
            "status": _status_line(_status(entry, published)),
            "location": self._location(entry),
            "etag": etag(entry.event_id),
            "lastModified": format_instant(_modified_at(entry, received_at)),
        }
        written = _entry_response(response, _entry_outcome(entry, prefer, visibility, kind))
        if prefer.returns == "representation" and entry.content is not None:
            return b'{"resource":%b,%b' % (_representation(entry), written[1:])
        return written

    def _location(self, entry: AcceptedEntry | ExistingEntry) -> str:
        return f"{self._base_url}/{entry.resource_type}/{entry.shared_id}/_history/{entry.event_id}"


def _counted(resources: Mapping[str, int]) -> str:
    """Return how many resources there are of each type, such as `Condition 2, Observation 7`."""
    return ", ".join(f"{kind} {count}" for kind, count in sorted(resources.items())) or "nothing"


def _outcome(published: PublishedSubmission, visibility: PublishVisibility) -> bytes:
    """Return the OperationOutcome about the whole publish."""
    if all(isinstance(outcome, ExistingEntry) for outcome in published.prepared.outcomes):
        return _OUTCOME_EXISTS
    issues = [_VISIBLE if visibility.visible else _ACKNOWLEDGED, *([_SUPERSEDED] if visibility.superseded else [])]
    kind = published.prepared.bundle_type
    accepted = (outcome for outcome in published.prepared.outcomes if isinstance(outcome, AcceptedEntry))
    if any(_looks_like_sent_referral(entry, kind) for entry in accepted):
        issues.append(_NOT_SENT)
    return operation_outcome(issues)


def _entry_outcome(
    entry: AcceptedEntry | ExistingEntry, prefer: Preferences, visibility: PublishVisibility, kind: str
) -> bytes:
    """Return the OperationOutcome of one entry: always with a warning, else only if Prefer asks for it, or empty."""
    if isinstance(entry, ExistingEntry):
        return _OUTCOME_EXISTS if prefer.returns == "OperationOutcome" else b""
    superseded = entry.shared_id in visibility.superseded
    if _looks_like_sent_referral(entry, kind):
        return operation_outcome([_NOT_SENT, *([_SUPERSEDED] if superseded else [])])
    if superseded:
        return _OUTCOME_SUPERSEDED
    if prefer.returns != "OperationOutcome":
        return b""
    return _OUTCOME_VISIBLE if visibility.visible else _OUTCOME_ACKNOWLEDGED


def _entry_response(response: dict[str, Any], outcome: bytes) -> bytes:
    written = orjson.dumps(response)
    return b'{"response":%b}' % (written[:-1] + b',"outcome":%b}' % outcome if outcome else written)


def _status(entry: AcceptedEntry | ExistingEntry, published: PublishedSubmission) -> int:
    if isinstance(entry, ExistingEntry):
        return 200
    if entry.method == "DELETE":
        return 204
    return 201 if published.created(entry) else 200


def _modified_at(entry: AcceptedEntry | ExistingEntry, received_at: datetime) -> datetime:
    return entry.received_at if isinstance(entry, ExistingEntry) else received_at


def _status_line(status: int) -> str:
    return f"{status} {_REASONS.get(status, '')}".rstrip()


def _representation(entry: AcceptedEntry | ExistingEntry) -> bytes:
    assert entry.content is not None
    if isinstance(entry, ExistingEntry):
        return entry.content
    # Without lastUpdated: readers get the broker's time there, and intake does not know it.
    return entry.content.replace(b'"meta":{', b'"meta":{"versionId":"%b",' % str(entry.event_id).encode(), 1)


def _looks_like_sent_referral(accepted: AcceptedEntry, bundle_type: str) -> bool:
    """Return whether a statement looks like a referral that was sent: an active request to a team, or in a message.

    The publisher is warned, because no team was informed.
    """
    if accepted.resource_type != _REQUEST or accepted.content is None:
        return False
    request = _REQUEST_DECODER.decode(accepted.content)
    is_to_team = bundle_type == "message" or any(map(_is_team, request.performer))
    return request.status == "active" and is_to_team


def _is_team(performer: _Performer) -> bool:
    if performer.type == _TEAM or f"{_TEAM}/" in performer.reference:
        return True
    return performer.identifier.system.lower().endswith("/dos-service-id")


class _PerformerIdentifier(msgspec.Struct, frozen=True, gc=False):
    system: str = ""


class _Performer(msgspec.Struct, gc=False):
    type: str = ""
    reference: str = ""
    identifier: _PerformerIdentifier = _PerformerIdentifier()


class _RequestedPerformers(msgspec.Struct):
    status: str = ""
    performer: list[_Performer] = []


_REQUEST_DECODER = msgspec.json.Decoder(_RequestedPerformers)

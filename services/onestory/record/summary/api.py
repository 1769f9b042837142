"""The operations `Patient/[id]/$summary` and `ServiceRequest/[id]/$story`, which also accepts the Task's id.

`$summary` answers with an IPS document of what the caller sees (http://hl7.org/fhir/uv/ips/STU2/), or with an HTML page
of its narrative that loads nothing else. `$story` answers with the record as it was when a referral was sent, and as it
is now. Both are defined in `schemas/fhir/`: `OperationDefinition-summary.json` and
`OperationDefinition-servicerequest-story.json`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import orjson
from starlette.requests import Request
from starlette.responses import Response

from onestory.record.merge.view import changes, changes_view
from onestory.record.projector import referral_store
from onestory.record.projector.referral_store import ReferralSending
from onestory.record.read import request as read_request
from onestory.record.read.access import RecordView, not_found
from onestory.record.read.operations import PatientOperation, StartedOperation
from onestory.record.read.request import ReadContext
from onestory.record.search.parameters import READ_PARAMETERS, SUMMARY_PARAMETERS, single_value
from onestory.record.summary.document import BUNDLE_PROFILE
from onestory.record.summary.page import summary_page
from onestory.record.summary.service import Summaries, SummaryPatient, summary_patient
from onestory.shared.errors import Malformed
from onestory.shared.fhir.bundle import etag
from onestory.shared.fhir.dates import format_instant
from onestory.shared.http.app import prefers_html
from onestory.shared.http.openapi import HTML
from onestory.shared.policy import Caller, Visibility

# The page contains no markup of a source. If it ever did, these headers stop a browser from loading or running it.
_NOT_CACHED = {"Cache-Control": "no-store"}
"""The copy for the person must not be taken for the ordinary summary, nor stay on a shared computer."""
_PAGE_HEADERS = {
    "Vary": "Accept",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}


class SummaryOperation:
    """`Patient/[id]/$summary`, by NHS number or by the id of a source's Patient."""

    def __init__(self, context: ReadContext, summaries: Summaries) -> None:
        self._record_access = context.record_access
        self._operation = PatientOperation(context, "$summary", SUMMARY_PARAMETERS)
        self._summaries = summaries

    async def __call__(self, request: Request, caller: Caller) -> Response:
        started, record_access = await self._operation.start(request, caller), self._record_access
        _refuse_other_profile(single_value(started.parameters, "profile"))
        for_person = is_copy_for_person(single_value(started.parameters, "copy"))
        summaries = self._summaries
        view, at, patient = started.view, started.at, summary_patient(started.view, started.requested_id)
        if view.decision.visibility is Visibility.NONE:
            return await record_access.answer_audited(view, started.access, Response)
        if for_person:
            summary = await summaries.for_person(view, patient, at or datetime.now(UTC))
        elif at:
            summary = await summaries.at(view, patient, at)
        else:
            summary = await summaries.current(view, patient, caller.organisation)

        def produce() -> Response:
            if prefers_html(request):
                headers = _PAGE_HEADERS | (_NOT_CACHED if for_person else {})
                return Response(
                    summary_page(summary.document, links_to_copy=not for_person), media_type=HTML, headers=headers
                )
            digest = record_access.digest(view)
            headers = {"ETag": etag(summary.digest), "Vary": "Accept", read_request.RECORD_DIGEST: digest}
            headers |= _NOT_CACHED if for_person else {}
            return read_request.conditional_response(request, lambda: summary.document, headers)

        return await record_access.answer_audited(view, started.access, produce)


def is_copy_for_person(copy: str | None) -> bool:
    """Whether the copy for the person is requested. Raises `Malformed` for any other copy."""
    if copy not in (None, "person"):
        raise Malformed("copy: it is not supported. Send person, or leave it out.", code="not-supported")
    return copy == "person"


def _refuse_other_profile(profile: str | None) -> None:
    if profile is not None and profile.partition("|")[0] != BUNDLE_PROFILE:
        raise Malformed(f"profile: it is not supported. Send {BUNDLE_PROFILE}, or leave it out.", code="not-supported")


@dataclass(frozen=True, slots=True)
class RecordAsSent:
    """The record at the time when a referral was sent, and the changes since.

    `at` is the moment of the record. It is a little after `sent_at`: when Kafka received the referral.
    """

    sent_at: datetime
    at: datetime
    document: bytes
    changed: bytes


def story_parameters(referral_id: str, now: bytes, as_sent: RecordAsSent | None) -> bytes:
    """The Parameters as JSON bytes; `as_sent` is None for a draft. The documents and changes are JSON resources."""
    reference = {"name": "referral", "valueReference": {"reference": f"ServiceRequest/{referral_id}"}}
    parts = [orjson.dumps(reference)]
    if as_sent is not None:
        sent = {"name": "sentAt", "valueInstant": format_instant(as_sent.sent_at)}
        moment = {"name": "asOf", "valueInstant": format_instant(as_sent.at)}
        parts += [orjson.dumps(sent), orjson.dumps(moment), _resource("asSent", as_sent.document)]
    parts.append(_resource("now", now))
    if as_sent is not None:
        parts.append(_resource("changed", as_sent.changed))
    return b'{"resourceType":"Parameters","parameter":[%b]}' % b",".join(parts)


def _resource(name: str, resource: bytes) -> bytes:
    return b'{"name":"%b","resource":%b}' % (name.encode(), resource)


class StoryOperation:
    """`GET ServiceRequest/[id]/$story`, for callers who see the referral in the person's record.

    The story holds only what the caller sees of that record.
    """

    def __init__(self, context: ReadContext, summaries: Summaries) -> None:
        self._context = context
        self._operation = PatientOperation(context, "$story", READ_PARAMETERS)
        self._summaries = summaries

    async def __call__(self, request: Request, caller: Caller) -> Response:
        started, context = await self._operation.start(request, caller), self._context
        view = started.view
        if view.decision.visibility is Visibility.NONE:
            return await context.record_access.answer_audited(view, started.access, Response)
        sending = await referral_store.referral_sending(context.database, started.ref.person_key, started.requested_id)
        if sending is None or not any(entry.shared_id == sending.referral_id for entry in view.entries):
            return await context.record_access.answer_audited(view, started.access, _not_found)
        now = await self._summaries.current(view, _story_patient(started, view), caller.organisation)
        as_sent = await self._as_sent(started, sending)
        story = story_parameters(sending.referral_id, now.document, as_sent)
        return await context.record_access.answer_audited(
            view, started.access, lambda: read_request.json_response(story)
        )

    async def _as_sent(self, started: StartedOperation, sending: ReferralSending) -> RecordAsSent | None:
        if sending.sent_at is None or sending.broker_time is None:
            return None
        then = await self._context.record_access.view(started.ref, started.access, at=sending.broker_time)
        document = await self._summaries.at(then, _story_patient(started, then), sending.broker_time)
        before, facts = await self._summaries.facts(then), await self._summaries.facts(started.view)
        changed = changes_view(
            changes(before.merged, facts.merged), facts.merged, facts.contents, facts.included_contents
        )
        return RecordAsSent(sending.sent_at, sending.broker_time, document.document, changed)


def _story_patient(started: StartedOperation, view: RecordView) -> SummaryPatient:
    """The Patient of the NHS number that the referral belongs to, if it belongs to one."""
    key = started.ref.person_key
    return summary_patient(view, view.person.numbers.get(key, key))


def _not_found() -> Response:
    raise not_found()

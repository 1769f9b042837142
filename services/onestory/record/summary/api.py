"""`GET Patient/[id]/$summary`: an IPS document of what the caller sees, or a page to read.

The operation is `schemas/fhir/OperationDefinition-summary.json`; the document http://hl7.org/fhir/uv/ips/STU2/.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from html import escape

import msgspec
import orjson
from starlette.requests import Request
from starlette.responses import Response

from onestory.record.merge.view import changes, changes_view
from onestory.record.projector import referral_store
from onestory.record.projector.referral_store import Sending
from onestory.record.read import request as read_request
from onestory.record.read.access import View, absent
from onestory.record.read.operations import Begun, PatientOperation
from onestory.record.read.request import Context
from onestory.record.search.parameters import IN_READ, IN_SUMMARY
from onestory.record.summary.service import Summaries, Whom, whom
from onestory.shared.fhir.bundle import etag
from onestory.shared.fhir.dates import format_instant
from onestory.shared.http.app import wants_html
from onestory.shared.http.caller import Caller
from onestory.shared.http.openapi import HTML
from onestory.shared.policy import Visibility

# A summary as a page to read or print: the narrative of its document, and nothing that has to be fetched.


class _Narrative(msgspec.Struct):
    div: str = ""


class _Section(msgspec.Struct):
    title: str = ""
    text: _Narrative = msgspec.field(default_factory=_Narrative)


class _Resource(msgspec.Struct):
    title: str = ""
    text: _Narrative = msgspec.field(default_factory=_Narrative)
    section: list[_Section] = []


class _PageEntry(msgspec.Struct):
    resource: msgspec.Raw


class _Document(msgspec.Struct):
    entry: list[_PageEntry]


_document = msgspec.json.Decoder(_Document)
_composition = msgspec.json.Decoder(_Resource)
_STYLE = (
    "body{font:1rem/1.5 Arial,sans-serif;color:#212b32;max-width:60rem;margin:1rem auto;padding:0 1rem}"
    "table{border-collapse:collapse;width:100%}caption{text-align:left;font-weight:bold}"
    "th,td{border:1px solid #768692;padding:.3rem .5rem;text-align:left;vertical-align:top;overflow-wrap:anywhere}"
    "th[scope=row]{font-weight:normal}"
    "@media print{body{max-width:none;margin:0}tr,h2{break-inside:avoid;break-after:auto}}"
)


def page(document: bytes) -> bytes:
    """HTML of a document that `summarise` made."""
    composition = _composition.decode(_document.decode(document).entry[0].resource)
    sections = "".join(
        f'<section aria-labelledby="s{place}"><h2 id="s{place}">{escape(each.title)}</h2>{each.text.div}</section>'
        for place, each in enumerate(composition.section)
    )
    title = escape(composition.title)
    return (
        '<!DOCTYPE html><html lang="en-GB"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}</style></head>"
        f"<body><main><h1>{title}</h1>{composition.text.div}{sections}</main></body></html>"
    ).encode()


# Nothing in it is markup of a source; were it so after all, a browser would still fetch, run and send nothing.
_OF_THE_PAGE = {
    "Vary": "Accept",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}


class AskSummary:
    """The operation, for an NHS number or the id of a source's Patient."""

    def __init__(self, context: Context, summaries: Summaries) -> None:
        self._reader = context.reader
        self._operation = PatientOperation(context, "$summary", IN_SUMMARY)
        self._summaries = summaries

    async def __call__(self, request: Request, caller: Caller) -> Response:
        begun, reader, summaries = await self._operation.begin(request, caller), self._reader, self._summaries
        view, at, patient = begun.view, begun.at, whom(begun.view, begun.asked_id)
        if view.decision.visibility is Visibility.NONE:
            return await reader.show(view, begun.access, Response)
        made = summaries.at(view, patient, at) if at else summaries.current(view, patient, caller.organisation)
        summary = await made

        def produce() -> Response:
            if wants_html(request):
                return Response(page(summary.document), media_type=HTML, headers=_OF_THE_PAGE)
            digest = reader.digest(view)
            headers = {"ETag": etag(summary.digest), "Vary": "Accept", read_request.RECORD_DIGEST: digest}
            return read_request.unless_known(request, lambda: summary.document, headers)

        return await reader.show(view, begun.access, produce)


# The story of a referral as FHIR: the Parameters that `$story` answers with.
#
# The operation is `schemas/fhir/OperationDefinition-servicerequest-story.json`. Resources are carried as they were
# made.


@dataclass(frozen=True, slots=True)
class AsSent:
    """What the record showed when a referral was sent, and what became of its facts since.

    `at` is the moment of the record, a little after `sent_at`: when Kafka had the referral.
    """

    sent_at: datetime
    at: datetime
    document: bytes
    changed: bytes


def story_parameters(referral_id: str, now: bytes, as_sent: AsSent | None) -> bytes:
    """The Parameters as JSON bytes; `as_sent` is None for a draft. Documents and changes are resources as JSON."""
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


# `GET ServiceRequest/[id]/$story`, or of its Task: what was known of the person when it was sent, and what is now.
#
# The operation is `schemas/fhir/OperationDefinition-servicerequest-story.json`.


class AskStory:
    """The operation, for whoever sees the referral in the person's record: of that record, what they see."""

    def __init__(self, context: Context, summaries: Summaries) -> None:
        self._context = context
        self._operation = PatientOperation(context, "$story", IN_READ)
        self._summaries = summaries

    async def __call__(self, request: Request, caller: Caller) -> Response:
        begun, context = await self._operation.begin(request, caller), self._context
        view = begun.view
        if view.decision.visibility is Visibility.NONE:
            return await context.reader.show(view, begun.access, Response)
        found = await referral_store.sending(context.database, begun.asked.person_key, begun.asked_id)
        if found is None or not any(entry.shared_id == found.referral_id for entry in view.entries):
            return await context.reader.show(view, begun.access, _refuse)
        now = await self._summaries.current(view, _whom(begun, view), caller.organisation)
        as_sent = await self._as_sent(begun, found)
        story = story_parameters(found.referral_id, now.document, as_sent)
        return await context.reader.show(view, begun.access, lambda: read_request.body(story))

    async def _as_sent(self, begun: Begun, found: Sending) -> AsSent | None:
        if found.sent_at is None or found.broker_time is None:
            return None
        then = await self._context.reader.view(begun.asked, begun.access, at=found.broker_time)
        document = await self._summaries.at(then, _whom(begun, then), found.broker_time)
        before, facts = await self._summaries.facts(then), await self._summaries.facts(begun.view)
        changed = changes_view(changes(before.merged, facts.merged), facts.merged, facts.contents)
        return AsSent(found.sent_at, found.broker_time, document.document, changed)


def _whom(begun: Begun, view: View) -> Whom:
    """The Patient of the number that the referral stands under, where it stands under one."""
    key = begun.asked.person_key
    return whom(view, view.person.numbers.get(key, key))


def _refuse() -> Response:
    raise absent()

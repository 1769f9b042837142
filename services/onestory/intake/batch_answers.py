"""Writes the answers to the reads of a batch as entries of its response.

FHIR R4, http://hl7.org/fhir/R4/http.html#transaction-response.
"""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from http import HTTPStatus

import orjson

from onestory.shared.errors import Issue
from onestory.shared.fhir.dates import format_instant
from onestory.shared.fhir.outcome import operation_outcome
from onestory.shared.http.internal import InternalAnswer
from onestory.shared.http.openapi import FHIR_JSON

_TOO_LARGE = Issue("too-long", "The answers of this batch are too large together. Send this read as its own request.")
_NO_ANSWER = Issue("transient", "The read had no answer in time. Send it again.")
_NOT_FHIR = Issue("not-supported", "The answer is not FHIR JSON. Leave _format out, or send the read by itself.")


def batch_read_entry(answer: InternalAnswer) -> bytes:
    """The entry for a read: the resource, or in `response.outcome` the reason why there is none."""
    is_fhir = answer.headers.get("Content-Type", "").startswith(FHIR_JSON)
    if answer.body and not is_fhir:
        return _entry(406, operation_outcome([_NOT_FHIR]))
    if answer.status < 300:
        return b'{"resource":%b,"response":%b}' % (answer.body, orjson.dumps(_response(answer)))
    if answer.status < 400:
        return b'{"response":%b}' % orjson.dumps(_response(answer))
    missing = _TOO_LARGE if answer.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE else _NO_ANSWER
    return _entry(answer.status, answer.body or operation_outcome([missing]))


def _entry(status: int, outcome: bytes) -> bytes:
    return b'{"response":{"status":%b,"outcome":%b}}' % (orjson.dumps(_status_line(status)), outcome)


def _response(answer: InternalAnswer) -> dict[str, str]:
    response = {"status": _status_line(answer.status)}
    if "ETag" in answer.headers:
        response["etag"] = answer.headers["ETag"]
    if "Last-Modified" in answer.headers:
        response["lastModified"] = format_instant(parsedate_to_datetime(answer.headers["Last-Modified"]))
    return response


def _status_line(status: int) -> str:
    return f"{status} {HTTPStatus(status).phrase}"

"""A Binary is read in its own media type, or as FHIR JSON by a caller who asks for that."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response

from onestory.record.read.binary import BinaryRead
from onestory.shared.errors import NotAcceptable
from onestory.shared.policy import Caller

LETTER = b"Dear Dr Rao,\xc2\xa0\x00\xff"
CALLER = Caller("A81001", "emis", "s", "R8000", "", "direct-care")
PDF, HTML = "application/pdf", "text/html; charset=utf-8"
_FHIR = "application/fhir+json"


def read(
    *accept: str, content_type: str = "text/plain", query: str = "", status: int = 200, **elements: Any
) -> Response:
    """The answer to a read of a Binary with this letter, with these lines of Accept."""
    binary = {
        "resourceType": "Binary",
        "id": "b",
        "contentType": content_type,
        "data": base64.b64encode(LETTER).decode(),
        **elements,
    }

    async def resource(request: Request, _caller: Caller) -> Response:
        assert request.path_params == {"id": "b", "resource_type": "Binary"}
        headers = {"ETag": 'W/"1"', "Last-Modified": "Mon, 30 Nov 2026 09:00:00 GMT"}
        body = json.dumps(binary).encode() if status == 200 else b""
        return Response(body, status, headers, media_type=_FHIR)

    scope: Mapping[str, Any] = {
        "type": "http",
        "method": "GET",
        "path": "/fhir/Binary/b",
        "path_params": {"id": "b"},
        "query_string": query.encode(),
        "headers": [(b"accept", each.encode()) for each in accept],
    }
    return asyncio.run(BinaryRead(resource)(Request(dict(scope)), CALLER))


def media_type(response: Response) -> str:
    return response.headers["Content-Type"]


@pytest.mark.parametrize(
    "accept",
    [
        (),
        ("*/*",),
        ("text/plain",),
        ("image/*",),
        (PDF,),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",),
        ("text/plain;q=0.5, application/fhir+json;q=0.4",),
        ("text/plain, application/fhir+json",),
        ("application/fhir+json;q=0, */*",),
        ("application/fhir+xml, */*",),
        ("application/*",),
        # The default of a common JavaScript client.
        ("application/json, text/plain, */*",),
    ],
)
def test_a_caller_who_asks_for_no_fhir_gets_the_content(accept: tuple[str, ...]) -> None:
    answer = read(*accept)

    assert (answer.status_code, answer.body, media_type(answer)) == (200, LETTER, "text/plain")
    assert answer.headers["ETag"] == 'W/"1"'
    assert answer.headers["Last-Modified"] == "Mon, 30 Nov 2026 09:00:00 GMT"
    assert answer.headers["Vary"] == "Accept"


@pytest.mark.parametrize(
    "accept",
    [
        ("application/fhir+json",),
        ("Application/FHIR+JSON; fhirVersion=4.0",),
        ("application/fhir+json, */*;q=0.1",),
        ("*/*, application/fhir+json;q=0.9",),
        ("text/plain;q=0.4", "application/fhir+json;q=0.5"),
        ("application/json",),
        ("application/json+fhir",),
    ],
)
def test_a_caller_who_asks_for_fhir_json_gets_the_resource(accept: tuple[str, ...]) -> None:
    answer = read(*accept)

    assert media_type(answer) == _FHIR
    assert json.loads(bytes(answer.body))["data"] == base64.b64encode(LETTER).decode()
    assert answer.headers["Vary"] == "Accept"


def test_format_takes_precedence_over_accept() -> None:
    assert media_type(read("text/plain", query="_format=json")) == _FHIR
    assert media_type(read("text/plain", query="_format=application/fhir+json")) == _FHIR
    assert media_type(read(_FHIR, query="_format=text/plain")) == "text/plain"


@pytest.mark.parametrize("query", ["_summary=true", "_elements=contentType"])
def test_a_part_of_the_resource_is_shown_as_a_resource(query: str) -> None:
    assert media_type(read(query=query)) == _FHIR


def test_json_content_is_content_for_a_caller_who_asks_for_json() -> None:
    assert media_type(read("application/json", content_type="application/json")) == "application/json"
    assert media_type(read(_FHIR, content_type="application/json")) == _FHIR
    assert media_type(read("application/json", content_type="application/json", query="_format=json")) == _FHIR


@pytest.mark.parametrize(("accept", "query"), [("application/fhir+xml", ""), ("*/*", "_format=xml")])
def test_fhir_xml_is_refused(accept: str, query: str) -> None:
    with pytest.raises(NotAcceptable):
        read(accept, query=query)


@pytest.mark.parametrize(
    ("content_type", "disposition"),
    [
        ("text/plain", "inline"),
        ("text/plain; charset=utf-8", "inline"),
        (PDF, "inline"),
        ("image/png", "inline"),
        ("image/svg+xml", "attachment"),
        (HTML, "attachment"),
        ("application/xml", "attachment"),
        ("application/dicom", "attachment"),
    ],
)
def test_a_browser_runs_nothing_that_the_content_holds(content_type: str, disposition: str) -> None:
    answer = read(content_type=content_type)

    assert media_type(answer) == content_type
    assert answer.headers["Content-Disposition"] == disposition
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize("content_type", ["", "text", "text/html\r\nX-Evil: 1", "text/plain; charset=\u00fc"])
def test_a_media_type_that_is_none_is_not_sent(content_type: str) -> None:
    assert media_type(read(content_type=content_type)) == "application/octet-stream"


def test_the_security_context_is_named_and_data_may_be_absent_or_wrapped() -> None:
    answer = read(securityContext={"reference": "Patient/9990000018"}, data="TGV0\r\n dGVy")

    assert answer.headers["X-Security-Context"] == "Patient/9990000018"
    assert answer.body == b"Letter"
    assert read(data=None).body == b""


def test_data_that_is_no_base64_is_shown_as_a_resource() -> None:
    assert media_type(read(data="?")) == _FHIR


def test_an_answer_without_a_body_stays_as_it_is() -> None:
    answer = read(status=304)

    assert (answer.status_code, answer.body, answer.headers["Vary"]) == (304, b"", "Accept")


@pytest.mark.parametrize("separator", ["\n", "\r", "\r\n", "\x0b", "\x0c"])
def test_a_media_type_with_a_line_feed_is_not_sent_as_a_header(separator: str) -> None:
    answered = read(content_type=f"text/plain{separator};charset=utf-8")

    assert answered.headers["Content-Type"] == "application/octet-stream"
    assert read(content_type="text/plain \t;charset=utf-8").headers["Content-Type"] == "text/plain \t;charset=utf-8"

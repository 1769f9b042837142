"""Reads the content of a Binary in its own media type (FHIR R4, http://hl7.org/fhir/R4/binary.html#rest).

A Binary is answered as a FHIR resource only to a caller who asks for FHIR JSON. Every other caller gets the content as
it is, also without Accept. The read itself, with policy and audit, is that of any resource.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple

import orjson
from starlette.requests import Request
from starlette.responses import Response

from onestory.shared.errors import NotAcceptable
from onestory.shared.fhir.json import object_of, text_of
from onestory.shared.http.media_types import MediaRange, media_ranges
from onestory.shared.policy import Caller
from onestory.shared.runtime import run_in_thread_if

BINARY = "Binary"
# `json` is a value of `_format`, and `application/json+fhir` the name in FHIR DSTU2.
_FHIR_JSON = ("application/fhir+json", "application/json+fhir", "json")
_JSON = ("application/json", "text/json")
_FHIR_XML = ("application/fhir+xml", "application/xml+fhir", "xml")
_UNKNOWN = "application/octet-stream"
_MEDIA_TYPE = re.compile(r"[!#$&^\w.+-]{1,127}/[!#$&^\w.+-]{1,127}(?:[ \t]*;[\x20-\x7e]{0,200})?", re.ASCII)
# A browser may show these. It saves all others, because it could run a script in them.
_SHOWN = re.compile(r"text/plain|application/pdf|(?:image|audio|video)/(?!svg)[\w.+-]+", re.ASCII)
_SAFE = {
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
    "Vary": "Accept",
}
# With these parameters the answer is a part of the resource, perhaps without its data.
_PARTS = ("_summary", "_elements")
_LARGE_BYTES = 256_000

Endpoint = Callable[[Request, Caller], Awaitable[Response]]


class BinaryRead:
    """The interactions read and vread of a Binary. `read` answers them with the resource."""

    def __init__(self, read: Endpoint) -> None:
        self._read = read

    async def __call__(self, request: Request, caller: Caller) -> Response:
        _refuse_other_fhir_formats(request)
        request.scope["path_params"] = {**request.path_params, "resource_type": BINARY}
        response = await self._read(request, caller)
        if response.status_code != 200:
            response.headers.setdefault("Vary", "Accept")
            return response
        return await run_in_thread_if(len(response.body) > _LARGE_BYTES, lambda: _in_wanted_format(request, response))


class RawContent(NamedTuple):
    """The content of a Binary: its media type, its bytes, and the reference of its security context or ""."""

    media_type: str
    data: bytes
    security_context: str


def raw_content(binary: Mapping[str, Any]) -> RawContent | None:
    """The content of a Binary; None if its data is not base64, which older versions accepted."""
    stated = text_of(binary, "contentType").strip()
    try:
        data = base64.b64decode("".join(text_of(binary, "data").split()), validate=True)
    except (binascii.Error, ValueError):
        return None
    context = text_of(object_of(binary, "securityContext"), "reference")
    return RawContent(stated if _MEDIA_TYPE.fullmatch(stated) else _UNKNOWN, data, context)


def wants_resource(media_type: str, accept: Sequence[str], format_parameter: str = "") -> bool:
    """Whether a caller wants the Binary as FHIR JSON, and not its content of this media type.

    `accept` has the lines of Accept. `format_parameter` is `_format`, which takes precedence. A range such as `*/*`
    asks for no FHIR. Plain JSON means FHIR JSON to a caller who accepts nothing else, unless the content is JSON too.
    """
    own = media_type.partition(";")[0].strip().lower()
    requested = _requested_formats(accept, format_parameter)
    only_json = all(each.name in _FHIR_JSON + _JSON for each in requested)
    fhir = _FHIR_JSON + _JSON if only_json and own not in _JSON else _FHIR_JSON
    wanted = _rank(requested, fhir)
    return wanted > _rank(requested, (own,)) and wanted.quality > 0


class _ContentRank(NamedTuple):
    """How much a caller wants a format. The greater rank wins."""

    quality: float
    earliness: int


def _rank(requested: Sequence[MediaRange], names: Sequence[str]) -> _ContentRank:
    ranks = (_ContentRank(each.quality, -place) for place, each in enumerate(requested) if each.name in names)
    return max(ranks, default=_ContentRank(0.0, -len(requested)))


def _requested_formats(accept: Sequence[str], format_parameter: str) -> list[MediaRange]:
    # A client that does not encode the "+" of application/fhir+json sends a space.
    return media_ranges([format_parameter.replace("/fhir ", "/fhir+")] if format_parameter.strip() else accept)


def _refuse_other_fhir_formats(request: Request) -> None:
    requested = _requested_formats(request.headers.getlist("Accept"), request.query_params.get("_format", ""))
    if requested and all(each.name in _FHIR_XML for each in requested):
        raise NotAcceptable(
            "FHIR XML is not supported. Send Accept: application/fhir+json for the resource, or */* for its content."
        )


def _in_wanted_format(request: Request, response: Response) -> Response:
    content = raw_content(orjson.loads(response.body))
    accept, format_parameter = request.headers.getlist("Accept"), request.query_params.get("_format", "")
    is_part = any(name in request.query_params for name in _PARTS)
    if content is None or is_part or wants_resource(content.media_type, accept, format_parameter):
        response.headers["Vary"] = "Accept"
        return response
    media_type = content.media_type
    kept = {name: response.headers[name] for name in ("ETag", "Last-Modified") if name in response.headers}
    shown = _SHOWN.fullmatch(media_type.partition(";")[0].strip().lower())
    headers = {**kept, **_SAFE, "Content-Disposition": "inline" if shown else "attachment"}
    if content.security_context.isascii() and content.security_context.isprintable() and content.security_context:
        headers["X-Security-Context"] = content.security_context
    answer = Response(content.data, headers=headers)
    # Starlette would add a charset that the source did not state.
    answer.headers["Content-Type"] = media_type
    return answer

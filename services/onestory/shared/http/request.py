"""A request's body: FHIR JSON, perhaps compressed, never more of it in memory than the limit."""

from __future__ import annotations

import codecs
import zlib
from collections.abc import AsyncIterator

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request

from onestory.shared.errors import Malformed, TooLarge, WrongMediaType

MEDIA_TYPES = ("application/fhir+json", "application/json")
_GZIP = 16 + zlib.MAX_WBITS


async def read_body(request: Request, limit: int, *, may_lack: bool = False) -> bytes:
    """The bytes after decompression, without a byte order mark; with `may_lack` none may be sent, and no media type.

    Raises `WrongMediaType`, `TooLarge`, or `Malformed` for broken compression.
    """
    if may_lack and "Content-Type" not in request.headers and not await _gather(request.stream(), 0):
        return b""
    refuse_other_media(request.headers.get("Content-Type", ""))
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    match encoding:
        case "identity" | "":
            body = await _gather(request.stream(), limit)
        case "gzip" | "x-gzip":
            body = await _gather(_inflate(request.stream(), limit), limit)
        case _:
            raise WrongMediaType("Send the body as it is, or with Content-Encoding: gzip.")
    return body.removeprefix(codecs.BOM_UTF8)


def refuse_other_media(content_type: str) -> None:
    """Raise `WrongMediaType` for anything but FHIR R4 JSON in UTF-8 (http://hl7.org/fhir/R4/http.html#mime-type)."""
    media, *parameters = (part.strip().lower() for part in content_type.split(";"))
    if media not in MEDIA_TYPES:
        raise WrongMediaType("Only FHIR R4 JSON is read here: send Content-Type: application/fhir+json.")
    for name, _, value in (parameter.partition("=") for parameter in parameters):
        if name.strip() == "charset" and value.strip(' "') not in ("utf-8", "utf8"):
            raise WrongMediaType("FHIR JSON is UTF-8: send charset=utf-8, or none.")
        if name.strip() == "fhirversion" and value.strip(' "') not in ("4.0", "4.0.1"):
            raise WrongMediaType("Only FHIR R4 is read here: send fhirVersion=4.0, or none.")


async def _gather(chunks: AsyncIterator[bytes], limit: int) -> bytes:
    body = bytearray()
    try:
        async for chunk in chunks:
            body += chunk
            if len(body) > limit:
                raise _too_large(limit)
    except ClientDisconnect as error:
        raise Malformed("The connection ended before the body did.") from error
    return bytes(body)


async def _inflate(chunks: AsyncIterator[bytes], limit: int) -> AsyncIterator[bytes]:
    """What the chunks hold, a megabyte at a time: a bomb is noticed before it has gone off."""
    gzip = zlib.decompressobj(_GZIP)
    read = 0
    try:
        async for chunk in chunks:
            waiting = chunk
            read += len(chunk)
            if read > limit:  # packed emptiness never grows
                raise _too_large(limit)
            while waiting:
                if gzip.eof:
                    gzip = zlib.decompressobj(_GZIP)
                yield gzip.decompress(waiting, 1 << 20)
                waiting = gzip.unused_data if gzip.eof else gzip.unconsumed_tail
    except zlib.error as error:
        raise Malformed("The body is not gzip, though Content-Encoding says so.") from error
    if not gzip.eof:
        raise Malformed("The gzip body ends too early.")


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"The body is larger than {limit} bytes after decompression: split it.")


# Headers that several rooms read.

LONGEST_KEY = 255


def idempotency_key(headers: Headers) -> str:
    """The key, or empty. Raises `Malformed` for one that is too long or not printable ASCII."""
    key = headers.get("Idempotency-Key", "")
    if len(key) > LONGEST_KEY or not key.isascii() or not (key == "" or key.isprintable()):
        raise Malformed(f"Idempotency-Key has 1 to {LONGEST_KEY} printable ASCII characters.", code="value")
    if "Idempotency-Key" in headers and not key.strip():
        raise Malformed("Idempotency-Key is empty: send one, or leave it out.", code="value")
    return key

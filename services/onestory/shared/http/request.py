"""Reads the body of a request (FHIR JSON, perhaps gzip) within a limit, the Idempotency-Key, and If-None-Match."""

from __future__ import annotations

import codecs
import zlib
from collections.abc import AsyncIterator
from functools import partial

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request

from onestory.shared.errors import Malformed, TooLarge, WrongMediaType
from onestory.shared.fhir.bundle import entity_tags
from onestory.shared.http.limits import HeldBody
from onestory.shared.http.media_types import FHIR_JSON, FHIR_VERSIONS, JSON
from onestory.shared.runtime import run_in_thread_if
from onestory.shared.turns import without_turn

MEDIA_TYPES = (FHIR_JSON, JSON)
MAX_IDEMPOTENCY_KEY_LENGTH = 255
_GZIP = 16 + zlib.MAX_WBITS
# Each member costs a new decompressor, even an empty one of 20 bytes.
_MAX_GZIP_MEMBERS = 2_000
# Deflate expands by a factor of about 1,000 at most, so a shorter piece becomes less than 1 MB.
_SHORT_COMPRESSED = 1_000
# A body of this size usually arrives together with its head.
_SHORT_BODY = 65_536


async def read_body(request: Request, limit: int, *, optional: bool = False) -> bytes:
    """Return the body after decompression, without a byte order mark. `limit` is in bytes.

    With `optional` a request may have neither body nor media type; then the result is empty. Raises `WrongMediaType`,
    `TooLarge`, or `Malformed` for broken compression.
    """
    if optional and "Content-Type" not in request.headers and not await _gather(request, request.stream(), 0):
        return b""
    require_fhir_json(request.headers.get("Content-Type", ""))
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    match encoding:
        case "identity" | "":
            chunks: AsyncIterator[bytes] = request.stream()
        case "gzip" | "x-gzip":
            chunks = _inflate(request.stream(), limit)
        case _:
            raise WrongMediaType(
                "This Content-Encoding is not supported. Send the body uncompressed, or with Content-Encoding: gzip."
            )
    if _is_short(request.headers.get("Content-Length", "")):
        body = await _gather(request, chunks, limit)
    else:
        # A client may send slowly. Meanwhile its other requests go on.
        async with without_turn():
            body = await _gather(request, chunks, limit)
    return body.removeprefix(codecs.BOM_UTF8)


def _is_short(content_length: str) -> bool:
    return (
        content_length.isdecimal()
        and len(content_length) <= len(str(_SHORT_BODY))
        and int(content_length) <= _SHORT_BODY
    )


def require_fhir_json(content_type: str) -> None:
    """Raise `WrongMediaType` for anything but FHIR R4 JSON in UTF-8 (http://hl7.org/fhir/R4/http.html#mime-type)."""
    media, *parameters = (part.strip().lower() for part in content_type.split(";"))
    if media not in MEDIA_TYPES:
        raise WrongMediaType("Only FHIR R4 JSON is supported. Send Content-Type: application/fhir+json.")
    for name, _, value in (parameter.partition("=") for parameter in parameters):
        if name.strip() == "charset" and value.strip(' "') not in ("utf-8", "utf8"):
            raise WrongMediaType("FHIR JSON must be UTF-8. Send charset=utf-8, or no charset.")
        if name.strip() == "fhirversion" and value.strip(' "') not in FHIR_VERSIONS:
            raise WrongMediaType("Only FHIR R4 is supported. Send fhirVersion=4.0, or no fhirVersion.")


async def _gather(request: Request, chunks: AsyncIterator[bytes], limit: int) -> bytes:
    """Return the body. Its bytes count for the caller until the request is answered."""
    body, state = bytearray(), request.scope["state"]
    held = state.setdefault("held_body", HeldBody(state["bodies"], state.get("owner", ())))
    try:
        async for chunk in chunks:
            held.add(len(chunk))
            body += chunk
            if len(body) > limit:
                raise _too_large(limit)
    except ClientDisconnect as error:
        raise Malformed("The connection ended before the end of the body.") from error
    return bytes(body)


async def _inflate(chunks: AsyncIterator[bytes], limit: int) -> AsyncIterator[bytes]:
    """Yield the decompressed body in pieces of 1 MB at most, so that the caller stops a decompression bomb in time.

    A piece is decompressed in a thread when it may be long: zlib lets other threads run meanwhile.
    """
    gzip = zlib.decompressobj(_GZIP)
    read, members = 0, 1
    try:
        async for chunk in chunks:
            compressed = chunk
            read += len(chunk)
            if read > limit:  # empty gzip members never add to the body
                raise _too_large(limit)
            while compressed:
                if gzip.eof:
                    gzip, members = zlib.decompressobj(_GZIP), members + 1
                    if members > _MAX_GZIP_MEMBERS:
                        raise _too_many_members()
                yield await run_in_thread_if(
                    len(compressed) > _SHORT_COMPRESSED, partial(gzip.decompress, compressed, 1 << 20)
                )
                compressed = gzip.unused_data if gzip.eof else gzip.unconsumed_tail
    except zlib.error as error:
        raise Malformed("Content-Encoding is gzip, but the body is not gzip.") from error
    if not gzip.eof:
        raise Malformed("The gzip body is incomplete.")


def _too_many_members() -> TooLarge:
    return TooLarge(f"The gzip body has more than {_MAX_GZIP_MEMBERS} members. Compress it as one.", code="too-costly")


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"The body is larger than {limit} bytes after decompression. Split it.")


def idempotency_key(headers: Headers) -> str:
    """Return the Idempotency-Key, or empty. Raises `Malformed` for a key that is too long or not printable ASCII."""
    key = headers.get("Idempotency-Key", "")
    if len(key) > MAX_IDEMPOTENCY_KEY_LENGTH or not key.isascii() or not (key == "" or key.isprintable()):
        raise Malformed(
            f"Idempotency-Key must have 1 to {MAX_IDEMPOTENCY_KEY_LENGTH} printable ASCII characters.", code="value"
        )
    if "Idempotency-Key" in headers and not key.strip():
        raise Malformed("Idempotency-Key is empty: send one, or leave it out.", code="value")
    return key


def has_version(request: Request, etag: str) -> bool:
    """Whether If-None-Match names this ETag, or is `*`. Weak and strong tags compare equal (RFC 9110, 13.1.2)."""
    wanted = request.headers.getlist("If-None-Match")
    return bool(wanted) and (wanted == ["*"] or entity_tags(etag)[0] in entity_tags(",".join(wanted)))

"""Headers, paths and encodings that no client should send."""

from __future__ import annotations

import base64
import gzip
import zlib
from collections.abc import Callable
from urllib.parse import quote

from tests.hostile.odd_values import SHARED_FORM, SQL

_LONG = "x" * 9_000


def _token(head: bytes) -> str:
    return f"Bearer {base64.urlsafe_b64encode(head).decode().rstrip('=')}.e30.AAAA"


ODD_HEADERS: tuple[tuple[str, str], ...] = (
    *[("Idempotency-Key", value) for value in ("", " ", "x" * 255, "x" * 256, _LONG, "é", "a\tb", SQL, "../..", "%00")],
    *[("X-Sequence", value) for value in ("", "-1", "1", "1e9", "9" * 19, "9" * 5_000, "٣", "NaN", SQL)],
    *[
        ("X-Source-System", value)
        for value in ("", "é", "a b", "x" * 64, "x" * 65, _LONG, SQL, "..", "a/b", "a|b", "\x01")
    ],
    *[
        ("X-Complete-Types", value)
        for value in ("Condition", "Nonsense", ",,,", "Condition," * 900, "Patient", SQL, "é")
    ],
    *[
        ("Prefer", value)
        for value in ("wait=", "wait=-1", "wait=1e9", "wait=" + "9" * 400, "return=x", "é", ";;=,", "wait=0")
    ],
    *[
        ("Content-Type", value)
        for value in (
            "",
            "text/html",
            "application/xml",
            "application/fhir+json;charset=utf-16",
            'application/json; charset="',
            "multipart/form-data; boundary=x",
            "application/fhir+json;fhirVersion=3.0",
            ";;;",
            "é",
            _LONG,
        )
    ],
    *[("Content-Encoding", value) for value in ("br", "deflate", "gzip, gzip", "GZIP", "é", "chunked", "x" * 500)],
    *[("Accept", value) for value in ("", "application/xml", "text/html;q=0", "é", "*/*;q=nonsense", _LONG)],
    *[("If-Match", value) for value in ('W/"1"', "*", "é")],
    *[("If-None-Exist", value) for value in ("identifier=a|b", "é", "?", _LONG)],
    *[("X-Correlation-Id", value) for value in ("é", "x" * 200, "a\tb", "${x}", "9990000018")],
    *[("traceparent", value) for value in ("00-" + "0" * 32 + "-" + "0" * 16 + "-00", "é", _LONG)],
    *[
        ("Authorization", value)
        for value in (
            "",
            "Bearer",
            "Bearer ",
            "Bearer x",
            "Bearer é",
            "Basic eDp4",
            "Bearer a.b.c",
            "Bearer " + ".".join(("e30",) * 3),
            "Bearer " + _LONG,
            "bearer\t",
            "Digest " + SQL,
            _token(b'{"alg":"none","kid":"x"}'),
            _token(b'{"alg":7,"kid":[]}'),
            _token(b"[]"),
            _token(b"\xff"),
            _token(b'{"alg":"RS256","kid":"\\ud800"}'),
            _token(b'{"a":' * 3_000 + b"1" + b"}" * 3_000),
        )
    ],
    *[("Host", value) for value in ("", "évil", "[::1", "127.0.0.1:99999", "a b", "x" * 300)],
    ("Expect", "100-continue"),
    ("Expect", "nonsense"),
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("TE", "trailers"),
    ("X-HTTP-Method-Override", "DELETE"),
    ("X-Forwarded-For", SQL),
    ("Cookie", _LONG),
    ("Range", "bytes=0-1"),
)
ODD_ADDRESSES: tuple[tuple[str, str], ...] = (
    ("PUT", "/fhir"),
    ("PATCH", "/fhir/Condition/1"),
    ("DELETE", "/fhir"),
    ("DELETE", "/fhir/Condition"),
    ("OPTIONS", "/fhir"),
    ("POST", "/fhir/"),
    ("POST", "/fhir//"),
    ("POST", "//fhir"),
    ("POST", "/fhir/Bundle"),
    ("POST", "/fhir/Nonsense"),
    ("POST", "/fhir/patient"),
    ("POST", "/fhir/$validate"),
    ("POST", "/fhir/Patient/$match"),
    ("POST", "/fhir/../fhir"),
    ("POST", "/fhir/%00"),
    ("PUT", "/fhir/Condition/%00"),
    ("PUT", "/fhir/Condition/" + "x" * 65),
    ("PUT", "/fhir/Condition/é"),
    ("PUT", "/fhir/Condition/%ff%fe"),
    ("PUT", "/fhir/Condition/a%2Fb"),
    ("PUT", "/fhir/Condition/" + quote(SQL)),
    ("PUT", "/fhir/Condition?identifier=a|b"),
    ("PUT", "/fhir/Condition?" + "x=y&" * 2_000),
    ("PUT", f"/fhir/Condition/{SHARED_FORM}"),
    ("DELETE", "/fhir/Condition/c1"),
    ("DELETE", "/fhir/Condition/c1?patient=9990000019"),
    ("DELETE", "/fhir/Condition/c1?patient=%00"),
    ("DELETE", f"/fhir/Condition/{SHARED_FORM}"),
    ("DELETE", "/fhir/Condition/c1?patient=" + quote(SQL)),
    ("DELETE", "/fhir/Condition/.."),
    ("DELETE", "/fhir/Condition/c1?patient=%ed%a0%80"),
    ("POST", "/fhir/Condition?x=" + "y" * 9_000),
    ("TRACE", "/fhir"),
    ("POST", "/metrics"),
    ("POST", "/health/live"),
    ("POST", "/"),
    ("POST", "/fhir/metadata"),
    ("POST", "/fhir/Condition/_search"),
)


def _flipped(body: bytes) -> bytes:
    packed = bytearray(gzip.compress(body))
    packed[len(packed) // 2] ^= 0xFF
    return bytes(packed)


_BOMB = gzip.compress(bytes(50_000_000), 1)
PACKINGS: dict[str, Callable[[bytes], tuple[str, bytes]]] = {
    "gzip": lambda body: ("gzip", gzip.compress(body)),
    "gzip in parts": lambda body: ("gzip", gzip.compress(body[:50]) + gzip.compress(body[50:])),
    "gzip with a byte changed": lambda body: ("gzip", _flipped(body)),
    "gzip cut short": lambda body: ("gzip", gzip.compress(body)[:-9]),
    "gzip and more": lambda body: ("gzip", gzip.compress(body) + b"junk"),
    "gzip that is none": lambda body: ("gzip", body),
    "gzip twice": lambda body: ("gzip", gzip.compress(gzip.compress(body))),
    "zlib as gzip": lambda body: ("gzip", zlib.compress(body)),
    "nothing as gzip": lambda body: ("gzip", b""),
    "a thousand empty members": lambda body: ("gzip", gzip.compress(b"") * 1_000 + gzip.compress(body)),
    "a gzip bomb": lambda body: ("gzip", _BOMB),
    "gzip that says identity": lambda body: ("identity", gzip.compress(body)),
}

"""What the headers of a publish say (FHIR R4 http.html, RFC 7240 Prefer, and our own)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from starlette.datastructures import Headers

from onestory.intake.domain.submission import Said

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


def said(headers: Headers) -> Said:
    """What the headers say of the statement."""
    types = tuple(part.strip() for part in headers.get("X-Complete-Types", "").split(",") if part.strip())
    return Said(headers.get("X-Source-System"), headers.get("X-Sequence"), types or None)


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

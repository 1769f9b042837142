"""Headers that several rooms read."""

from __future__ import annotations

from starlette.datastructures import Headers

from onestory.shared.errors import Malformed

LONGEST_KEY = 255


def idempotency_key(headers: Headers) -> str:
    """The key, or empty. Raises `Malformed` for one that is too long or not printable ASCII."""
    key = headers.get("Idempotency-Key", "")
    if len(key) > LONGEST_KEY or not key.isascii() or not (key == "" or key.isprintable()):
        raise Malformed(f"Idempotency-Key has 1 to {LONGEST_KEY} printable ASCII characters.", code="value")
    if "Idempotency-Key" in headers and not key.strip():
        raise Malformed("Idempotency-Key is empty: send one, or leave it out.", code="value")
    return key

"""Limits on the size of FHIR JSON: the entries of a Bundle, and all values of a body."""

from __future__ import annotations

import contextlib
from typing import Any

import msgspec

from onestory.shared.errors import TooLarge


class _Bundle(msgspec.Struct):
    entry: list[msgspec.Raw] = []


_BUNDLE = msgspec.json.Decoder(_Bundle)


def refuse_too_many_entries(body: bytes, limit: int) -> None:
    """Raise `TooLarge` for a Bundle with more entries. A body that is no Bundle passes: validation tells what it is."""
    # Each entry is an object, so most bodies need no parsing.
    if body.count(b"{") <= limit:
        return
    with contextlib.suppress(msgspec.MsgspecError, RecursionError):
        if len(_BUNDLE.decode(body).entry) > limit:
            text = f"The Bundle has more than {limit} entries. Split the submission."
            raise TooLarge(text, expression="Bundle.entry")


def refuse_too_many_values(body: bytes, limit: int) -> None:
    """Raise `TooLarge` for JSON with more values: objects, arrays, strings, numbers, booleans and nulls.

    A body that is not JSON passes: validation tells what it is.
    """
    with contextlib.suppress(msgspec.MsgspecError, RecursionError):
        if _has_more_values(msgspec.json.decode(body), limit):
            text = f"The body has more than {limit} JSON values. Send less in one request."
            raise TooLarge(text, code="too-costly")


def _has_more_values(value: Any, limit: int) -> bool:
    remaining, waiting = limit, [value]
    while waiting:
        remaining -= 1
        if remaining < 0:
            return True
        value = waiting.pop()
        if isinstance(value, dict):
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
    return False

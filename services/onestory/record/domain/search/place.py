"""Places in a list, as the cursor of a `next` link says them: they name an entry, not a count, so they hold."""

from __future__ import annotations

import base64
import binascii
import re
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson

from onestory.shared.errors import Malformed

CURSOR = "_cursor"
_GREATEST_OFFSET = 2**63 - 1
_PLACE = re.compile(r"(?P<resource_type>[A-Za-z]{0,64})/(?P<id>[a-z0-9-]{1,64})")


class Place(NamedTuple):
    """A place in a list that is sorted by (type, id)."""

    resource_type: str = ""
    id: str = ""

    def to_cursor(self) -> str:
        """The place as an opaque string for a URL."""
        return _opaque(f"{self.resource_type}/{self.id}".encode())


class SortedPlace(NamedTuple):
    """A place in a list that is sorted as the caller asked: by `keys`, then by (type, id).

    `as_of`: when the first page was made. What has since been said anew keeps the place that it had then.
    """

    keys: tuple[str | None, ...]
    resource_type: str
    id: str
    as_of: datetime

    def to_cursor(self) -> str:
        """The place as an opaque string for a URL."""
        return _opaque(orjson.dumps([self.keys, self.resource_type, self.id, self.as_of.isoformat()]))


class PastPlace(NamedTuple):
    """A place in a list of what happened, newest first: when, and where the message stood that made it happen."""

    at: datetime
    offset: int
    id: str

    def to_cursor(self) -> str:
        """The place as an opaque string for a URL."""
        return _opaque(orjson.dumps([self.at.isoformat(), self.offset, self.id]))


START = Place()


def from_cursor(cursor: str | None) -> Place:
    """The place in a `next` link of a list by type and id. Raises `Malformed`."""
    if cursor is None:
        return START
    try:
        match = _PLACE.fullmatch(_bytes(cursor).decode("ascii"))
    except ValueError as error:
        raise _no_cursor() from error
    if match is None:
        raise _no_cursor()
    return Place(match["resource_type"], match["id"])


def from_sorted_cursor(cursor: str | None, keys: int) -> SortedPlace | None:
    """The place in a `next` link of a list that is sorted by so many keys; None at its start. Raises `Malformed`."""
    if cursor is None:
        return None
    try:
        place = _sorted_place(*orjson.loads(_bytes(cursor)))
    except (ValueError, TypeError) as error:
        raise _no_cursor() from error
    if len(place.keys) != keys:
        raise Malformed(f"{CURSOR} is from a list in another order.", code="value")
    return place


def from_past_cursor(cursor: str | None) -> PastPlace | None:
    """The place in a `next` link of what happened; None at its start. Raises `Malformed`."""
    if cursor is None:
        return None
    try:
        at, offset, shared_id = orjson.loads(_bytes(cursor))
        place = PastPlace(_moment(at), offset, shared_id)
    except (ValueError, TypeError) as error:
        raise _no_cursor() from error
    readable = type(offset) is int and 0 <= offset <= _GREATEST_OFFSET and isinstance(shared_id, str)
    if not readable or "\0" in shared_id:
        raise _no_cursor()
    return place


def _sorted_place(keys: Any, resource_type: Any, resource_id: Any, as_of: Any) -> SortedPlace:
    texts = [resource_type, resource_id, *[key for key in keys if key is not None]]
    if not isinstance(keys, list) or not all(isinstance(text, str) for text in texts):
        raise ValueError("not a place")
    return SortedPlace(tuple(keys), resource_type, resource_id, _moment(as_of))


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("not a moment")
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("outside the calendar") from error


def _opaque(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _bytes(cursor: str) -> bytes:
    try:
        return base64.b64decode(cursor.encode() + b"=" * (-len(cursor) % 4), b"-_", validate=True)
    except binascii.Error as error:
        raise _no_cursor() from error


def _no_cursor() -> Malformed:
    return Malformed(f"{CURSOR} is not from a next link of ours.", code="value")

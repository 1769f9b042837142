"""The order that a caller asks for with `_sort` (FHIR R4, http://hl7.org/fhir/R4/search.html#sort).

What lacks the element comes last in both directions; what is equal follows type and id, so the order is one.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson

from onestory.record.person import identifiers
from onestory.record.search.filters import codes, time_of, values
from onestory.shared.errors import Malformed
from onestory.shared.fhir.definitions import SearchParameterDefinition, search_parameters

# Places in a list, as the cursor of a `next` link says them: they name an entry, not a count, so they hold.

CURSOR = "_cursor"
_GREATEST_OFFSET = 2**63 - 1
_PLACE = re.compile(r"(?P<resource_type>[A-Za-z]{0,64})/(?P<id>[a-z0-9-]{1,64})")


class EntryPlace(NamedTuple):
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


START = EntryPlace()


def from_cursor(cursor: str | None) -> EntryPlace:
    """The place in a `next` link of a list by type and id. Raises `Malformed`."""
    if cursor is None:
        return START
    try:
        match = _PLACE.fullmatch(_bytes(cursor).decode("ascii"))
    except ValueError as error:
        raise _no_cursor() from error
    if match is None:
        raise _no_cursor()
    return EntryPlace(match["resource_type"], match["id"])


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


Keys = tuple[str | None, ...]
_OF_ALL = {
    "_id": SearchParameterDefinition("id", (("id",),)),
    "_lastUpdated": SearchParameterDefinition("date", (("meta", "lastUpdated"),)),
}


class Rule(NamedTuple):
    """One of the things to sort by."""

    parameter: SearchParameterDefinition
    descending: bool


class Placed(NamedTuple):
    """Where something stands in the order."""

    keys: Keys
    resource_type: str
    id: str


@dataclass(frozen=True, slots=True)
class Order:
    """What to sort by, most important first."""

    rules: tuple[Rule, ...]

    def keys(self, resource: Mapping[str, Any]) -> Keys:
        """What this resource is sorted by."""
        return tuple(_key(resource, rule) for rule in self.rules)

    def sort(self, placed: list[Placed]) -> None:
        """Sort them, in place."""
        placed.sort(key=lambda each: (each.resource_type, each.id))
        for position, rule in reversed(list(enumerate(self.rules))):
            placed.sort(key=lambda each: each.keys[position] or "", reverse=rule.descending)
            placed.sort(key=lambda each: each.keys[position] is None)

    def is_after(self, placed: Placed, place: SortedPlace) -> bool:
        """Whether it comes after this place."""
        for rule, key, other in zip(self.rules, placed.keys, place.keys, strict=True):
            if key != other:
                return key is None or (other is not None and (key < other) is rule.descending)
        return (placed.resource_type, placed.id) > (place.resource_type, place.id)


def order(resource_type: str, names: Sequence[str]) -> Order | None:
    """The order by these search parameters, with a hyphen before those that descend; None where one is not known."""
    known = {**search_parameters(resource_type), **_OF_ALL}
    rules = [(known.get(name.removeprefix("-")), name.startswith("-")) for name in names]
    found = tuple(Rule(parameter, descending) for parameter, descending in rules if parameter)
    return Order(found) if len(found) == len(rules) else None


def _key(resource: Mapping[str, Any], rule: Rule) -> str | None:
    said = values(resource, rule.parameter)
    keys = [key for value in said if (key := _text(value, rule.parameter.kind)) is not None]
    return (max if rule.descending else min)(keys, default=None)


def _text(value: Any, kind: str) -> str | None:
    match kind:
        case "date":
            said = time_of(value)
            moment = said and (said.since or said.before)
            return moment.isoformat(timespec="microseconds") if moment else None
        case "token":
            return next((code or system for system, code in codes(value)), None) or _free_text(value)
        case "reference":
            return str(value.get("reference") or "") or None if isinstance(value, dict) else None
        case "string":
            return " ".join(identifiers.words(str(value))) or None
        case _:
            return str(value)


def _free_text(value: Any) -> str | None:
    return str(value["text"]) if isinstance(value, dict) and value.get("text") else None

"""Cursors of lists, and the order that `_sort` requests (FHIR R4, http://hl7.org/fhir/R4/search.html#sort).

A cursor names the last entry of a page, not a count of entries. So it stays right while the list grows. In a sorted
list, resources that lack the element come last in both directions. Equal resources follow type and id.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import orjson

from onestory.record.person import identifiers
from onestory.record.search import quantities
from onestory.record.search.filters import codings, element_values, time_range_of
from onestory.record.search.texts import MAX_TEXT_LENGTH
from onestory.shared.errors import Malformed
from onestory.shared.fhir.definitions import SearchParameterDefinition, search_parameters
from onestory.shared.http.cursor import decode_cursor, encode_cursor, parse_cursor_time

CURSOR = "_cursor"
"""The parameter that holds the text of a cursor."""
_UNREADABLE = f"{CURSOR}: it is not from a next link of this server. Send the request without it."
_GREATEST_OFFSET = 2**63 - 1
_ENTRY_CURSOR = re.compile(r"(?P<resource_type>[A-Za-z]{0,64})/(?P<id>[a-z0-9-]{1,64})")

SortKeys = tuple[str | None, ...]
"""The texts that a resource is sorted by, one for each rule; None where it lacks the element."""


class EntryCursor(NamedTuple):
    """The last entry of a page, in a list by type and id."""

    resource_type: str = ""
    id: str = ""

    def encode(self) -> str:
        """The opaque text for a URL."""
        return encode_cursor(f"{self.resource_type}/{self.id}".encode())


class SortCursor(NamedTuple):
    """The last entry of a page, in a list by `keys`, then by type and id.

    `as_of` is the broker time that the first page reached. An entry that changed after it keeps its earlier keys.
    """

    keys: SortKeys
    resource_type: str
    id: str
    as_of: datetime

    def encode(self) -> str:
        """The opaque text for a URL."""
        return encode_cursor(orjson.dumps([self.keys, self.resource_type, self.id, self.as_of.isoformat()]))


class HistoryCursor(NamedTuple):
    """The last entry of a page of a history, newest first: the broker time and the Kafka offset of its message."""

    at: datetime
    offset: int
    id: str

    def encode(self) -> str:
        """The opaque text for a URL."""
        return encode_cursor(orjson.dumps([self.at.isoformat(), self.offset, self.id]))


START = EntryCursor()


def parse_entry_cursor(text: str | None) -> EntryCursor:
    """The cursor of a list by type and id; `START` for None. Raises `Malformed`."""
    return START if text is None else decode_cursor(text, _read_entry_cursor, _UNREADABLE)


def parse_sort_cursor(text: str | None, key_count: int) -> SortCursor | None:
    """The cursor of a list that is sorted by `key_count` keys; None for None. Raises `Malformed`."""
    if text is None:
        return None
    cursor = decode_cursor(text, _read_sort_cursor, _UNREADABLE)
    if len(cursor.keys) != key_count:
        raise Malformed(f"{CURSOR}: it is from a list in another order. Send the request without it.", code="value")
    return cursor


def parse_history_cursor(text: str | None) -> HistoryCursor | None:
    """The cursor of a history; None for None. Raises `Malformed`."""
    return None if text is None else decode_cursor(text, _read_history_cursor, _UNREADABLE)


def _read_entry_cursor(content: bytes) -> EntryCursor:
    match = _ENTRY_CURSOR.fullmatch(content.decode("ascii"))
    if match is None:
        raise ValueError("not a cursor")
    return EntryCursor(match["resource_type"], match["id"])


def _read_sort_cursor(content: bytes) -> SortCursor:
    keys, resource_type, resource_id, as_of = orjson.loads(content)
    texts = [resource_type, resource_id, *[key for key in keys if key is not None]]
    if not isinstance(keys, list) or not all(isinstance(text, str) for text in texts):
        raise ValueError("not a cursor")
    return SortCursor(tuple(keys), resource_type, resource_id, parse_cursor_time(as_of))


def _read_history_cursor(content: bytes) -> HistoryCursor:
    at, offset, shared_id = orjson.loads(content)
    is_readable = type(offset) is int and 0 <= offset <= _GREATEST_OFFSET and isinstance(shared_id, str)
    if not is_readable or "\0" in shared_id:
        raise ValueError("not a cursor")
    return HistoryCursor(parse_cursor_time(at), offset, shared_id)


_COMMON_DEFINITIONS = {
    "_id": SearchParameterDefinition("id", (("id",),)),
    "_lastUpdated": SearchParameterDefinition("date", (("meta", "lastUpdated"),)),
}


class SortRule(NamedTuple):
    """One search parameter to sort by."""

    definition: SearchParameterDefinition
    descending: bool


class SortedEntry(NamedTuple):
    """An entry of a sorted list: its keys, and its type and id, which order entries with equal keys."""

    keys: SortKeys
    resource_type: str
    id: str


@dataclass(frozen=True, slots=True)
class SortOrder:
    """The rules of one order, most important first."""

    rules: tuple[SortRule, ...]

    def keys(self, resource: Mapping[str, Any]) -> SortKeys:
        """The keys of a resource."""
        return tuple(_sort_key(resource, rule) for rule in self.rules)

    def sort(self, entries: list[SortedEntry]) -> None:
        """Sort the entries in place."""
        entries.sort(key=lambda entry: (entry.resource_type, entry.id))
        for index, rule in reversed(list(enumerate(self.rules))):
            entries.sort(key=lambda entry: entry.keys[index] or "", reverse=rule.descending)
            entries.sort(key=lambda entry: entry.keys[index] is None)

    def is_after(self, entry: SortedEntry, cursor: SortCursor) -> bool:
        """Whether the entry comes after the entry that the cursor names."""
        for rule, key, other in zip(self.rules, entry.keys, cursor.keys, strict=True):
            if key != other:
                return key is None or (other is not None and (key < other) is rule.descending)
        return (entry.resource_type, entry.id) > (cursor.resource_type, cursor.id)


def sort_order(resource_type: str, names: Sequence[str]) -> SortOrder | None:
    """The order by these search parameters; a hyphen before a name means descending. None if a name is unknown."""
    known = {**search_parameters(resource_type), **_COMMON_DEFINITIONS}
    wanted = [(known.get(name.removeprefix("-")), name.startswith("-")) for name in names]
    rules = tuple(SortRule(definition, descending) for definition, descending in wanted if definition)
    return SortOrder(rules) if len(rules) == len(wanted) else None


def _sort_key(resource: Mapping[str, Any], rule: SortRule) -> str | None:
    """The greatest text among the element's values if the rule descends, else the least."""
    values = element_values(resource, rule.definition)
    keys = [key for value in values if (key := _sort_text(value, rule.definition.kind)) is not None]
    return (max if rule.descending else min)(keys, default=None)


def _sort_text(value: Any, kind: str) -> str | None:
    match kind:
        case "date":
            time_range = time_range_of(value)
            moment = time_range and (time_range.since or time_range.before)
            return moment.isoformat(timespec="microseconds") if moment else None
        case "token":
            return next((code or system for system, code in codings(value)), None) or _free_text(value)
        case "reference":
            return str(value.get("reference") or "") or None if isinstance(value, dict) else None
        case "quantity" | "number":
            return quantities.sort_text(value)
        case "string":
            return " ".join(identifiers.name_words(str(value)[:MAX_TEXT_LENGTH])) or None
        case _:
            return str(value)


def _free_text(value: Any) -> str | None:
    return str(value["text"]) if isinstance(value, dict) and value.get("text") else None

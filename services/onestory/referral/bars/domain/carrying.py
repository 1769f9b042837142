"""What a message carries, as the statement that its sender makes of the person for the record.

A message names its entries by fullUrl. Where they have no id of their own, they get one of it and the message, for some
senders use the same fullUrls in every message, whoever it is about; an update finds those of the message before it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid5

import msgspec

from onestory.shared.events import Entry, RecordChanged
from onestory.shared.identity import is_directory_id, parse_shared_id

# A message's own paperwork: nothing of the person.
_NOT_STATED = frozenset({"MessageHeader", "Slot", "Schedule"})


class _Entry(msgspec.Struct, rename="camel"):
    full_url: str
    resource: dict[str, msgspec.Raw]


class _Bundle(msgspec.Struct):
    entry: list[_Entry]
    timestamp: str | None = None


def as_collection(body: bytes, owned: Collection[int], names: Mapping[str, str], request_id: UUID) -> bytes:
    """The message as a collection for the record, its resources byte for byte apart from their ids.

    `owned` are the places of what this room owns: its own ids are not the sender's to give. `names` has, by fullUrl,
    the ids under which earlier messages of the same referral stated things; `request_id` is the X-Request-Id.
    """
    bundle = msgspec.json.decode(body.removeprefix(b"\xef\xbb\xbf"), type=_Bundle)
    for index, entry in enumerate(bundle.entry):
        name = _named(entry, names, request_id, ours=index in owned)
        entry.resource["id"] = msgspec.Raw(msgspec.json.encode(name))
    said = {"timestamp": bundle.timestamp} if bundle.timestamp else {}
    return msgspec.json.encode({"resourceType": "Bundle", "type": "collection", **said, "entry": bundle.entry})


def _named(entry: _Entry, names: Mapping[str, str], request_id: UUID, *, ours: bool) -> str:
    """What an entry is called within its source."""
    said, known = _id(entry), names.get(entry.full_url, "")
    if is_ours(said) and not ours:
        return said
    return known or ("" if ours else said) or str(uuid5(request_id, entry.full_url))


def is_ours(name: str) -> bool:
    """Whether this is an id that we gave."""
    return parse_shared_id(name) is not None or is_directory_id(name)


def names_of(full_urls: Sequence[str], event: RecordChanged) -> dict[str, str]:
    """Under which id each entry of a message was stated."""
    return {url: entry.local_id for url, entry in zip(full_urls, event.entries, strict=True)}


def to_state(event: RecordChanged, owned: Mapping[int, str]) -> RecordChanged | None:
    """What goes to the record: all but a message's paperwork and what this room owns. References to that lead to
    the ids in `owned`, by place. None where nothing is left.
    """
    renamed = {event.entries[index].shared_id.encode(): shared_id.encode() for index, shared_id in owned.items()}
    entries = [
        replace(entry, content=_renamed(entry.content, renamed))
        for index, entry in enumerate(event.entries)
        if index not in owned and entry.resource_type not in _NOT_STATED
    ]
    return replace(event, entries=tuple(entries)) if entries else None


def body_of(entry: Entry, names: Mapping[str, str]) -> dict[str, Any]:
    """The resource of an entry, its references as they lead in the record. `names` replaces ids in it."""
    renamed = {old.encode(): new.encode() for old, new in names.items()}
    body: dict[str, Any] = msgspec.json.decode(_renamed(entry.content, renamed) or b"{}")
    return body


def _renamed(content: bytes | None, renamed: Mapping[bytes, bytes]) -> bytes | None:
    # A shared id is 53 characters that occur nowhere by chance.
    for old, new in renamed.items():
        content = content.replace(old, new) if content else content
    return content


def _id(entry: _Entry) -> str:
    raw = entry.resource.get("id")
    return str(msgspec.json.decode(raw)) if raw is not None else ""

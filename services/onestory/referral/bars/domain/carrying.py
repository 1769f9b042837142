"""What a message carries, as the statement that its sender makes of the person for the record.

A message names its entries by fullUrl, and FHIR has a UUID there mean the same resource in every message. So that an
update meets what was said before, an entry without an id gets that UUID for one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

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


def as_collection(body: bytes, owned: Collection[int], names: Mapping[str, str]) -> bytes:
    """The message as a collection for the record, its resources byte for byte apart from their ids.

    `owned` are the places of what this room owns: its own ids are not the sender's to give. `names` has, by fullUrl,
    the ids under which earlier messages of the same referral stated things.
    """
    bundle = msgspec.json.decode(body.removeprefix(b"\xef\xbb\xbf"), type=_Bundle)
    for index, entry in enumerate(bundle.entry):
        name = named(entry.full_url, _id(entry), names, ours=index in owned)
        if name:
            entry.resource["id"] = msgspec.Raw(msgspec.json.encode(name))
        else:
            entry.resource.pop("id", None)
    said = {"timestamp": bundle.timestamp} if bundle.timestamp else {}
    return msgspec.json.encode({"resourceType": "Bundle", "type": "collection", **said, "entry": bundle.entry})


def named(full_url: str, said: str, names: Mapping[str, str], *, ours: bool) -> str:
    """What an entry is called within its source; empty where nothing names it."""
    uuid = full_url.removeprefix("urn:uuid:") if full_url.startswith("urn:uuid:") else ""
    if ours:
        return uuid or ("" if is_ours(said) else said)
    return said if is_ours(said) else names.get(full_url) or said or uuid


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

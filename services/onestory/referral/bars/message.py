"""A BaRS message and its parts, and the statement for the record that its entries make.

An entry is known by its fullUrl. An entry without an id gets one, made from its fullUrl and the X-Request-Id, because
some senders use the same fullUrls in every message, for every person. An update takes the ids that the earlier message
of the same referral got.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

import msgspec

from onestory.referral.bars.definitions import BarsDefinition
from onestory.shared.errors import Malformed, Unprocessable, at_path
from onestory.shared.events import Entry, RecordChanged
from onestory.shared.fhir.bundle_index import BundleIndex
from onestory.shared.identity import is_directory_id, parse_shared_id

Json = Mapping[str, Any]
_SHARED_ID = re.compile(rb"[a-z2-7]{26}-[a-z2-7]{26}")
_NOT_URN_REFERENCE = re.compile(rb'("reference"\s*:\s*)("(?!urn:)[^"\\]*(?:\\.[^"\\]*)*")', re.S)
# These carry nothing about the person.
_NOT_FOR_RECORD = frozenset({"MessageHeader", "Slot", "Schedule"})


@dataclass(frozen=True, slots=True)
class MessageEntry:
    """One entry of a message: its index, its fullUrl, and its resource."""

    index: int
    full_url: str
    resource_type: str
    resource: Json

    @property
    def resource_id(self) -> str:
        """The id that the sender gave the resource; empty without one."""
        return str(self.resource.get("id", ""))

    @property
    def path(self) -> str:
        """The FHIRPath of the resource."""
        return f"Bundle.entry[{self.index}].resource"


@dataclass(frozen=True, slots=True)
class BarsMessage:
    """A message that is valid FHIR and has the number of resources that its definition asks for.

    `message_id` is the Bundle's id, which a response names; `version` is the version of the standard. `focus` is the
    resource that the message is about. `responds_to` is the id of the message that it answers, empty in a request.
    `index` finds the entries by reference.
    """

    message_id: str
    version: str
    event: str
    reason: str
    definition: BarsDefinition
    header: MessageEntry
    focus: MessageEntry
    entries: Sequence[MessageEntry]
    responds_to: str
    index: BundleIndex[MessageEntry]

    def entries_of_type(self, resource_type: str) -> Iterator[MessageEntry]:
        """The entries of this resource type, in order."""
        return (entry for entry in self.entries if entry.resource_type == resource_type)

    def first_entry(self, resource_type: str) -> MessageEntry | None:
        """The first entry of this resource type; None without one."""
        return next(self.entries_of_type(resource_type), None)

    def resolve(self, reference: object, referrer: MessageEntry, element: str) -> MessageEntry | None:
        """The entry that a Reference in an element of `referrer` leads to; None for a reference out of the message.

        Raises `Malformed` for a reference that could mean several entries, or only one of another server.
        """
        target = reference.get("reference") if isinstance(reference, Mapping) else None
        if not isinstance(target, str):
            return None
        try:
            return self.index.find(target, referrer)
        except Unprocessable as error:
            issue, path = error.issues[0], f"{referrer.path}.{element}.reference"
            raise Malformed(issue.diagnostics, code=issue.code, expression=path) from error

    @property
    def patient(self) -> MessageEntry:
        """The Patient of the message. Each definition counts one."""
        patient = self.first_entry("Patient")
        assert patient is not None
        return patient

    @property
    def request(self) -> MessageEntry | None:
        """The ServiceRequest, which every message about a referral has."""
        return self.focus if self.focus.resource_type == "ServiceRequest" else self.first_entry("ServiceRequest")


def codes_of_system(concept: object, system: str) -> list[str]:
    """The codes of one CodeableConcept, or of a list, from the system https://fhir.nhs.uk/CodeSystem/<system>."""
    concepts = concept if isinstance(concept, list) else [concept]
    codings = (coding for item in concepts if isinstance(item, Mapping) for coding in item.get("coding", ()))
    return [coding["code"] for coding in codings if coding.get("code") and is_bars_system(coding.get("system"), system)]


def is_bars_system(system: object, name: str) -> bool:
    """Return whether this is the BaRS code system of that name, in any spelling that the NHS has published."""
    if not isinstance(system, str):
        return False
    scheme, _, rest = system.lower().partition("://")
    return scheme in ("http", "https") and rest == f"fhir.nhs.uk/codesystem/{name}"


class _RawEntry(msgspec.Struct, rename="camel"):
    full_url: str
    resource: dict[str, msgspec.Raw]


class _RawBundle(msgspec.Struct):
    entry: list[_RawEntry]
    timestamp: str | None = None


# It is built here, by one thread: see `shared/fhir/strict_decoder.py`.
_RAW_BUNDLE = msgspec.json.Decoder(_RawBundle)


def to_collection(
    body: bytes,
    entries: Sequence[MessageEntry],
    owned_indexes: Collection[int],
    earlier_ids: Mapping[str, str],
    request_id: UUID,
) -> bytes:
    """Return the message as a Bundle of type collection for the record. The ids of its resources change.

    References by id become references by fullUrl. All other bytes stay as they are. `entries` are those of the body.

    The sender cannot give ids to the entries at `owned_indexes`, because the referral service owns these resources.
    `earlier_ids` has, by fullUrl, the local ids that earlier messages of the same referral stated. `request_id` is the
    X-Request-Id. Raises `Unprocessable` for a reference that could mean several entries.
    """
    bundle = _RAW_BUNDLE.decode(body.removeprefix(b"\xef\xbb\xbf"))
    index = BundleIndex(entries, "")
    for entry, original in zip(bundle.entry, entries, strict=True):
        entry.resource = {name: _by_full_url(raw, original, index) for name, raw in entry.resource.items()}
        name = _local_id(entry, earlier_ids, request_id, is_owned=original.index in owned_indexes)
        entry.resource["id"] = msgspec.Raw(msgspec.json.encode(name))
        entry.full_url = _stable_url(entry.full_url)
    timestamp = {"timestamp": bundle.timestamp} if bundle.timestamp else {}
    return msgspec.json.encode({"resourceType": "Bundle", "type": "collection", **timestamp, "entry": bundle.entry})


def _by_full_url(raw: msgspec.Raw, referrer: MessageEntry, index: BundleIndex[MessageEntry]) -> msgspec.Raw:
    """Return an element in which each reference to another entry is the fullUrl that the collection gives it."""
    content = bytes(raw)

    def replaced(match: re.Match[bytes]) -> bytes:
        try:
            target = index.find(msgspec.json.decode(match[2]), referrer)
        except Unprocessable as error:
            raise at_path(error, referrer.path) from error
        return match[1] + msgspec.json.encode(_stable_url(target.full_url)) if target else match[0]

    return msgspec.Raw(_NOT_URN_REFERENCE.sub(replaced, content)) if b'"reference"' in content else raw


def _stable_url(full_url: str) -> str:
    """Return a fullUrl that no id is part of: a RESTful one becomes a UUID, because its resource gets another id."""
    return f"urn:uuid:{uuid5(NAMESPACE_URL, full_url)}" if full_url.startswith("http") else full_url


def _local_id(entry: _RawEntry, earlier_ids: Mapping[str, str], request_id: UUID, *, is_owned: bool) -> str:
    """The local id of an entry: an id that OneStory gave, an earlier id, the sender's id, or a new one."""
    given_id, earlier_id = _given_id(entry), earlier_ids.get(entry.full_url, "")
    if is_onestory_id(given_id) and not is_owned:
        return given_id
    return earlier_id or ("" if is_owned else given_id) or str(uuid5(request_id, entry.full_url))


def is_onestory_id(name: str) -> bool:
    """Return whether OneStory gave this id: a shared id or a directory id."""
    return parse_shared_id(name) is not None or is_directory_id(name)


def local_ids_by_url(full_urls: Sequence[str], event: RecordChanged) -> dict[str, str]:
    """The local id of each entry of a message, by fullUrl."""
    return {url: entry.local_id for url, entry in zip(full_urls, event.entries, strict=True)}


def record_event(event: RecordChanged, owned: Mapping[int, str]) -> RecordChanged | None:
    """Return the event with the entries that go to the record; None where none is left.

    Headers, slots and resources that the referral service owns are left out. References to owned resources lead to
    their ids in `owned`, which has shared ids by index.
    """
    new_ids = {event.entries[index].shared_id.encode(): shared_id.encode() for index, shared_id in owned.items()}
    entries = [
        replace(entry, content=_replace_ids(entry.content, new_ids))
        for index, entry in enumerate(event.entries)
        if index not in owned and entry.resource_type not in _NOT_FOR_RECORD
    ]
    return replace(event, entries=tuple(entries)) if entries else None


def entry_body(entry: Entry, new_ids: Mapping[str, str]) -> dict[str, Any]:
    """The resource of an entry, with its references as in the record. `new_ids` replaces shared ids in it."""
    encoded = {old.encode(): new.encode() for old, new in new_ids.items()}
    body: dict[str, Any] = msgspec.json.decode(_replace_ids(entry.content, encoded) or b"{}")
    return body


def _replace_ids(content: bytes | None, new_ids: Mapping[bytes, bytes]) -> bytes | None:
    # A shared id has 53 characters, which do not occur by chance, so plain replacement is safe.
    if not content or not new_ids:
        return content
    return _SHARED_ID.sub(lambda match: new_ids.get(match[0], match[0]), content)


def _given_id(entry: _RawEntry) -> str:
    raw = entry.resource.get("id")
    return str(msgspec.json.decode(raw)) if raw is not None else ""

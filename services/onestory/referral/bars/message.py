"""A BaRS message taken apart: its header, what it is about, and everything that comes along."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID, uuid5

import msgspec

from onestory.referral.bars.definitions import Definition
from onestory.shared.events import Entry, RecordChanged
from onestory.shared.identity import is_directory_id, parse_shared_id

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Carried:
    """One entry of a message: its place, what it calls itself, and the resource."""

    index: int
    full_url: str
    resource_type: str
    resource: Json

    @property
    def path(self) -> str:
        """The FHIRPath of the resource."""
        return f"Bundle.entry[{self.index}].resource"

    @property
    def uuid(self) -> str:
        """The UUID of a fullUrl `urn:uuid:...`, else empty: FHIR has it name the resource in every message."""
        return self.full_url.removeprefix("urn:uuid:") if self.full_url.startswith("urn:uuid:") else ""


@dataclass(frozen=True, slots=True)
class BarsMessage:
    """A message that is valid FHIR and fits its definition's counts.

    `message_id` is the Bundle's id, by which a response names it; `version` that of the standard. `focus` is what the
    message is about. `answers` is the id of the message that it responds to, empty in a request. `by_url` has what it
    carries by fullUrl.
    """

    message_id: str
    version: str
    event: str
    reason: str
    definition: Definition
    header: Carried
    focus: Carried
    carried: Sequence[Carried]
    answers: str
    by_url: Mapping[str, Carried]

    def of_type(self, resource_type: str) -> Iterator[Carried]:
        """What it carries of this type."""
        return (each for each in self.carried if each.resource_type == resource_type)

    def first(self, resource_type: str) -> Carried | None:
        """The first of this type."""
        return next(self.of_type(resource_type), None)

    def at(self, reference: object) -> Carried | None:
        """What a Reference within the message leads to."""
        target = reference.get("reference") if isinstance(reference, Mapping) else None
        return self.by_url.get(target) if isinstance(target, str) else None

    @property
    def patient(self) -> Carried:
        """The person it is about."""
        found = self.first("Patient")
        assert found is not None
        return found

    @property
    def request(self) -> Carried | None:
        """The ServiceRequest, which every message of a referral carries."""
        return self.focus if self.focus.resource_type == "ServiceRequest" else self.first("ServiceRequest")


def codes(concept: object, system: str) -> list[str]:
    """The codes that CodeableConcepts (or one) hold of a code system below https://fhir.nhs.uk/CodeSystem/."""
    concepts = concept if isinstance(concept, list) else [concept]
    codings = (coding for each in concepts if isinstance(each, Mapping) for coding in each.get("coding", ()))
    return [coding["code"] for coding in codings if coding.get("code") and is_system(coding.get("system"), system)]


def is_system(said: object, name: str) -> bool:
    """Whether this is the code system of BaRS with that name, in any spelling that the NHS itself has published."""
    if not isinstance(said, str):
        return False
    scheme, _, rest = said.lower().partition("://")
    return scheme in ("http", "https") and rest == f"fhir.nhs.uk/codesystem/{name}"


# What a message carries, as the statement that its sender makes of the person for the record.
#
# A message names its entries by fullUrl. Where they have no id of their own, they get one of it and the message, for
# some
# senders use the same fullUrls in every message, whoever it is about; an update finds those of the message before it.

# A message's own paperwork: nothing of the person.
_NOT_STATED = frozenset({"MessageHeader", "Slot", "Schedule"})


class _CarriedEntry(msgspec.Struct, rename="camel"):
    full_url: str
    resource: dict[str, msgspec.Raw]


class _Bundle(msgspec.Struct):
    entry: list[_CarriedEntry]
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


def _named(entry: _CarriedEntry, names: Mapping[str, str], request_id: UUID, *, ours: bool) -> str:
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


def _id(entry: _CarriedEntry) -> str:
    raw = entry.resource.get("id")
    return str(msgspec.json.decode(raw)) if raw is not None else ""

"""Encodes events as Avro in the Confluent wire format, and decodes them.

The bytes are: magic byte 0, schema id (4 bytes, big endian), Avro binary.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from functools import cache
from typing import Any

import fastavro

from onestory.shared.errors import Unprocessable
from onestory.shared.events import (
    AccessRecorded,
    Actor,
    DirectoryChanged,
    Entry,
    Event,
    Notice,
    Operation,
    Parked,
    Party,
    RecordChanged,
    ReferralChanged,
    Source,
    SummaryChanged,
)
from onestory.shared.identity import PersonIdentifier
from onestory.shared.kafka.schemas import SchemaIds, load_schema, schema_ids

_MAGIC = b"\0"
_HEADER = struct.Struct(">bI")
_EVENTS: dict[str, type[Event]] = {
    event_type.__name__: event_type
    for event_type in (RecordChanged, DirectoryChanged, Parked, AccessRecorded, SummaryChanged, ReferralChanged)
}
_PARTIES = ("requester", "recipient", "holder", "next_actor")


class Codec:
    """Encodes with the current schemas, and decodes with the schema that a message names."""

    def __init__(self, ids: SchemaIds) -> None:
        self._ids = ids
        self._current = {name: fastavro.parse_schema(load_schema(name)) for name in _EVENTS}
        self._headers = {name: _HEADER.pack(0, ids.id_of(name)) for name in _EVENTS}
        self._writer_schemas: dict[int, Any] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        """Return how a worker process gets this codec: with the schema ids, for encoding only."""
        return _encoder, (tuple((name, _HEADER.unpack(header)[1]) for name, header in self._headers.items()),)

    def encode(self, event: Event) -> bytes:
        """Return the wire bytes of an event."""
        name = type(event).__name__
        out = io.BytesIO()
        out.write(self._headers[name])
        fastavro.schemaless_writer(out, self._current[name], _to_avro(event))
        return out.getvalue()

    def decode(self, value: bytes) -> Event:
        """Return the event in wire bytes of any known schema version. Raises `Unprocessable` for other bytes."""
        if len(value) < _HEADER.size or value[:1] != _MAGIC:
            raise Unprocessable("Not in the Confluent wire format: it must begin with byte 0 and a schema id.")
        writer = self._writer_schema(_HEADER.unpack_from(value)[1])
        name = str(writer["name"]).removeprefix("onestory.")
        if name not in _EVENTS:
            raise Unprocessable(f"{name} is not an event of OneStory.")
        stream = io.BytesIO(value)
        stream.seek(_HEADER.size)
        try:
            raw: Any = fastavro.schemaless_reader(stream, writer, self._current[name])
            event = _from_avro(name, raw)
        except Exception as error:  # fastavro raises many types for broken bytes
            raise Unprocessable(f"The bytes cannot be decoded as {name} ({type(error).__name__}).") from error
        if stream.read(1):
            raise Unprocessable(f"There are more bytes after the end of {name}.")
        return event

    def _writer_schema(self, schema_id: int) -> Any:
        if schema_id not in self._writer_schemas:
            self._writer_schemas[schema_id] = _record_schema(self._ids.schema(schema_id))
        return self._writer_schemas[schema_id]


class _EncodingIds:
    """Ids that another process has looked up. Nothing can be decoded with them."""

    def __init__(self, ids: Sequence[tuple[str, int]]) -> None:
        self._ids = dict(ids)

    def id_of(self, name: str) -> int:
        return self._ids[name]

    def schema(self, schema_id: int) -> Any:
        raise Unprocessable("A worker process decodes no events.")


@cache
def _encoder(ids: Sequence[tuple[str, int]]) -> Codec:
    return Codec(_EncodingIds(ids))


def create_codec(schema_registry_url: str = "") -> Codec:
    """Return a codec that takes schema ids from this registry, or from `ids.json` when the URL is empty."""
    return Codec(schema_ids(schema_registry_url))


def _record_schema(schema: Any) -> Any:
    """Return the parsed schema. A registry may also hold schemas of other systems, so it must be a record."""
    try:
        parsed: Any = fastavro.parse_schema(schema)
        kind = parsed["type"]
    except Exception as error:  # fastavro raises many types for a broken schema
        raise Unprocessable("The schema of the message is not the schema of an event.") from error
    if kind != "record":
        raise Unprocessable("The schema of the message is not the schema of an event.")
    return parsed


def _to_avro(event: Event) -> dict[str, Any]:
    raw = {name: getattr(event, name) for name in type(event).__slots__}
    match event:
        case RecordChanged():
            raw["source"] = {"organisation": event.source.organisation, "system": event.source.system}
            raw["person"] = event.person._asdict()
            raw["entries"] = [_entry(entry) for entry in event.entries]
        case DirectoryChanged():
            raw["source"] = {"organisation": event.source.organisation, "system": event.source.system}
            raw["entry"] = _entry(event.entry)
        case SummaryChanged():
            raw["person"] = event.person._asdict()
        case ReferralChanged():
            _write_referral(raw, event)
    return raw


def _write_referral(raw: dict[str, Any], event: ReferralChanged) -> None:
    raw["person"] = event.person._asdict()
    raw["actor"] = {"party": _party(event.actor.party), "subject": event.actor.subject, "role": event.actor.role}
    for name in _PARTIES:
        raw[name] = _party(raw[name])
    raw["notices"] = [{**_fields(notice), "party": _party(notice.party)} for notice in event.notices]
    raw["entries"] = [_entry(entry) for entry in event.entries]


def _entry(entry: Entry) -> dict[str, Any]:
    return {name: getattr(entry, name) for name in Entry.__slots__}


def _party(party: Party | None) -> dict[str, Any] | None:
    return None if party is None else _fields(party)


def _fields(value: Party | Notice) -> dict[str, Any]:
    return {name: getattr(value, name) for name in type(value).__slots__}


def _from_avro(name: str, raw: dict[str, Any]) -> Event:
    match name:
        case "RecordChanged":
            raw["source"] = Source(**raw["source"])
            raw["person"] = PersonIdentifier(**raw["person"])
            raw["complete_types"] = tuple(raw["complete_types"])
            raw["entries"] = tuple(_read_entry(entry) for entry in raw["entries"])
        case "DirectoryChanged":
            raw["source"] = Source(**raw["source"])
            raw["entry"] = _read_entry(raw["entry"])
        case "AccessRecorded":
            raw["resource_types"] = tuple(raw["resource_types"])
        case "SummaryChanged":
            raw["person"] = PersonIdentifier(**raw["person"])
            raw["changed"] = tuple(raw["changed"])
        case "ReferralChanged":
            _read_referral(raw)
    return _EVENTS[name](**raw)


def _read_referral(raw: dict[str, Any]) -> None:
    raw["person"] = PersonIdentifier(**raw["person"])
    raw["actor"] = Actor(**{**raw["actor"], "party": Party(**raw["actor"]["party"])})
    for name in _PARTIES:
        raw[name] = _read_party(raw[name])
    raw["notices"] = tuple(Notice(**{**notice, "party": _read_party(notice["party"])}) for notice in raw["notices"])
    raw["entries"] = tuple(_read_entry(entry) for entry in raw["entries"])
    raw["carried"] = tuple(raw["carried"])


def _read_entry(raw: dict[str, Any]) -> Entry:
    return Entry(**{**raw, "operation": Operation(raw["operation"])})


def _read_party(raw: dict[str, Any] | None) -> Party | None:
    return None if raw is None else Party(**raw)

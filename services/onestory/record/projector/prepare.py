"""Checks one Kafka message, turns it into rows, and finds out what a batch of messages is to write.

Pure: needs no database and no clock. `prepare` handles one message. `sort_events` tells new events from repetitions.
`plan` collects the rows of the new events.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

import msgspec
import orjson

from onestory.record.person.identifiers import LocalIdentifier, local_identifiers
from onestory.record.projector.referral import ReferralRow, fields_outside_statement, record_changed_from, referral_row
from onestory.record.projector.rows import (
    OwnerClaims,
    StatementRow,
    WholeList,
    content_digest,
    fingerprint,
    owner_claims,
    statement_rows,
    whole_list_rows,
)
from onestory.shared.errors import Malformed, Unprocessable
from onestory.shared.events import (
    REFERRAL_SYSTEM,
    ConsumedMessage,
    DirectoryChanged,
    Entry,
    Operation,
    RecordChanged,
    ReferralChanged,
    Source,
)
from onestory.shared.fhir.persons import person_in
from onestory.shared.fhir.validate import validate
from onestory.shared.identity import Keys, PersonIdentifier, is_directory_id, is_storable, parse_shared_id
from onestory.shared.identity_links import IdentityLinkRow, stated_links
from onestory.shared.kafka.schemas import DIRECTORY_TOPIC, RECORD_TOPIC, REFERRAL_TOPIC

_EVENT_TYPES = {RECORD_TOPIC: RecordChanged, DIRECTORY_TOPIC: DirectoryChanged, REFERRAL_TOPIC: ReferralChanged}
TOPICS = tuple(_EVENT_TYPES)
"""The topics from which the record is built."""

# Readers parse these types to learn who the person is and which practice is theirs.
_VALIDATED_TYPES = {"Patient", "Organization"}


class EventKey(NamedTuple):
    """The primary key of `event`: two messages with the same key are the same event."""

    message_key: str
    event_id: UUID


@dataclass(frozen=True, slots=True)
class PreparedEvent:
    """A message that can be projected, with its rows.

    `body` is the event. For a `ReferralChanged` it is the statement that follows from it, and `referral` is the
    referral's new state. `needs_review`: a Patient states an identity link that its source has no authority to make.
    `labels_person`: a source that is no demographic authority labels a Patient R or V.
    """

    message: ConsumedMessage
    body: RecordChanged | DirectoryChanged
    key: EventKey
    fingerprint: bytes
    statements: tuple[StatementRow, ...]
    whole_lists: tuple[WholeList, ...]
    links: tuple[IdentityLinkRow, ...]
    needs_review: bool
    identifiers: tuple[LocalIdentifier, ...] = ()
    referral: ReferralRow | None = None
    labels_person: bool = False


def prepare(message: ConsumedMessage, keys: Keys, authorities: Collection[str]) -> PreparedEvent:
    """The message as rows. `authorities` are the ODS codes of the organisations that may supersede an NHS number.

    Raises `Unprocessable`; the code of its issue is the reason to park the message.
    """
    try:
        return _prepared(message, keys, authorities)
    except (RecursionError, Malformed, msgspec.DecodeError, orjson.JSONDecodeError) as error:
        raise Unprocessable(
            "The content cannot be read: it is no JSON, nested too deeply, or has a number out of range.",
            code="content-form",
        ) from error


def _prepared(message: ConsumedMessage, keys: Keys, authorities: Collection[str]) -> PreparedEvent:
    event = checked_event(message, keys)
    referral_change = event if isinstance(event, ReferralChanged) else None
    body = record_changed_from(event) if isinstance(event, ReferralChanged) else event
    entries = body.entries if isinstance(body, RecordChanged) else (body.entry,)
    message_key = (message.key or b"").decode("ascii")
    digests = [content_digest(entry) for entry in entries]
    statements = tuple(statement_rows(message, body, digests))
    key = EventKey(message_key, body.event_id)
    digest = fingerprint(body, digests, fields_outside_statement(referral_change) if referral_change else ())
    if isinstance(body, DirectoryChanged):
        return PreparedEvent(message, body, key, digest, statements, (), (), False)
    whole_lists = tuple(whole_list_rows(message, body, message_key))
    authoritative = body.source.organisation in authorities
    links, needs_review = _links(body, keys, authoritative)
    labels_person = not authoritative and any(row.restricted and row.resource_type == "Patient" for row in statements)
    identifiers = tuple(local_identifiers(body, message_key))
    referral = referral_row(referral_change, message_key, message.broker_time) if referral_change else None
    return PreparedEvent(
        message, body, key, digest, statements, whole_lists, links, needs_review, identifiers, referral, labels_person
    )


def _links(event: RecordChanged, keys: Keys, authoritative: bool) -> tuple[tuple[IdentityLinkRow, ...], bool]:
    patients = [entry for entry in event.entries if entry.resource_type == "Patient"]
    stated = [
        stated_links(event, entry, keys, authoritative) for entry in patients if entry.operation is Operation.ASSERT
    ]
    return tuple(link for each in stated for link in each.links), any(each.needs_review for each in stated)


# Checks. A message that fails one of them is parked until it is replayed.


class _Object(msgspec.Struct):
    """Any JSON object; its members are skipped."""


_OBJECT = msgspec.json.Decoder(_Object)


def checked_event(message: ConsumedMessage, keys: Keys) -> RecordChanged | DirectoryChanged | ReferralChanged:
    """The message's event, when its topic, key and content are right.

    Raises `Unprocessable`; the code of its issue is the reason to park the message.
    """
    event = message.event
    if isinstance(event, Unprocessable):
        raise event
    if not isinstance(event, _EVENT_TYPES[message.topic]):
        raise Unprocessable(f"{type(event).__name__} does not belong on {message.topic}.", code="wrong-topic")
    assert isinstance(event, RecordChanged | DirectoryChanged | ReferralChanged)
    if isinstance(event, ReferralChanged):
        _check_referral(event, _key_text(message.key), keys)
        return event
    _check_source(event.source)
    if isinstance(event, RecordChanged):
        if event.source.system == REFERRAL_SYSTEM:
            raise Unprocessable("source.system: this name is reserved for referrals.", code="wrong-topic")
        _check_record(event, _key_text(message.key), keys)
        return event
    if _key_text(message.key) != event.entry.shared_id or not is_directory_id(event.entry.shared_id):
        raise Unprocessable("The message key is not the id of the directory resource.", code="wrong-key")
    _check_entry(event.entry)
    _check_holds_nobody(event.entry)
    return event


def _check_record(event: RecordChanged, key: str, keys: Keys) -> None:
    if keys.person_key(event.person) != key:
        raise Unprocessable("The message key is not the key of the person that the event names.", code="wrong-key")
    names = [*event.complete_types, event.person.system]
    if not all(is_storable(name) for name in names) or "\0" in event.person.value:
        raise Unprocessable("complete_types, person: a text is over 512 bytes or has a NUL.", code="entry-form")
    for entry in event.entries:
        if not entry.shared_id.startswith(key) or parse_shared_id(entry.shared_id) is None:
            raise Unprocessable("shared_id: it does not begin with the person key.", code="wrong-key")
        _check_entry(entry)
    if len({entry.shared_id for entry in event.entries}) < len(event.entries):
        raise Unprocessable("entries: two entries have the same shared id.", code="same-resource-twice")


def _check_referral(event: ReferralChanged, key: str, keys: Keys) -> None:
    statement = record_changed_from(event)
    _check_source(statement.source)
    _check_record(statement, key, keys)
    for shared_id in (event.referral_id, event.task_id):
        if not shared_id.startswith(key) or parse_shared_id(shared_id) is None:
            raise Unprocessable(
                "The id of the referral or its Task does not begin with the person's key.", code="wrong-key"
            )
    named = [*event.carried, *([event.based_on] if event.based_on else [])]
    if not all(is_storable(name) and parse_shared_id(name) for name in named):
        raise Unprocessable("based_on, carried: it is no shared id.", code="entry-form")
    parties = [party.organisation for party in (event.recipient, event.holder) if party]
    if event.version < 1 or not all(map(is_storable, [event.status, *parties])):
        raise Unprocessable(
            "version is below 1, or status or a party is over 512 bytes or has a NUL.", code="entry-form"
        )


def _check_source(source: Source) -> None:
    if not (is_storable(source.organisation) and is_storable(source.system)):
        raise Unprocessable("source: organisation or system is over 512 bytes or has a NUL.", code="source-form")


def _check_entry(entry: Entry) -> None:
    if not (is_storable(entry.resource_type) and is_storable(entry.local_id)):
        raise Unprocessable("entries: resource_type or local_id is over 512 bytes or has a NUL.", code="entry-form")
    if (entry.content is None) is (entry.operation is Operation.ASSERT):
        raise Unprocessable("content: an assertion needs it, a retraction must not have it.", code="content-form")
    if entry.key_id is not None:
        raise Unprocessable("key_id: the content is encrypted, and this release cannot decrypt it.", code="encrypted")
    if entry.content is not None:
        _check_content(entry.resource_type, entry.content)


def _check_content(resource_type: str, content: bytes) -> None:
    """Intake has validated the content. A message that did not pass intake must not make a record unreadable."""
    try:
        content.decode()
        _OBJECT.decode(content)
    except ValueError as error:
        raise Unprocessable("The content is not a JSON object in UTF-8.", code="content-form") from error
    if resource_type in _VALIDATED_TYPES and (issues := validate(content)):
        raise Unprocessable(f"The {resource_type} is not FHIR R4, at {issues[0].expression}.", code="content-form")


def _check_holds_nobody(entry: Entry) -> None:
    """Everyone may read the directory. Intake refuses such content, and earlier releases did not."""
    found = person_in(msgspec.json.decode(entry.content), entry.resource_type) if entry.content else None
    if found:
        text = f"{found.path}: here is {found.what}, and everyone may read the directory."
        raise Unprocessable(text, code="person-in-directory")


def _key_text(key: bytes | None) -> str:
    return (key or b"").decode("ascii", errors="replace")


# New events, repetitions, and event ids that were used twice.


class SortedEvents(NamedTuple):
    """The events of a batch.

    `repeated` were projected before, or stand earlier in the same batch. `reused` have the event id of an earlier event
    and other content.
    """

    new: list[PreparedEvent]
    repeated: list[PreparedEvent]
    reused: list[PreparedEvent]


def sort_events(events: Collection[PreparedEvent], known: dict[EventKey, bytes]) -> SortedEvents:
    """The events, sorted. `known` has the fingerprints of the events that were projected before."""
    firsts = first_messages(events)
    batch = SortedEvents([], [], [])
    for event in events:
        first = firsts[event.key]
        if event.key not in known and event is first:
            batch.new.append(event)
        elif event.fingerprint == known.get(event.key, first.fingerprint):
            batch.repeated.append(event)
        else:
            batch.reused.append(event)
    return batch


def first_messages(events: Collection[PreparedEvent]) -> dict[EventKey, PreparedEvent]:
    """The first message of each event."""
    firsts: dict[EventKey, PreparedEvent] = {}
    for event in events:
        firsts.setdefault(event.key, event)
    return firsts


# The rows of a batch.

ListScope = tuple[str, str, str, str]
"""(person key, organisation, system, resource type): the part of a record that a whole list covers."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The rows of new events about persons. `greatest` has, by shared id, the statement with the greatest order key."""

    persons: dict[str, PersonIdentifier]
    statements: list[StatementRow]
    greatest: dict[str, StatementRow]
    claims: OwnerClaims
    whole_lists: list[WholeList]
    identifiers: list[LocalIdentifier]


def plan(events: Collection[PreparedEvent]) -> Plan:
    """The rows of events about persons that were not projected before."""
    statements = [statement for event in events for statement in event.statements]
    bodies = {event.key.message_key: event.body for event in events}
    return Plan(
        persons={key: body.person for key, body in bodies.items() if isinstance(body, RecordChanged)},
        statements=statements,
        greatest=greatest_statements(statements),
        claims=owner_claims(statements),
        whole_lists=[whole_list for event in events for whole_list in event.whole_lists],
        identifiers=[identifier for event in events for identifier in event.identifiers],
    )


def greatest_statements(statements: Collection[StatementRow]) -> dict[str, StatementRow]:
    """By shared id, the statement with the greatest order key."""
    greatest: dict[str, StatementRow] = {}
    for statement in statements:
        other = greatest.setdefault(statement.shared_id, statement)
        if other is not statement and statement.order_key > other.order_key:
            greatest[statement.shared_id] = statement
    return greatest


def list_scopes(events: Collection[PreparedEvent]) -> set[ListScope]:
    """The scopes in which these events have an entry or a whole list."""
    scopes = {(row.person_key, row.organisation, row.system, row.resource_type) for e in events for row in e.statements}
    scopes.update(whole_list[:4] for event in events for whole_list in event.whole_lists)
    return scopes

"""One event made ready to be written: checked, its rows, what it repeats."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

import msgspec

from onestory.record.person.identifiers import LocalIdentifier, local_identifiers
from onestory.record.projector.referral import ReferralRow, beside_statement, changed, stated
from onestory.record.projector.rows import (
    Claims,
    StatementRow,
    WholeList,
    claims,
    content_digest,
    fingerprint,
    statements,
    whole_lists,
)
from onestory.shared.errors import Unprocessable
from onestory.shared.events import (
    REFERRAL_SYSTEM,
    DirectoryChanged,
    Entry,
    Operation,
    RecordChanged,
    ReferralChanged,
    Source,
)
from onestory.shared.fhir.validate import validate
from onestory.shared.identity import Keys, PersonIdentifier, is_directory_id, is_keepable, parse_shared_id
from onestory.shared.kafka.reader import ConsumedEvent
from onestory.shared.kafka.schemas import DIRECTORY, RECORD, REFERRAL
from onestory.shared.person_links import PatientLink, links

# Whether an event may be projected at all. What fails here is parked, for ever or until it is replayed.

# Readers take these apart: who the person is, and which practice is theirs.
_LOOKED_INTO = {"Patient", "Organization"}
_EXPECTED = {RECORD: RecordChanged, DIRECTORY: DirectoryChanged, REFERRAL: ReferralChanged}
TOPICS = tuple(_EXPECTED)
"""What the record is made of."""


class _Object(msgspec.Struct):
    """Any JSON object: its members are passed over."""


_OBJECT = msgspec.json.Decoder(_Object)


def checked(arrival: ConsumedEvent, keys: Keys) -> RecordChanged | DirectoryChanged | ReferralChanged:
    """The event, once it is known to stand where it belongs. Raises `Unprocessable`; its issue's code is the reason."""
    event = arrival.event
    if isinstance(event, Unprocessable):
        raise event
    if not isinstance(event, _EXPECTED[arrival.topic]):
        raise Unprocessable(f"{type(event).__name__} does not belong on {arrival.topic}.", code="wrong-topic")
    assert isinstance(event, RecordChanged | DirectoryChanged | ReferralChanged)
    if isinstance(event, ReferralChanged):
        _check_referral(event, _text(arrival.key), keys)
        return event
    _check_source(event.source)
    if isinstance(event, RecordChanged):
        if event.source.system == REFERRAL_SYSTEM:
            raise Unprocessable("A referral is not published as a statement.", code="wrong-topic")
        _check_statement(event, _text(arrival.key), keys)
        return event
    if _text(arrival.key) != event.entry.shared_id or not is_directory_id(event.entry.shared_id):
        raise Unprocessable("The message key is not the id of the directory resource.", code="wrong-key")
    _check_entry(event.entry)
    return event


def _check_statement(event: RecordChanged, key: str, keys: Keys) -> None:
    if keys.person_key(event.person) != key:
        raise Unprocessable("The message key is not the key of the person that the event names.", code="wrong-key")
    names = [*event.complete_types, event.person.system]
    if not all(is_keepable(name) for name in names) or "\0" in event.person.value:
        raise Unprocessable("A complete type or the person's identifier cannot be kept.", code="entry-form")
    for entry in event.entries:
        if not entry.shared_id.startswith(key) or parse_shared_id(entry.shared_id) is None:
            raise Unprocessable("A shared id does not begin with the person's key.", code="wrong-key")
        _check_entry(entry)
    if len({entry.shared_id for entry in event.entries}) < len(event.entries):
        raise Unprocessable("One event says two things of one resource.", code="same-resource-twice")


def _check_referral(event: ReferralChanged, key: str, keys: Keys) -> None:
    statement = stated(event)
    _check_source(statement.source)
    _check_statement(statement, key, keys)
    for shared_id in (event.referral_id, event.task_id):
        if not shared_id.startswith(key) or parse_shared_id(shared_id) is None:
            raise Unprocessable(
                "The id of the referral or its Task does not begin with the person's key.", code="wrong-key"
            )
    parties = [each.organisation for each in (event.recipient, event.holder) if each]
    if event.version < 1 or not all(map(is_keepable, [event.status, *parties])):
        raise Unprocessable("The version, the status or a party of the referral cannot be kept.", code="entry-form")


def _check_source(source: Source) -> None:
    if not (is_keepable(source.organisation) and is_keepable(source.system)):
        raise Unprocessable("The source's name is too long, or has a character that no name has.", code="source-form")


def _check_entry(entry: Entry) -> None:
    if not (is_keepable(entry.resource_type) and is_keepable(entry.local_id)):
        raise Unprocessable("A type or a local id is too long, or has a character that no id has.", code="entry-form")
    if (entry.content is None) is (entry.operation is Operation.ASSERT):
        raise Unprocessable("An assertion has content, and a retraction has none.", code="content-form")
    if entry.key_id is not None:
        raise Unprocessable("The content is encrypted, and this release has no keys.", code="encrypted")
    if entry.content is not None:
        _check_content(entry.resource_type, entry.content)


def _check_content(resource_type: str, content: bytes) -> None:
    """The door has validated it; what came past the door may not make a person's record unreadable."""
    try:
        content.decode()
        _OBJECT.decode(content)
    except ValueError as error:
        raise Unprocessable("The content is not a JSON object in UTF-8.", code="content-form") from error
    if resource_type in _LOOKED_INTO and (issues := validate(content)):
        raise Unprocessable(f"The {resource_type} is not FHIR R4, at {issues[0].expression}.", code="content-form")


def _text(key: bytes | None) -> str:
    return (key or b"").decode("ascii", errors="replace")


class EventName(NamedTuple):
    """What makes two messages the same event."""

    message_key: str
    event_id: UUID


@dataclass(frozen=True, slots=True)
class PreparedEvent:
    """An event that can be projected. `for_review`: it has an alias that its source may not make.

    Of a change of a referral, `event` is the statement that it makes, and `referral` how the referral stands after it.
    """

    arrival: ConsumedEvent
    event: RecordChanged | DirectoryChanged
    name: EventName
    fingerprint: bytes
    statements: tuple[StatementRow, ...]
    lists: tuple[WholeList, ...]
    links: tuple[PatientLink, ...]
    for_review: bool
    identifiers: tuple[LocalIdentifier, ...] = ()
    referral: ReferralRow | None = None


def prepare(arrival: ConsumedEvent, keys: Keys, authorities: Collection[str]) -> PreparedEvent:
    """The event as rows. `authorities` are the organisations that may supersede an NHS number.

    Raises `Unprocessable`; the code of its issue is the reason to park it.
    """
    arrived = checked(arrival, keys)
    message_key = (arrival.key or b"").decode("ascii")
    event = stated(arrived) if isinstance(arrived, ReferralChanged) else arrived
    entries = event.entries if isinstance(event, RecordChanged) else (event.entry,)
    digests = [content_digest(entry) for entry in entries]
    said = tuple(statements(arrival, event, digests))
    name = EventName(message_key, event.event_id)
    mark = fingerprint(event, digests, beside_statement(arrived) if isinstance(arrived, ReferralChanged) else ())
    if isinstance(event, DirectoryChanged):
        return PreparedEvent(arrival, event, name, mark, said, (), (), False)
    lists = tuple(whole_lists(arrival, event, message_key))
    made, for_review = _links(event, keys, event.source.organisation in authorities)
    identifiers = tuple(local_identifiers(event, message_key))
    referral = changed(arrived, message_key, arrival.broker_time) if isinstance(arrived, ReferralChanged) else None
    return PreparedEvent(arrival, event, name, mark, said, lists, made, for_review, identifiers, referral)


def _links(event: RecordChanged, keys: Keys, authoritative: bool) -> tuple[tuple[PatientLink, ...], bool]:
    patients = [entry for entry in event.entries if entry.resource_type == "Patient"]
    found = [links(event, entry, keys, authoritative) for entry in patients if entry.operation is Operation.ASSERT]
    return tuple(link for each in found for link in each.made), any(each.for_review for each in found)


class Sorted(NamedTuple):
    """Events of a batch: said for the first time, said before, and an event id that was used for something else."""

    new: list[PreparedEvent]
    repeated: list[PreparedEvent]
    reused: list[PreparedEvent]


def first_of_each(events: Collection[PreparedEvent]) -> dict[EventName, PreparedEvent]:
    """The first message of each event."""
    firsts: dict[EventName, PreparedEvent] = {}
    for event in events:
        firsts.setdefault(event.name, event)
    return firsts


def sort_out(events: Collection[PreparedEvent], known: dict[EventName, bytes]) -> Sorted:
    """Which messages are new, repetitions, or other content under the same id; `known` are earlier fingerprints."""
    firsts = first_of_each(events)
    found = Sorted([], [], [])
    for event in events:
        first = firsts[event.name]
        if event.name not in known and event is first:
            found.new.append(event)
        elif event.fingerprint == known.get(event.name, first.fingerprint):
            found.repeated.append(event)
        else:
            found.reused.append(event)
    return found


# What a batch of new events changes.

Group = tuple[str, str, str, str]
"""(person key, organisation, system, resource type): what a whole list is about."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The rows of a batch, and for each resource the statement with the greatest key."""

    persons: dict[str, PersonIdentifier]
    statements: list[StatementRow]
    greatest: dict[str, StatementRow]
    claims: Claims
    lists: list[WholeList]
    identifiers: list[LocalIdentifier]


def plan(events: Collection[PreparedEvent]) -> Plan:
    """The plan of events about persons, none of which was projected before."""
    said = [statement for event in events for statement in event.statements]
    about = {event.name.message_key: event.event for event in events}
    return Plan(
        persons={key: event.person for key, event in about.items() if isinstance(event, RecordChanged)},
        statements=said,
        greatest=greatest(said),
        claims=claims(said),
        lists=[listed for event in events for listed in event.lists],
        identifiers=[each for event in events for each in event.identifiers],
    )


def greatest(statements: Collection[StatementRow]) -> dict[str, StatementRow]:
    """By shared id, the statement with the greatest key."""
    found: dict[str, StatementRow] = {}
    for said in statements:
        other = found.setdefault(said.shared_id, said)
        if other is not said and said.key > other.key:
            found[said.shared_id] = said
    return found


def groups(events: Collection[PreparedEvent]) -> set[Group]:
    """What of whole lists these events touch, as entries or as lists."""
    found = {(s.person_key, s.organisation, s.system, s.resource_type) for event in events for s in event.statements}
    found.update(listed[:4] for event in events for listed in event.lists)
    return found

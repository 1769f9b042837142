"""Whether an event may be projected at all. What fails here is parked, for ever or until it is replayed."""

from __future__ import annotations

import msgspec

from onestory.record.domain.referral import stated
from onestory.shared.consumer.arrival import Arrival
from onestory.shared.contracts.topics import DIRECTORY, RECORD, REFERRAL
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
from onestory.shared.fhir.validation import validate
from onestory.shared.identity import Keys, is_directory_id, is_keepable, parse_shared_id

# Readers take these apart: who the person is, and which practice is theirs.
_LOOKED_INTO = {"Patient", "Organization"}
_EXPECTED = {RECORD: RecordChanged, DIRECTORY: DirectoryChanged, REFERRAL: ReferralChanged}
TOPICS = tuple(_EXPECTED)
"""What the record is made of."""


class _Object(msgspec.Struct):
    """Any JSON object: its members are passed over."""


_OBJECT = msgspec.json.Decoder(_Object)


def checked(arrival: Arrival, keys: Keys) -> RecordChanged | DirectoryChanged | ReferralChanged:
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

"""Whether an event may be projected at all. What fails here is parked, for ever or until it is replayed."""

from __future__ import annotations

from onestory.shared.consumer.arrival import Arrival
from onestory.shared.contracts.topics import DIRECTORY, RECORD
from onestory.shared.errors import Unprocessable
from onestory.shared.events import DirectoryChanged, Entry, Operation, RecordChanged, Source
from onestory.shared.identity import Keys, is_directory_id, is_keepable, parse_shared_id

_EXPECTED = {RECORD: RecordChanged, DIRECTORY: DirectoryChanged}


def checked(arrival: Arrival, keys: Keys) -> RecordChanged | DirectoryChanged:
    """The event, once it is known to stand where it belongs. Raises `Unprocessable`; its issue's code is the reason."""
    event = arrival.event
    if isinstance(event, Unprocessable):
        raise event
    if not isinstance(event, _EXPECTED[arrival.topic]):
        raise Unprocessable(f"{type(event).__name__} does not belong on {arrival.topic}.", code="wrong-topic")
    assert isinstance(event, RecordChanged | DirectoryChanged)
    _check_source(event.source)
    if isinstance(event, RecordChanged):
        _check_statement(event, _text(arrival.key), keys)
        return event
    if _text(arrival.key) != event.entry.shared_id or not is_directory_id(event.entry.shared_id):
        raise Unprocessable("The message key is not the id of the directory resource.", code="wrong-key")
    _check_entry(event.entry)
    return event


def _check_statement(event: RecordChanged, key: str, keys: Keys) -> None:
    if keys.person_key(event.person) != key:
        raise Unprocessable("The message key is not the key of the person that the event names.", code="wrong-key")
    if not all(is_keepable(kind) for kind in event.complete_types) or "\0" in event.person.value:
        raise Unprocessable("A complete type or the person's identifier cannot be kept.", code="entry-form")
    for entry in event.entries:
        if not entry.shared_id.startswith(key) or parse_shared_id(entry.shared_id) is None:
            raise Unprocessable("A shared id does not begin with the person's key.", code="wrong-key")
        _check_entry(entry)
    if len({entry.shared_id for entry in event.entries}) < len(event.entries):
        raise Unprocessable("One event says two things of one resource.", code="same-resource-twice")


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


def _text(key: bytes | None) -> str:
    return (key or b"").decode("ascii", errors="replace")

"""What came through the door, before anything is decided: values only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from onestory.shared.errors import OneStoryError
from onestory.shared.events import DirectoryChanged, RecordChanged, Source
from onestory.shared.identity import Keys, PersonIdentifier


@dataclass(frozen=True, slots=True)
class Submission:
    """One request. `resource_type` is empty for `POST /fhir`; `search` is the query string as it was sent.

    `preconditions` are the names of the conditional headers that came with it.
    """

    method: str
    body: bytes = b""
    resource_type: str = ""
    resource_id: str = ""
    search: str = ""
    if_none_exist: str = ""
    preconditions: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Said:
    """What a publisher may say about its statement, in headers or in tags. None: not said."""

    system: str | None = None
    sequence: str | None = None
    complete_types: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Door:
    """What a deployment is: its keys, its own FHIR base URL (no slash at the end), who must send a sequence."""

    keys: Keys
    base_url: str
    sequenced_sources: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Reception:
    """The circumstances of one submission. `submission_id` is new for each; `idempotency_key` is empty without one.

    `role` is the caller's, as the token gives it.
    """

    door: Door
    source: Source
    received_at: datetime
    submission_id: UUID
    correlation_id: str
    idempotency_key: str = ""
    sequence: int | None = None
    complete_types: tuple[str, ...] = ()
    role: str = ""

    def instance_id(self, index: int) -> str:
        """The local id of the entry at this place when nothing else names it: the same on a keyed repetition."""
        return f"{self.idempotency_key or self.submission_id}/{index}"


@dataclass(frozen=True, slots=True)
class Known:
    """What an id in our own form stands for, as the record knows it.

    `joined` are keys of the identities that are the same person, where they were asked for.
    """

    person: PersonIdentifier
    source: Source
    resource_type: str
    local_id: str
    joined: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Accepted:
    """An entry that went into an event. `content` is None for a retraction."""

    method: str
    resource_type: str
    shared_id: str
    event_id: UUID
    content: bytes | None


@dataclass(frozen=True, slots=True)
class Refused:
    """An entry of a batch that did not."""

    error: OneStoryError


@dataclass(frozen=True, slots=True)
class Prepared:
    """What to publish, and what became of each entry, in the order in which they came.

    `bundle_type` is empty when the submission was one resource.
    """

    bundle_type: str
    events: tuple[RecordChanged | DirectoryChanged, ...]
    outcomes: tuple[Accepted | Refused, ...] = field(default=())

"""Resources that left a person's record, and who read them there before, so that the readers can be informed.

A resource leaves when its source moves it to another person, or when an identity link is undone (design section 5).
Pure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from onestory.shared.events import AccessRecorded
from onestory.shared.policy import Visibility

ASSERTED_FOR_ANOTHER = "said-of-another"
"""The source has since asserted the resource of another person."""
LINK_UNDONE = "alias-undone"
"""An identity link that made the resource part of this record is no longer in force."""

READ_GRACE = timedelta(minutes=5)
"""For this long after it left, a read may still have shown it, because the projector was behind."""


class MovedResource(NamedTuple):
    """A resource that was readable under `person_key` from `since` to `until`, and is now under `now_key`.

    Both times are broker times. `why` is one of the constants above.
    """

    person_key: str
    now_key: str
    resource_type: str
    shared_id: str
    organisation: str
    why: str
    since: datetime
    until: datetime


class RecordReader(NamedTuple):
    """A reader: organisation, role, purpose and interaction. `late`: the read came after the resource had left."""

    organisation: str
    role: str
    purpose: str
    interaction: str
    late: bool


@dataclass(slots=True)
class ReadCount:
    """How many times a reader read, and the first and the last time."""

    times: int
    first: datetime
    last: datetime


class ReaderTally:
    """Counts the readers of each of these resources. It keeps one line for each reader, however often they read."""

    def __init__(self, resources: Sequence[MovedResource]) -> None:
        self._by_person: Mapping[str, list[MovedResource]] = defaultdict(list)
        for resource in resources:
            self._by_person[resource.person_key].append(resource)
        self._reads: dict[MovedResource, dict[RecordReader, ReadCount]] = {resource: {} for resource in resources}

    def add(self, access: AccessRecorded, at: datetime) -> None:
        """Count an access event. `at` is its broker time."""
        for resource in self._by_person.get(access.person_key, ()):
            if may_have_shown(resource, access, at):
                reader = RecordReader(
                    access.organisation, access.role, access.purpose, access.interaction, late=at > resource.until
                )
                reads = self._reads[resource].setdefault(reader, ReadCount(0, access.occurred_at, access.occurred_at))
                reads.times += 1
                reads.first, reads.last = min(reads.first, access.occurred_at), max(reads.last, access.occurred_at)

    def readers(self, resource: MovedResource) -> list[tuple[RecordReader, ReadCount]]:
        """The readers of this resource, by their first read."""
        return sorted(self._reads[resource].items(), key=lambda item: (item[1].first, item[0]))


def may_have_shown(resource: MovedResource, access: AccessRecorded, at: datetime) -> bool:
    """Whether the answer to this read may have had the resource in it.

    An access event names types, not resources, so this is true too often rather than too seldom.
    """
    if not resource.since <= at <= resource.until + READ_GRACE or access.visibility == Visibility.NONE:
        return False
    if access.visibility == Visibility.OWN and access.organisation != resource.organisation:
        return False
    return not access.resource_types or resource.resource_type in access.resource_types


def first_since(resources: Iterable[MovedResource]) -> datetime | None:
    """The earliest time at which one of these resources came to the wrong person; None when there is none."""
    return min((resource.since for resource in resources), default=None)

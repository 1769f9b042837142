"""What left a person, and who read it there meanwhile, so that readers can be told (design section 5)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from onestory.shared.events import AccessRecorded
from onestory.shared.policy import Visibility

SAID_OF_ANOTHER = "said-of-another"
"""The source has since said it of another person."""
ALIAS_UNDONE = "alias-undone"
"""It was read as part of this person's record by an alias that is not in force any more."""

SETTLING = timedelta(minutes=5)
"""How long after it left a read may still have shown it, because the projector had not caught up."""


class Left(NamedTuple):
    """A resource that could be read under `person_key` from `since` until `until`, and is now under `now_key`.

    Both are broker times.
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
    """Who read, in which role, for which purpose, by which interaction. `late`: within the time of settling."""

    organisation: str
    role: str
    purpose: str
    interaction: str
    late: bool


@dataclass(slots=True)
class Reads:
    """How often somebody read, first and last."""

    times: int
    first: datetime
    last: datetime


class ReaderTally:
    """Who read each of these. It holds one line for each reader, however often they read."""

    def __init__(self, left: Sequence[Left]) -> None:
        self._of_person: Mapping[str, list[Left]] = defaultdict(list)
        for each in left:
            self._of_person[each.person_key].append(each)
        self._reads: dict[Left, dict[RecordReader, Reads]] = {each: {} for each in left}

    def add(self, access: AccessRecorded, at: datetime) -> None:
        """Count an access event that Kafka had at this time."""
        for left in self._of_person.get(access.person_key, ()):
            if may_have_shown(left, access, at):
                reader = RecordReader(
                    access.organisation, access.role, access.purpose, access.interaction, late=at > left.until
                )
                reads = self._reads[left].setdefault(reader, Reads(0, access.occurred_at, access.occurred_at))
                reads.times += 1
                reads.first, reads.last = min(reads.first, access.occurred_at), max(reads.last, access.occurred_at)

    def readers(self, left: Left) -> list[tuple[RecordReader, Reads]]:
        """Who read this, in the order in which they began."""
        return sorted(self._reads[left].items(), key=lambda item: (item[1].first, item[0]))


def may_have_shown(left: Left, access: AccessRecorded, at: datetime) -> bool:
    """Whether the answer may have held it. An access event names types, not resources, so this is rather too much."""
    if not left.since <= at <= left.until + SETTLING or access.visibility == Visibility.NONE:
        return False
    if access.visibility == Visibility.OWN and access.organisation != left.organisation:
        return False
    return not access.resource_types or left.resource_type in access.resource_types


def begin(left: Iterable[Left]) -> datetime | None:
    """When the first of them came to where it did not belong."""
    return min((each.since for each in left), default=None)

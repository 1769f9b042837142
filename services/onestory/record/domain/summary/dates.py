"""When what a statement says was so: the one clinical date by which it is sorted and by which it grows old."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from onestory.record.domain.merge.fact import Fact, Said
from onestory.record.domain.summary import moments
from onestory.record.domain.summary.moments import Moment, moment
from onestory.record.domain.summary.plain import codes, first
from onestory.record.domain.summary.record import Record
from onestory.record.domain.summary.wording import name_of

_DATES = (
    ("effectiveDateTime", ""),
    ("effectiveInstant", ""),
    ("effectivePeriod", "end"),
    ("effectivePeriod", "start"),
    ("occurrenceDateTime", ""),
    ("performedDateTime", ""),
    ("performedPeriod", "end"),
    ("performedPeriod", "start"),
    ("timingDateTime", ""),
    ("timingPeriod", "start"),
    ("date", ""),
    ("dateTime", ""),
    ("issued", ""),
    ("period", "start"),
    ("created", ""),
    ("recordedDate", ""),
    ("recorded", ""),
    ("recordedOn", ""),
)


def when(said: Said) -> Moment:
    """The date that it gives, else when it was recorded."""
    for written in _written(said.content):
        if known := moment(written):
            return known
    return moments.at(said.recorded_at)


def in_words(said: Said) -> str:
    """That date as people write it, and nothing where it gives none."""
    return moments.shown(next(_written(said.content), ""))


def newest_first(record: Record, facts: Iterable[Fact]) -> list[Fact]:
    """The facts by the date of what is shown of them."""
    return sorted(facts, key=lambda fact: (-when(record.shown(fact)).begin.timestamp(), fact.id))


def foremost(record: Record, newest: Sequence[Fact], most: int) -> list[Fact]:
    """As many of these as may be shown, in their order: of each kind the newest, before another kind has its second.

    A hundred dialyses may not hide the one transplant before them.
    """
    before: Counter[object] = Counter()
    ranked = []
    for place, fact in enumerate(newest):
        kind = _kind(record.shown(fact).content)
        ranked.append((before[kind], place))
        before[kind] += 1
    return [newest[place] for place in sorted(place for _, place in sorted(ranked)[:most])]


def _kind(content: Mapping[str, Any]) -> object:
    said = codes(content, "code") | codes(content, "vaccineCode")
    return min(said) if said else name_of(content).casefold()


def _written(content: Mapping[str, Any]) -> Iterator[str]:
    for name, part in _DATES:
        if name in content and (found := first(content, name, part) if part else first(content, name)):
            yield found

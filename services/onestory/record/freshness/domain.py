"""How fresh each source of a record is: when it was last heard, and what is missing (design section 1, promise 5).

Pure. The first part is what a reader sees of one person's sources. The second part is what a batch of events shows of
sources.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

import orjson

from onestory.record.parking.replay import replayed_id
from onestory.record.projector.prepare import PreparedEvent
from onestory.shared.events import RecordChanged
from onestory.shared.fhir.dates import format_instant
from onestory.shared.identity import ODS_CODE_SYSTEM

Source = tuple[str, str]
"""Organisation (ODS code) and system."""
Rhythms = Mapping[str, timedelta]
"""The longest silence that is expected of `ODS/system`, or of each system of `ODS`."""

# This clock may be as far as this behind the broker's.
_CLOCK_SKEW = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Freshness:
    """The freshness of one source, as far as the reader may know it.

    `heard_at`: broker time at which the source last sent anything, about any person. `last_statement_at`: broker time
    of its newest statement that the reader sees. `missing`: how many of its statements are missing, by the numbers that
    the source gives them. `parked`: how many of its messages about this person are parked. `stale`: it has been silent
    for longer than settings expect. `former_until`: the last day of the person's registration with this practice; None
    when it is no former practice.
    """

    organisation: str
    system: str
    heard_at: datetime
    last_statement_at: datetime
    missing: int = 0
    parked: int = 0
    stale: bool = False
    former_until: date | None = None


@dataclass(frozen=True, slots=True)
class FreshnessReport:
    """The sources of what a reader sees. `valid_until` is when this changes if no event arrives; None: never."""

    sources: tuple[Freshness, ...]
    valid_until: datetime | None


class SourceState(NamedTuple):
    """The stored state of a source, and of its statements of one person.

    `heard_at` is None when only replays were heard.
    """

    organisation: str
    system: str
    heard_at: datetime | None
    missing: int
    parked: int


def freshness(
    states: Iterable[SourceState],
    last_statements: Mapping[Source, datetime],
    at: datetime,
    *,
    rhythms: Rhythms,
    sequenced: Collection[str],
    former_practices: Mapping[str, date],
) -> list[Freshness]:
    """The freshness of the sources in `last_statements`, by organisation and system; no other source counts.

    `last_statements` has the broker time of each source's newest statement that the reader sees. `sequenced` are the
    sources, as `ODS/system`, that number their statements without holes. `former_practices` has, by ODS code, the last
    day of the registration.

    The times at which sources were heard are not stored for past moments. So when `at` is in the past, `heard_at` is
    what is certain, the time of the last statement about this person, and no source is stale.
    """
    by_source = {(state.organisation, state.system): state for state in states}
    return [
        _freshness_of(by_source.get(source), source, last_statements[source], at, rhythms, sequenced, former_practices)
        for source in sorted(last_statements)
    ]


def _freshness_of(
    state: SourceState | None,
    source: Source,
    last_statement_at: datetime,
    at: datetime,
    rhythms: Rhythms,
    sequenced: Collection[str],
    former_practices: Mapping[str, date],
) -> Freshness:
    organisation, system = source
    heard_at = (state and state.heard_at) or last_statement_at
    if heard_at > at + _CLOCK_SKEW:
        heard_at, rhythms = last_statement_at, {}
    rhythm = rhythm_of(source, rhythms)
    return Freshness(
        organisation,
        system,
        heard_at,
        last_statement_at,
        missing=state.missing if state and f"{organisation}/{system}" in sequenced else 0,
        parked=state.parked if state else 0,
        stale=rhythm is not None and at - heard_at > rhythm,
        former_until=former_practices.get(organisation),
    )


def rhythm_of(source: Source, rhythms: Rhythms) -> timedelta | None:
    """The longest silence that settings expect of a source; None when they expect nothing."""
    organisation, system = source
    return rhythms.get(f"{organisation}/{system}", rhythms.get(organisation))


def last_statement_times(statements: Iterable[tuple[Source, datetime]]) -> dict[Source, datetime]:
    """The greatest broker time of each source, from pairs of source and broker time."""
    latest: dict[Source, datetime] = {}
    for source, at in statements:
        latest[source] = max(latest.get(source, at), at)
    return latest


def next_stale_at(lines: Iterable[Freshness], rhythms: Rhythms) -> datetime | None:
    """When the first of these sources becomes stale if it stays silent; None: never."""
    times = [
        line.heard_at + rhythm
        for line in lines
        if not line.stale and (rhythm := rhythm_of((line.organisation, line.system), rhythms)) is not None
    ]
    return min(times, default=None)


_MAX_UNSIGNED_INT = 2**31 - 1


def freshness_parameters(sources: Iterable[Freshness], at: datetime) -> bytes:
    """The Parameters resource that `$freshness` answers with, as JSON bytes: `at`, and one `source` for each source.

    The operation is `schemas/fhir/OperationDefinition-freshness.json`.
    """
    moment = {"name": "at", "valueInstant": format_instant(at)}
    return orjson.dumps({"resourceType": "Parameters", "parameter": [moment, *map(_source_part, sources)]})


def _source_part(source: Freshness) -> dict[str, Any]:
    parts: list[dict[str, Any]] = [
        {"name": "organisation", "valueIdentifier": {"system": ODS_CODE_SYSTEM, "value": source.organisation}},
        {"name": "system", "valueString": source.system},
        {"name": "heard", "valueInstant": format_instant(source.heard_at)},
        {"name": "said", "valueInstant": format_instant(source.last_statement_at)},
        {"name": "missing", "valueUnsignedInt": min(source.missing, _MAX_UNSIGNED_INT)},
        {"name": "parked", "valueUnsignedInt": source.parked},
        {"name": "stale", "valueBoolean": source.stale},
    ]
    if source.former_until is not None:
        parts.append({"name": "formerUntil", "valueDate": source.former_until})
    return {"name": "source", "part": parts}


# The facts about sources in a batch of events.


class SourcePartition(NamedTuple):
    """A source in one partition: the key of a row of `source_heard`."""

    organisation: str
    system: str
    topic: str
    partition: int


class SequenceNumber(NamedTuple):
    """A row of `sequence_seen`: the number that a source gave to a statement of a person."""

    person_key: str
    organisation: str
    system: str
    sequence: int


def last_heard_by_partition(events: Iterable[PreparedEvent]) -> dict[SourcePartition, datetime]:
    """The greatest broker time at which each source was heard.

    Repetitions count, and so do statements about the directory. A replay does not count, because an operator sends it.
    A parked message does not count either: a source whose messages cannot be used is as good as silent.
    """
    heard: dict[SourcePartition, datetime] = {}
    for event in events:
        message, source = event.message, event.body.source
        if replayed_id(message.headers) is None:
            key = SourcePartition(source.organisation, source.system, message.topic, message.partition)
            heard[key] = max(heard.get(key, message.broker_time), message.broker_time)
    return heard


def sequence_numbers(events: Iterable[PreparedEvent]) -> set[SequenceNumber]:
    """The sequence numbers of events about persons, where their sources number them."""
    return {
        SequenceNumber(
            event.key.message_key, event.body.source.organisation, event.body.source.system, event.body.sequence
        )
        for event in events
        if isinstance(event.body, RecordChanged) and event.body.sequence is not None
    }

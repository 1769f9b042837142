"""How fresh what a source says is: honest about silence and gaps (design section 1, promise 5)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

import orjson

from onestory.record.parking.replay import replay_of
from onestory.record.projector.prepare import PreparedEvent
from onestory.shared.events import RecordChanged
from onestory.shared.fhir.dates import format_instant
from onestory.shared.identity import ODS_CODE_SYSTEM

Source = tuple[str, str]
"""Organisation (ODS code) and system."""

Rhythms = Mapping[str, timedelta]
"""The longest silence that is expected of `ODS/system`, or of each system of `ODS`."""

# How far this clock may be behind the broker's.
_CLOCKS = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Freshness:
    """One source, as far as a reader may know of it.

    `heard_at`: when the source was last heard of at all, whoever it spoke of; `said_at`: when it last said something of
    this person. `missing`: how many statements its sequence shows to be missing. `parked`: how many of its statements
    of this person wait because they could not be used. `stale`: it has been silent for longer than is expected of it.
    `former_until`: it is a practice where the person was registered until that day; None: it is not.
    """

    organisation: str
    system: str
    heard_at: datetime
    said_at: datetime
    missing: int = 0
    parked: int = 0
    stale: bool = False
    former_until: date | None = None


@dataclass(frozen=True, slots=True)
class KnownSources:
    """The sources of what a reader sees, and until when that holds if nobody says anything; None: for ever."""

    sources: tuple[Freshness, ...]
    until: datetime | None


class SourceState(NamedTuple):
    """What is known of a source, and of its statements of one person. `heard_at` None: only replays were heard of."""

    organisation: str
    system: str
    heard_at: datetime | None
    missing: int
    parked: int


def freshness(
    told: Iterable[SourceState],
    said: Mapping[Source, datetime],
    at: datetime,
    *,
    rhythms: Rhythms,
    sequenced: Collection[str],
    former: Mapping[str, date],
) -> list[Freshness]:
    """The sources in `said`, by organisation and system; nothing follows from any other source.

    `said` is when each source last said what the reader sees. `sequenced` are sources, `ODS/system`, whose numbers have
    no holes. `former` are former practices by ODS code, with the last day of the registration.

    When sources were heard of is not kept for past moments. For one of those, `heard_at` is what is certain: when the
    source had last said something of this person; and nobody is called stale.
    """
    known = {(each.organisation, each.system): each for each in told}
    return [_line(known.get(source), source, said[source], at, rhythms, sequenced, former) for source in sorted(said)]


def last_said(said: Iterable[tuple[Source, datetime]]) -> dict[Source, datetime]:
    """When each source last said something, of what the reader sees: pairs of source and broker time."""
    found: dict[Source, datetime] = {}
    for source, at in said:
        found[source] = max(found.get(source, at), at)
    return found


def rhythm_of(source: Source, rhythms: Rhythms) -> timedelta | None:
    """The longest silence that is expected of a source; None: any."""
    organisation, system = source
    return rhythms.get(f"{organisation}/{system}", rhythms.get(organisation))


def changes_at(lines: Iterable[Freshness], rhythms: Rhythms) -> datetime | None:
    """When the first of these sources goes stale, if no more is heard of it; None: never."""
    silent = [
        line.heard_at + rhythm
        for line in lines
        if not line.stale and (rhythm := rhythm_of((line.organisation, line.system), rhythms)) is not None
    ]
    return min(silent, default=None)


def _line(
    told: SourceState | None,
    source: Source,
    said_at: datetime,
    at: datetime,
    rhythms: Rhythms,
    sequenced: Collection[str],
    former: Mapping[str, date],
) -> Freshness:
    organisation, system = source
    heard_at = (told and told.heard_at) or said_at
    if heard_at > at + _CLOCKS:
        heard_at, rhythms = said_at, {}
    rhythm = rhythm_of(source, rhythms)
    return Freshness(
        organisation,
        system,
        heard_at,
        said_at,
        missing=told.missing if told and f"{organisation}/{system}" in sequenced else 0,
        parked=told.parked if told else 0,
        stale=rhythm is not None and at - heard_at > rhythm,
        former_until=former.get(organisation),
    )


# Freshness as FHIR: the Parameters that `$freshness` answers with.
#
# The operation is `schemas/fhir/OperationDefinition-freshness.json`.

_LARGEST_UNSIGNED = 2**31 - 1


def freshness_parameters(sources: Iterable[Freshness], at: datetime) -> bytes:
    """One `source` for each."""
    asked = {"name": "at", "valueInstant": format_instant(at)}
    return orjson.dumps({"resourceType": "Parameters", "parameter": [asked, *map(_source, sources)]})


def _source(source: Freshness) -> dict[str, Any]:
    parts: list[dict[str, Any]] = [
        {"name": "organisation", "valueIdentifier": {"system": ODS_CODE_SYSTEM, "value": source.organisation}},
        {"name": "system", "valueString": source.system},
        {"name": "heard", "valueInstant": format_instant(source.heard_at)},
        {"name": "said", "valueInstant": format_instant(source.said_at)},
        {"name": "missing", "valueUnsignedInt": min(source.missing, _LARGEST_UNSIGNED)},
        {"name": "parked", "valueUnsignedInt": source.parked},
        {"name": "stale", "valueBoolean": source.stale},
    ]
    if source.former_until is not None:
        parts.append({"name": "formerUntil", "valueDate": source.former_until})
    return {"name": "source", "part": parts}


# What a batch tells of the sources themselves: that they were heard of, and which numbers their statements have.


class SourcePartition(NamedTuple):
    """A row of `source_heard`: a source in one partition."""

    organisation: str
    system: str
    topic: str
    partition: int


class Numbered(NamedTuple):
    """A row of `sequence_seen`: a number that a source gave to a statement of a person."""

    person_key: str
    organisation: str
    system: str
    sequence: int


def heard(events: Iterable[PreparedEvent]) -> dict[SourcePartition, datetime]:
    """The greatest broker time at which each source was heard of.

    A statement that is repeated counts, and so does one about the directory. Not so a replay, which an operator sends,
    and what is parked: a source of which nothing can be used is as good as silent.
    """
    found: dict[SourcePartition, datetime] = {}
    for event in events:
        arrival, source = event.arrival, event.event.source
        if replay_of(arrival.headers) is None:
            place = SourcePartition(source.organisation, source.system, arrival.topic, arrival.partition)
            found[place] = max(found.get(place, arrival.broker_time), arrival.broker_time)
    return found


def numbered(events: Iterable[PreparedEvent]) -> set[Numbered]:
    """The numbers of statements about persons, where their sources give any."""
    return {
        Numbered(each.name.message_key, each.event.source.organisation, each.event.source.system, each.event.sequence)
        for each in events
        if isinstance(each.event, RecordChanged) and each.event.sequence is not None
    }

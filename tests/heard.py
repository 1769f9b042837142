"""Turn published bodies into records of people, with the pure code of intake and record. No Kafka, no PostgreSQL."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from onestory.intake.domain.parse import parse_submission
from onestory.intake.domain.prepare import prepare
from onestory.intake.domain.request import Deployment, Submission, apply_claims
from onestory.intake.domain.request import PublisherClaims as Tagged
from onestory.intake.domain.request import RequestContext as AtTheDoor
from onestory.record.freshness.domain import Freshness
from onestory.record.merge.engine import merge
from onestory.record.merge.model import MergedRecord, Statement
from onestory.record.merge.rules import merge_rules
from onestory.record.person.composition import NhsNumbers, compose
from onestory.record.person.statements import (
    PatientStatement,
    Trust,
    practitioners_by_precedence,
    registered_practice,
)
from onestory.record.projector.prepare import greatest_statements
from onestory.record.projector.rows import StatementRow, content_digest, statement_rows
from onestory.record.summary.model import SummaryInput
from onestory.sample.main import generate
from onestory.sample.network import DEMOGRAPHICS
from onestory.shared.errors import OneStoryError
from onestory.shared.events import ConsumedMessage, DirectoryChanged, RecordChanged
from onestory.shared.identity import Keys

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
BASE = "https://care.example/fhir"
KEYS = Keys(b"a secret of the tests, long enough")
_DOOR = Deployment(KEYS, BASE)
_NOBODY = "9990000018"
_AUTHORITIES = frozenset({DEMOGRAPHICS.ods})
_decoded = msgspec.json.Decoder(dict[str, Any])


class Published(NamedTuple):
    """One body that a source publishes."""

    organisation: str
    system: str
    submission: Submission


@dataclass(frozen=True, slots=True)
class Person:
    """A person and the current statements. All persons without a known NHS number share one placeholder `number`."""

    number: str
    standing: tuple[StatementRow, ...]
    at: datetime = NOW
    directory: Mapping[str, tuple[str, bytes]] = field(default_factory=dict)
    """Type and content of all directory resources that were published, by id."""

    def said(self) -> list[Statement]:
        """The statements that merge rules compare; Patients are left out."""
        return [_said(each) for each in self.standing if each.resource_type != "Patient"]

    def merged(self) -> MergedRecord:
        """The merged view of the person."""
        named = {shared_id: _decoded.decode(content) for shared_id, (_, content) in self.directory.items()}
        return merge(self.said(), merge_rules(), named)

    def known(self) -> SummaryInput:
        """The input of the person's summary."""
        return SummaryInput(
            patient=compose(NhsNumbers(self.number), self._patients(), self._trust()).content,
            merged=self.merged(),
            contents={each.shared_id: each.content for each in self.standing if each.content},
            base_url=BASE,
            freshness=self._freshness(),
            directory=self.directory,
        )

    def _patients(self) -> Iterator[PatientStatement]:
        for each in self.standing:
            if each.resource_type == "Patient" and each.content:
                yield PatientStatement(
                    each.shared_id, each.event_id, each.organisation, each.rank, each.broker_time, each.content
                )

    def _trust(self) -> Trust:
        """The authority of the synthetic network, and the practice that it names, else one that names itself."""
        named = practitioners_by_precedence(self._patients(), _AUTHORITIES)
        return Trust(_AUTHORITIES, registered_practice(named, _AUTHORITIES, {}) or registered_practice(named, (), {}))

    def _freshness(self) -> list[Freshness]:
        last: dict[tuple[str, str], datetime] = {}
        for each in self.standing:
            source = (each.organisation, each.system)
            last[source] = max(each.broker_time, last.get(source, each.broker_time))
        return [Freshness(*source, self.at, at) for source, at in sorted(last.items())]


def network(people: int, seed: int = 7) -> list[Person]:
    """The people of the synthetic network."""
    published = (
        Published(source.ods, source.system, Submission("POST", body)) for source, body in generate(people, seed)
    )
    return heard(published)


def heard(published: Iterable[Published], at: datetime = NOW) -> list[Person]:
    """The people of these submissions, by person key. Submissions that intake refuses are left out.

    All are received at the moment `at`, one after the other.
    """
    said: defaultdict[str, list[StatementRow]] = defaultdict(list)
    numbers: dict[str, str] = {}
    directory: dict[str, tuple[str, bytes]] = {}
    for count, each in enumerate(published):
        for event in _events(each, count, at):
            if isinstance(event, DirectoryChanged):
                entry = event.entry
                if entry.content is not None:
                    directory[entry.shared_id] = (entry.resource_type, entry.content)
                continue
            key = KEYS.person_key(event.person)
            numbers[key] = event.person.value if event.person.is_nhs_number else _NOBODY
            arrival = ConsumedMessage("care.record", 0, count, at + timedelta(milliseconds=count), None, b"", event)
            said[key] += statement_rows(arrival, event, [content_digest(entry) for entry in event.entries])
    return [Person(numbers[key], _standing(said[key]), at, directory) for key in sorted(said)]


def _events(published: Published, count: int, at: datetime) -> list[RecordChanged | DirectoryChanged]:
    arrival = AtTheDoor(
        _DOOR,
        published.organisation,
        published.system,
        at,
        UUID(int=count),
        "00000000-0000-4000-8000-000000000001",
        "",
    )
    ids = itertools.count(count * 10_000)
    try:
        opened = parse_submission(published.submission, _DOOR.base_url)
        prepared = prepare(opened, apply_claims(arrival, Tagged(), opened.claims()), {}, lambda: UUID(int=next(ids)))
    except OneStoryError:
        return []
    return [event for event in prepared.events if isinstance(event, RecordChanged | DirectoryChanged)]


def _standing(said: Iterable[StatementRow]) -> tuple[StatementRow, ...]:
    current = greatest_statements(list(said))
    return tuple(current[key] for key in sorted(current) if current[key].asserts)


def _said(each: StatementRow) -> Statement:
    assert each.content is not None
    return Statement(
        each.shared_id,
        each.resource_type,
        each.organisation,
        each.system,
        each.event_id,
        datetime.fromtimestamp(each.rank / 1_000_000, UTC),
        each.broker_time,
        _decoded.decode(each.content),
    )

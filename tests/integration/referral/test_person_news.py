"""Person news (a death, its withdrawal, a move) gives the parties of open referrals one notice. No referral ends."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest
from prometheus_client import CollectorRegistry
from tests.integration.referral.directory import MIGRATIONS
from tests.people import new_nhs_number, patient
from tests.referrals import REASON, act, new_team, read, refer, service_request, task_of
from tests.stack import Services, Stack
from tests.waiting import until

from onestory.referral.metrics import ReferralMetrics
from onestory.referral.person_news.handler import PersonNewsProjection
from onestory.sample.network import DEMOGRAPHICS
from onestory.shared.events import ConsumedMessage, Entry, Operation, RecordChanged, Source
from onestory.shared.identity import NHS_NUMBER_SYSTEM, ODS_CODE_SYSTEM, Keys, PersonIdentifier
from onestory.shared.kafka.schemas import RECORD_TOPIC
from onestory.shared.postgres import database as postgres_database

KEYS = Keys(b"a secret for tests, long enough!")
PDS = Source("X26", "pds")
OTHER_SOURCE = Source("RZ9", "pas")
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
ONE, OTHER, THIRD = (
    PersonIdentifier(NHS_NUMBER_SYSTEM, number) for number in ("9990000018", "9990000026", "9990000034")
)
REPLACES_ONE = [{"type": "replaces", "other": {"reference": f"Patient/{ONE.value}"}}]


class People:
    """The person data of the referral service, in PostgreSQL. Each person has one open referral."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.projector = PersonNewsProjection(KEYS, ["X26"], ReferralMetrics(CollectorRegistry()))

    def hear(self, *batches: list[RecordChanged]) -> None:
        """Write batches, one transaction each."""
        for events in batches:
            prepared = self.projector.prepare([arrival(event) for event in events])
            with postgres_database.connect(self.dsn, "referral") as transaction:
                done = self.projector.write(transaction, prepared)
            done()

    def known(self) -> dict[str, tuple[bool, str]]:
        """Return whether each person has died, and their practice, by person key."""
        with postgres_database.connect(self.dsn, "referral") as connection:
            rows = connection.execute("select person_key, deceased, practice from person_known").fetchall()
        return {person_key: (deceased, practice) for person_key, deceased, practice in rows}

    def to_tell(self) -> list[tuple[str, str, str]]:
        """Return (referral, news, practice) of the news still to be sent, in order."""
        with postgres_database.connect(self.dsn, "referral") as connection:
            return connection.execute("select referral_id, news, practice from to_tell order by id").fetchall()

    def forget(self) -> None:
        """Delete all person data."""
        with postgres_database.connect(self.dsn, "referral") as connection:
            connection.execute("truncate person_statement, person_link, person_known, death_word, to_tell")


def arrival(event: RecordChanged) -> ConsumedMessage:
    """A message with this event."""
    return ConsumedMessage(RECORD_TOPIC, 0, 0, BEGAN, KEYS.person_key(event.person).encode(), b"", event)


def said(
    event_id: int,
    person: PersonIdentifier = ONE,
    *,
    at: int,
    published: int = 0,
    practice: str = "A81001",
    local_id: str = "p",
    retract: bool = False,
    source: Source = PDS,
    **elements: Any,
) -> RecordChanged:
    """The Patient of a person, as the authority or another source states it."""
    shared_id = KEYS.shared_id(KEYS.person_key(person), source.organisation, source.system, "Patient", local_id)
    moment = BEGAN + timedelta(seconds=at)
    named = [{"identifier": {"system": ODS_CODE_SYSTEM, "value": practice}}]
    resource = {"resourceType": "Patient", "id": shared_id, "meta": {}, "generalPractitioner": named, **elements}
    operation, content = Operation.ASSERT, json.dumps(resource).encode()
    entry = Entry("Patient", local_id, shared_id, moment, operation, content)
    if retract:
        entry = replace(entry, operation=Operation.RETRACT, content=None)
    sent = BEGAN + timedelta(seconds=published)
    return RecordChanged(UUID(int=event_id), source, person, None, moment, sent, "test", (), (entry,))


@pytest.fixture(scope="module")
def dsn(stack: Stack) -> str:
    database = stack.fresh_database()
    postgres_database.migrate(database, "referral", MIGRATIONS)
    with psycopg.connect(database) as connection:
        for person in (ONE, OTHER):
            key = KEYS.person_key(person)
            connection.execute(_REFERRAL, {"key": key, "id": referral_of(person), "status": "requested"})
            connection.execute(_REFERRAL, {"key": key, "id": f"{key}-ended", "status": "completed"})
    return database


@pytest.fixture
def people(dsn: str) -> People:
    found = People(dsn)
    found.forget()
    return found


def referral_of(person: PersonIdentifier) -> str:
    """The id of the person's open referral."""
    return f"{KEYS.person_key(person)}-referral"


def test_what_is_known_is_the_same_in_any_order_and_with_repetitions(people: People) -> None:
    events = [
        said(1, at=1),
        said(2, at=2, practice="A81002", deceasedBoolean=True),
        said(3, at=3, practice="A81002", deceasedBoolean=False, published=5),
        said(4, at=3, practice="A81003", deceasedDateTime="2026-01-01", published=4),
        said(5, OTHER, at=1, practice="A81004", local_id="q"),
        said(6, OTHER, at=4, practice="A81004", local_id="q", link=REPLACES_ONE),
        said(7, OTHER, at=5, practice="A81004", local_id="q"),
        said(8, THIRD, at=2, practice="A81005", local_id="r", deceasedBoolean=False, link=REPLACES_ONE),
    ]
    # The same event, published again: its earliest time counts.
    events.append(replace(events[2], published_at=BEGAN + timedelta(seconds=2)))

    for seed in range(30):
        order = random.Random(seed)
        shuffled = order.sample(events + order.sample(events, 2), len(events) + 2)
        cut = order.randrange(len(shuffled))
        people.forget()
        people.hear(shuffled[:cut], shuffled[cut:])

        assert people.known() == {
            # A person has two numbers: the newest statement counts.
            KEYS.person_key(ONE): (True, "A81003"),
            KEYS.person_key(THIRD): (True, "A81003"),
            KEYS.person_key(OTHER): (False, "A81004"),
        }


def test_each_fact_is_told_once_to_open_referrals_alone(people: People) -> None:
    people.hear([said(1, at=1)], [said(2, at=2, deceasedBoolean=True)], [said(2, at=2, deceasedBoolean=True)])
    people.hear([said(3, at=3, deceasedDateTime="2026-01-01")], [said(1, at=1)], [said(4, at=0)])

    assert people.to_tell() == [(referral_of(ONE), "person-deceased", "")]


def test_a_move_is_told_with_where_to_and_the_first_practice_is_no_move(people: People) -> None:
    people.hear([said(1, at=1)], [said(2, at=2, practice="A81002")], [said(3, at=3, practice="A81002")])

    assert people.to_tell() == [(referral_of(ONE), "person-moved", "A81002")]


def test_a_death_that_is_taken_back_is_told_too(people: People) -> None:
    people.hear([said(1, at=1, deceasedBoolean=True)], [said(2, at=2, retract=True)])

    assert [news for _, news, _ in people.to_tell()] == ["person-deceased", "person-deceased-withdrawn"]


def test_what_was_said_of_the_wrong_person_is_taken_back_from_them(people: People) -> None:
    people.hear([said(1, at=1, deceasedBoolean=True)], [said(2, OTHER, at=2, deceasedBoolean=True)])

    told = people.to_tell()
    assert [news for referral, news, _ in told if referral == referral_of(OTHER)] == ["person-deceased"]
    assert [news for referral, news, _ in told if referral == referral_of(ONE)] == [
        "person-deceased",
        "person-deceased-withdrawn",
    ]


def test_a_death_under_a_number_that_took_this_ones_place_is_told_and_taken_back_with_the_link(
    people: People,
) -> None:
    died: dict[str, Any] = {"practice": "A81001", "local_id": "q", "deceasedBoolean": True}
    people.hear([said(1, at=1)], [said(2, OTHER, at=2, **died)], [said(3, OTHER, at=3, link=REPLACES_ONE, **died)])
    assert [news for referral, news, _ in people.to_tell() if referral == referral_of(ONE)] == ["person-deceased"]

    people.hear([said(4, OTHER, at=4, **died)])

    assert [news for referral, news, _ in people.to_tell() if referral == referral_of(ONE)] == [
        "person-deceased",
        "person-deceased-withdrawn",
    ]
    assert [news for referral, news, _ in people.to_tell() if referral == referral_of(OTHER)] == ["person-deceased"]


def test_a_number_that_is_said_to_have_become_two_is_joined_with_neither(people: People) -> None:
    people.hear(
        [said(1, at=1)],
        [said(2, THIRD, at=2, local_id="r", link=REPLACES_ONE)],
        [said(3, OTHER, at=3, local_id="q", link=REPLACES_ONE, deceasedBoolean=True)],
    )

    assert [referral for referral, _, _ in people.to_tell()] == [referral_of(OTHER)]


STATED, WITHDRAWN = "person-death-stated", "person-death-stated-withdrawn"


def test_a_death_by_another_source_is_told_as_its_word_and_is_no_fact(people: People) -> None:
    people.hear([said(1, at=1)], [said(2, at=2, source=OTHER_SOURCE, deceasedBoolean=True)])
    people.hear([said(2, at=2, source=OTHER_SOURCE, deceasedBoolean=True)], [said(3, at=3, source=OTHER_SOURCE)])

    assert people.known() == {KEYS.person_key(ONE): (False, "A81001")}
    assert people.to_tell() == [(referral_of(ONE), STATED, "RZ9"), (referral_of(ONE), WITHDRAWN, "RZ9")]


def test_a_word_that_its_source_has_replaced_already_is_no_news(people: People) -> None:
    people.hear([said(3, at=3, source=OTHER_SOURCE)], [said(2, at=2, source=OTHER_SOURCE, deceasedBoolean=True)])

    assert people.to_tell() == []


def test_a_retracted_or_moved_word_is_taken_back(people: People) -> None:
    died: dict[str, Any] = {"source": OTHER_SOURCE, "deceasedDateTime": "2026-01-01"}
    people.hear([said(1, at=1, **died)], [said(2, OTHER, at=2, **died)], [said(3, OTHER, at=3, retract=True, **died)])

    for person in (ONE, OTHER):
        told = [news for referral, news, _ in people.to_tell() if referral == referral_of(person)]
        assert told == [STATED, WITHDRAWN]


def test_each_source_is_told_and_none_after_the_authority(people: People) -> None:
    died: dict[str, Any] = {"deceasedBoolean": True}
    practice = Source("A81001", "emis")
    people.hear([said(1, at=1, source=OTHER_SOURCE, **died), said(2, at=1, source=practice, **died)])
    assert sorted(reason for _, _, reason in people.to_tell()) == ["A81001", "RZ9"]

    people.hear([said(3, at=2, **died)], [said(4, at=3, source=Source("RZ3", "pas"), **died)])

    assert [news for _, news, _ in people.to_tell()] == [STATED, STATED, "person-deceased"]


def test_a_word_reaches_referrals_under_every_number_of_the_person(people: People) -> None:
    people.hear([said(1, at=1), said(2, OTHER, at=1, local_id="q", link=REPLACES_ONE)])
    people.hear([said(3, OTHER, at=2, source=OTHER_SOURCE, deceasedBoolean=True)])

    assert {referral for referral, _, _ in people.to_tell()} == {referral_of(ONE), referral_of(OTHER)}


@pytest.fixture
def surgery(services: Services) -> Iterator[httpx.Client]:
    with services.client("A81001") as client:
        yield client


def tell_of(services: Services, number: str, practice: str, **elements: Any) -> None:
    """Publish the person's Patient as the demographic authority."""
    headers = {"Content-Type": "application/fhir+json", "X-Source-System": DEMOGRAPHICS.system}
    with services.client(DEMOGRAPHICS.ods) as authority:
        resource = {**patient(number, f"pds-{number}", practice), **elements}
        authority.put(f"/fhir/Patient/{resource['id']}", json=resource, headers=headers).raise_for_status()


def changes_of(services: Services, task_id: str) -> list[tuple[str, str, str, list[dict[str, Any]]]]:
    """(action, reason, status, notices) of each change after the first."""
    with psycopg.connect(services.postgres) as connection:
        return connection.execute(
            """select c.action, c.reason, c.status, c.notices
               from referral.change c join referral.referral r using (person_key, referral_id)
               where r.task_id = %s and c.version > 1 order by c.version""",
            [task_id],
        ).fetchall()


def test_everybody_is_told_and_nothing_ends_also_who_refers_the_dead(services: Services, surgery: httpx.Client) -> None:
    number, team = new_nhs_number(), new_team(services, "RZ1")
    tell_of(services, number, "A81001")
    until(lambda: is_known(services, number))
    sent = refer(surgery, service_request(number, team))
    task_id = task_of(sent)

    tell_of(services, number, "A81001", deceasedDateTime="2026-11-01")
    until(lambda: len(changes_of(services, task_id)) == 1)
    services.kill("refer")
    tell_of(services, number, "A81001", deceasedDateTime="2026-11-01")
    tell_of(services, number, "A81002", deceasedBoolean=False)
    services.start("refer")
    until(lambda: len(changes_of(services, task_id)) == 3)

    died, lives, moved = changes_of(services, task_id)
    assert [each[:3] for each in (died, lives, moved)] == [
        ("person-deceased", "", "requested"),
        ("person-deceased-withdrawn", "", "requested"),
        ("person-moved", "A81002", "requested"),
    ]
    told = {(each["recipient"], each["party"]["organisation"], each["reason"]) for each in died[3]}
    assert told == {("requester", "A81001", "person-deceased"), ("recipient", "RZ1", "person-deceased")}
    now = read(surgery, task_id)
    assert now.json()["status"] == "requested"
    with services.client("RZ1") as nurses:
        accepted = act(nurses, task_id, "accept", now.headers["ETag"])
        assert accepted.status_code == 200
        assert act(nurses, task_id, "cancel", accepted.headers["ETag"], REASON).status_code == 200
    tell_of(services, number, "A81002", deceasedBoolean=True)
    until(lambda: nothing_waits(services))
    assert [each[0] for each in changes_of(services, task_id)][3:] == ["accept", "cancel"]

    again = task_of(refer(surgery, service_request(number, team)))
    until(lambda: bool(changes_of(services, again)))
    assert [each[:3] for each in changes_of(services, again)] == [("person-deceased", "", "requested")]


def is_known(services: Services, number: str) -> bool:
    """Return whether the referral service knows where this person is registered."""
    keys = Keys((services.home / "key-secret").read_text().encode())
    key = keys.person_key(PersonIdentifier(NHS_NUMBER_SYSTEM, number))
    with psycopg.connect(services.postgres) as connection:
        return bool(
            connection.execute("select from referral.person_known where person_key = %s", [key]).fetchone() is not None
        )


def nothing_waits(services: Services) -> bool:
    """Return whether everything on care.record was read, and all news was sent."""
    lag = httpx.get(services.stack.health["refer"] + "/metrics", trust_env=False).text
    waiting = [line for line in lag.splitlines() if line.startswith("onestory_consumer_lag") and 'care.record"' in line]
    with psycopg.connect(services.postgres) as connection:
        row = connection.execute("select count(*) from referral.to_tell").fetchone()
    assert row is not None
    return row[0] == 0 and all(line.endswith(" 0.0") for line in waiting)


_REFERRAL = """
insert into referral.referral (person_key, referral_id, local_id, person_system, person_value, task_id, task_number,
    version, kind, priority, status, business_status, is_open, requester_organisation, requester_team,
    requester_subject, sender_organisation, sender_team, referrer_organisation, referrer_team, recipient_organisation,
    recipient_team, holder_organisation,
    holder_team, next_organisation, next_team, service_request, correlation_id, created_at, changed_at, changed_by,
    due_at, request_digest)
select %(key)s, %(id)s, 'l', '', '', 't', 1, 1, 'referral', 'routine', %(status)s, '', is_open, 'A81001', '', '',
    'A81001', '', 'A81001', '', 'RZ1', 'team', organisation, team, organisation, team, '{}', '', now(), now(),
    gen_random_uuid(), due_at, ''
from (values (true, 'A81001', '', now()), (false, null, null, null)) as v (is_open, organisation, team, due_at)
where is_open = (%(status)s = 'requested')
"""

"""Who owns a DoS service id and who serves a practice, in PostgreSQL: authorities, practices, and later claimants."""

from __future__ import annotations

from typing import Any

import pytest
from tests.integration.referral.directory import (
    AUTHORITY,
    MIGRATIONS,
    Room,
    id_of,
    provides,
    reference,
    said,
    service,
    serving,
)
from tests.stack import Stack

from onestory.referral.directory import store as directory_store
from onestory.referral.directory.ownership_store import write_authorities
from onestory.referral.directory.store import FIRST_PAGE, TeamSearch
from onestory.shared.events import DirectoryChanged, Source
from onestory.shared.identity import DOS_SERVICE_SYSTEM, ODS_CODE_SYSTEM
from onestory.shared.postgres import database as postgres_database

ATTACKER, SURGERY = Source("RZ9", "evil"), Source("A81001", "emis")
DOS = {"identifier": {"system": DOS_SERVICE_SYSTEM, "value": "200001"}}


@pytest.fixture(scope="module")
def dsn(stack: Stack) -> str:
    database = stack.fresh_database()
    postgres_database.migrate(database, "referral", MIGRATIONS)
    return database


@pytest.fixture
def room(dsn: str) -> Room:
    found = Room(dsn)
    found.empty()
    return found


def nurses(event_id: int = 1, **more: Any) -> DirectoryChanged:
    """The trust's own team."""
    provider = {"identifier": {"system": ODS_CODE_SYSTEM, "value": "RZ1"}}
    resource = service(providedBy=provider, extension=serving("A81001"), **more)
    return said(event_id, "HealthcareService", "nurses", resource, published=event_id, recorded=event_id)


def evil(event_id: int, source: Source = ATTACKER, **more: Any) -> DirectoryChanged:
    """A team of somebody else, with the same id, name and practices."""
    provider = {"identifier": {"system": ODS_CODE_SYSTEM, "value": source.organisation}}
    resource = service("A District nursing", providedBy=provider, extension=serving("A81001"), **more)
    return said(event_id, "HealthcareService", "evil", resource, published=event_id, recorded=event_id, source=source)


def by_dos_id(room: Room) -> list[str]:
    return [team.team_id for team in room.ask(lambda queries: directory_store.teams_by_dos_id(queries, "200001"))]


def serving_practice(room: Room, practice: str = "A81001") -> list[str]:
    search = TeamSearch(serves=practice)
    found = room.ask(lambda queries: directory_store.search_teams(queries, search, FIRST_PAGE, 10))
    return [cursor.team_id for cursor, _ in found]


def refused(room: Room, claim: str) -> float | None:
    return room.registry.get_sample_value("onestory_directory_claims_refused", {"claim": claim})


NURSES, EVIL = id_of("HealthcareService", "nurses"), id_of("HealthcareService", "evil", ATTACKER)


def test_a_later_claimant_neither_blocks_nor_replaces_the_owner_and_is_counted(room: Room) -> None:
    for order in ([nurses(1), evil(2)], [evil(2), nurses(1)]):
        room.empty()
        room.project(*[[event] for event in order])
        assert by_dos_id(room) == [NURSES]
        assert (refused(room, "dos-service-id"), refused(room, "practice-served")) == (1, 2)

    room.project([nurses(3, active=False)])
    assert by_dos_id(room) == [NURSES]


def test_an_authority_gives_an_id_to_its_owner_whoever_came_first(room: Room) -> None:
    bound = provides("A81001", "RZ1", DOS)

    room.project([evil(1), nurses(2), said(3, "OrganizationAffiliation", "b", bound, source=AUTHORITY)])
    assert (by_dos_id(room), serving_practice(room)) == ([NURSES], [NURSES])

    room.project([said(4, "OrganizationAffiliation", "b", None, source=AUTHORITY, recorded=4)])
    assert (by_dos_id(room), serving_practice(room)) == ([EVIL], [])


def test_a_practice_says_itself_who_serves_it_and_nobody_else_does(room: Room) -> None:
    by_stranger = said(3, "OrganizationAffiliation", "s", provides("A81001", "RZ9"), source=ATTACKER)
    room.project([nurses(1), evil(2), by_stranger])
    assert serving_practice(room) == []
    assert room.counted("no-authority") == 1

    own_word = provides("A81001", "RZ1", reference("HealthcareService", "nurses"))
    room.project([said(4, "OrganizationAffiliation", "own", own_word, source=SURGERY)])
    assert serving_practice(room) == [NURSES]
    assert by_dos_id(room) == [NURSES]


def test_a_practices_word_ends_with_its_period(room: Room) -> None:
    over = provides("A81001", "RZ1", period={"end": "2026-01-31"})
    room.project([nurses(1), said(2, "OrganizationAffiliation", "own", over, source=SURGERY)])
    assert serving_practice(room) == []

    room.project([said(3, "OrganizationAffiliation", "own", provides("A81001", "RZ1"), source=SURGERY, recorded=3)])
    assert serving_practice(room) == [NURSES]


def test_a_practices_word_binds_no_dos_id(room: Room) -> None:
    for_the_attacker = provides("A81001", "RZ9", DOS)
    room.project([nurses(1), evil(2), said(3, "OrganizationAffiliation", "x", for_the_attacker, source=SURGERY)])

    assert by_dos_id(room) == [NURSES]
    assert serving_practice(room) == []


def test_a_team_of_a_practice_serves_that_practice(room: Room) -> None:
    room.project([evil(1, SURGERY)])

    assert serving_practice(room) == [id_of("HealthcareService", "evil", SURGERY)]


def test_an_authority_lists_a_team_for_its_provider(room: Room) -> None:
    provider = {"identifier": {"system": ODS_CODE_SYSTEM, "value": "VA1"}}
    listed = service("Link workers", providedBy=provider, extension=serving("A81001"))

    room.project([said(1, "HealthcareService", "link", listed, source=AUTHORITY)])

    (team,) = room.ask(lambda queries: directory_store.teams_of_organisation(queries, "VA1"))
    assert (team.name, team.practices, team.dos_service_id) == ("Link workers", ("A81001",), "200001")


def test_a_former_authority_counts_no_more(room: Room, dsn: str) -> None:
    room.project([nurses(1), said(2, "OrganizationAffiliation", "b", provides("A81001", "RZ1"), source=AUTHORITY)])
    assert serving_practice(room) == [NURSES]

    with postgres_database.connect(dsn, "referral") as connection:
        write_authorities(connection, ["Q99"])
    assert serving_practice(room) == []


def test_an_authority_offers_slots_of_a_team_and_a_stranger_does_not(room: Room, dsn: str) -> None:
    def offered(number: int, source: Source) -> list[DirectoryChanged]:
        schedule = {"actor": [DOS]}
        slot = {
            "schedule": reference("Schedule", "schedule", source),
            "status": "free",
            "start": "2027-01-04T09:00:00Z",
            "end": "2027-01-04T09:30:00Z",
        }
        return [
            said(number, "Schedule", "schedule", schedule, source=source),
            said(number + 1, "Slot", "slot", slot, source=source),
        ]

    room.project([nurses(1), evil(2), *offered(10, ATTACKER), *offered(20, AUTHORITY)])

    with postgres_database.connect(dsn, "referral") as connection:
        found = connection.execute("select organisation, team_id, slot_id from slot").fetchall()
    assert found == [("RZ1", NURSES, id_of("Slot", "slot", AUTHORITY))]

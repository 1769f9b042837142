"""Teams and roles follow the order rule and resolve in any order of arrival. Other organisations cannot state them."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from tests.integration.referral.directory import (
    AUTHORITY,
    MIGRATIONS,
    TRUST,
    Room,
    arrival,
    at,
    id_of,
    organisation,
    practitioner,
    provides,
    reference,
    role,
    said,
    service,
)
from tests.stack import Stack

from onestory.referral.directory import store as directory_store
from onestory.referral.directory.model import Contact, Role
from onestory.shared.errors import Unprocessable
from onestory.shared.events import DirectoryChanged, Source
from onestory.shared.identity import DOS_SERVICE_SYSTEM, ODS_CODE_SYSTEM, SDS_USER_SYSTEM
from onestory.shared.postgres import database as postgres_database

OTHER = Source("RZ2", "carenotes")
NURSES = id_of("HealthcareService", "nurses")


@pytest.fixture(scope="module")
def dsn(stack: Stack) -> str:
    database = stack.fresh_database()
    postgres_database.migrate(database, "referral", MIGRATIONS)
    return database


@pytest.fixture
def room(dsn: str) -> Room:
    """An empty directory."""
    found = Room(dsn)
    found.empty()
    return found


def everybody() -> list[DirectoryChanged]:
    """One team with one nurse, and the organisation that provides it."""
    return [
        said(1, "Organization", "org", organisation()),
        said(2, "HealthcareService", "nurses", service()),
        said(3, "Practitioner", "ada", practitioner()),
        said(4, "PractitionerRole", "ada-role", role()),
    ]


def test_a_team_is_what_its_healthcareservice_says(room: Room) -> None:
    extensions = "https://onestory.nhs.uk/StructureDefinition"
    contact = {"name": "Eve Marsh", "telecom": [{"system": "phone", "value": "01632 960111"}]}
    nurses = service(
        category=[{"coding": [{"system": "https://onestory.nhs.uk/CodeSystem/team-kind", "code": "district-nursing"}]}],
        extension=[
            {"url": f"{extensions}/team-network", "valueString": "harbour"},
            {
                "url": f"{extensions}/practice-served",
                "valueIdentifier": {"system": ODS_CODE_SYSTEM.replace("Id", "id"), "value": "a81002"},
            },
            {
                "url": f"{extensions}/practice-served",
                "valueIdentifier": {"system": ODS_CODE_SYSTEM, "value": "A81001"},
            },
            {"url": f"{extensions}/escalation-contact", "valueContactDetail": contact},
        ],
    )

    serves = [
        said(number, "OrganizationAffiliation", practice, provides(practice, "RZ1"), source=AUTHORITY)
        for number, practice in ((6, "A81001"), (7, "A81002"))
    ]
    room.project([*everybody(), *serves, said(5, "HealthcareService", "nurses", nurses, recorded=1)])

    team = room.team()
    assert team is not None
    assert (team.organisation, team.name, team.kind, team.network) == (
        "RZ1",
        "District nursing",
        "district-nursing",
        "harbour",
    )
    assert team.practices == ("A81001", "A81002")
    assert team.escalation == Contact("Eve Marsh", "01632 960111", "")
    assert team.active


def test_any_order_and_any_repetition_gives_the_same_tables(room: Room) -> None:
    events = [
        *everybody(),
        said(5, "HealthcareService", "nurses", service("Community nursing"), recorded=3, published=5),
        said(6, "HealthcareService", "nurses", service("Nursing at home"), recorded=3, published=4),
        said(7, "Practitioner", "ada", practitioner("555000000002"), recorded=2),
        said(8, "PractitionerRole", "ada-role", role(period={"end": "2026-03-01"}), recorded=1),
        said(9, "PractitionerRole", "bea-role", role()),
        said(10, "PractitionerRole", "bea-role", None, recorded=4),
    ]
    # The same event, published again: its earliest time counts, so another event becomes current.
    events.append(replace(events[4], published_at=at(2)))
    room.project(events)
    expected = room.rows()

    for seed in range(25):
        order = random.Random(seed)
        shuffled = order.sample(events + order.sample(events, 3), len(events) + 3)
        cut = order.randrange(len(shuffled))
        room.empty()
        room.project(shuffled[:cut], shuffled[cut:])

        assert room.rows() == expected

    team = room.team()
    assert team is not None
    assert team.name == "Nursing at home"
    assert {(each.role_id, each.active) for each in room.roles("555000000002")} == {
        (id_of("PractitionerRole", "ada-role"), True),
        (id_of("PractitionerRole", "bea-role"), False),
    }


def test_references_resolve_whatever_arrives_first(room: Room) -> None:
    for order in itertools.permutations(everybody()):
        room.empty()
        room.project(*[[event] for event in order[:-1]])
        assert not (room.team() and room.roles())

        room.project([order[-1]])

        (found,) = room.roles()
        assert (found.team_id, found.organisation, found.code, found.name) == (NURSES, "RZ1", "R8001", "Ada Okafor")


def test_what_waits_for_what_it_refers_to_is_counted(room: Room) -> None:
    room.project(everybody()[1:])
    waiting = room.registry.get_sample_value("onestory_directory_unresolved", {"type": "HealthcareService"})
    assert waiting == 1

    room.project(everybody()[:1])
    assert room.registry.get_sample_value("onestory_directory_unresolved", {"type": "HealthcareService"}) == 0
    assert room.registry.get_sample_value("onestory_directory_unresolved", {"type": "PractitionerRole"}) == 0


def test_a_retracted_team_takes_no_more_and_is_still_known(room: Room) -> None:
    room.project(everybody(), [said(5, "HealthcareService", "nurses", None, recorded=1)])

    team = room.team()

    assert team is not None
    assert (team.name, team.active) == ("District nursing", False)


def test_a_retracted_role_is_withdrawn_and_not_unknown(room: Room) -> None:
    room.project(everybody(), [said(5, "PractitionerRole", "ada-role", None, recorded=1)])

    assert [each.active for each in room.roles()] == [False]


def test_a_practitioner_who_is_no_longer_in_post_has_no_role_in_force(room: Room) -> None:
    room.project(everybody(), [said(5, "Practitioner", "ada", {**practitioner(), "active": False}, recorded=1)])

    assert [each.active for each in room.roles()] == [False]


def test_a_role_ends_with_the_last_day_of_its_period_in_england(room: Room) -> None:
    dated = role(period={"start": "2026-06", "end": "2026-06-30"})
    room.project(everybody(), [said(5, "PractitionerRole", "ada-role", dated, recorded=1)])

    (found,) = room.roles()

    assert found.starts_at == datetime(2026, 5, 31, 23, tzinfo=UTC)
    assert found.ends_at == datetime(2026, 6, 30, 23, tzinfo=UTC)


def test_a_role_may_name_team_and_practitioner_by_identifier_and_several_teams(room: Room) -> None:
    logical = {
        "practitioner": {"identifier": {"system": SDS_USER_SYSTEM, "value": "555000000009"}, "display": "Cy Lund"},
        "healthcareService": [
            {"identifier": {"system": DOS_SERVICE_SYSTEM.replace("https", "http"), "value": "200001"}},
            reference("HealthcareService", "visitors"),
        ],
    }
    visitors = said(5, "HealthcareService", "visitors", service("Health visiting", "200002"))

    room.project([*everybody(), visitors, said(6, "PractitionerRole", "cy", logical)])

    assert {(each.team_id, each.name) for each in room.roles("555000000009")} == {
        (NURSES, "Cy Lund"),
        (id_of("HealthcareService", "visitors"), "Cy Lund"),
    }


def test_a_role_without_a_team_is_one_at_the_organisation_as_a_whole(room: Room) -> None:
    room.project([*everybody()[:3], said(4, "PractitionerRole", "ada-role", {"practitioner": role()["practitioner"]})])

    assert [(each.team_id, each.organisation) for each in room.roles()] == [("", "RZ1")]


def test_nobody_gives_a_role_in_a_team_of_another_organisation(room: Room) -> None:
    intruder = {
        "practitioner": {"identifier": {"system": SDS_USER_SYSTEM, "value": "555000000666"}},
        "healthcareService": [reference("HealthcareService", "nurses")],
    }

    room.project([*everybody(), said(5, "PractitionerRole", "intruder", intruder, source=OTHER)])

    assert room.roles("555000000666") == []


def test_nobody_lists_a_team_of_another_organisation(room: Room) -> None:
    by_code = service(providedBy={"identifier": {"system": ODS_CODE_SYSTEM, "value": "RZ1"}})
    by_reference = service()
    theirs = {
        "organisation": said(5, "Organization", "org", organisation("Vale", "RZ1"), source=OTHER),
        "by code": said(6, "HealthcareService", "one", by_code, source=OTHER),
        "by reference": said(
            7,
            "HealthcareService",
            "two",
            {**by_reference, "providedBy": reference("Organization", "org", OTHER)},
            source=OTHER,
        ),
    }

    room.project([*everybody(), *theirs.values()])

    found = room.ask(lambda queries: directory_store.teams_by_dos_id(queries, "200001"))
    assert [team.team_id for team in found] == [NURSES]
    assert room.counted("not-ones-own") == 1


def test_an_organisation_is_called_what_it_calls_itself(room: Room) -> None:
    theirs = said(5, "Organization", "org", organisation("A wrong name", "RZ1"), source=OTHER)

    room.project([*everybody(), theirs])

    assert room.ask(lambda queries: directory_store.organisation_name(queries, "RZ1")) == "Vale Community Health"
    assert room.ask(lambda queries: directory_store.organisation_name(queries, "RZ2")) is None


def test_what_cannot_be_used_is_counted_and_what_was_said_before_still_stands(room: Room) -> None:
    room.project(everybody())
    wrong = {
        "content-form": said(5, "HealthcareService", "nurses", {"name": 7}, recorded=1),
        "no-organisation": said(6, "HealthcareService", "nurses", service(providedBy={"display": "Us"}), recorded=1),
        "nobody": said(7, "PractitionerRole", "ada-role", role(practitioner={"display": "Ada"}), recorded=1),
        "no-team": said(8, "PractitionerRole", "ada-role", role(healthcareService=[{"display": "x"}]), recorded=1),
        "event-id-reused": said(4, "PractitionerRole", "ada-role", role(active=False), recorded=1),
    }

    room.project(list(wrong.values()))
    unread = Unprocessable("Not readable.", code="not-decodable")
    room.take([replace(arrival(everybody()[0]), event=unread), replace(arrival(everybody()[0]), key=b"other")])

    assert {reason: room.counted(reason) for reason in [*wrong, "not-decodable", "wrong-key"]} == dict.fromkeys(
        [*wrong, "not-decodable", "wrong-key"], 1
    )
    assert [each.active for each in room.roles()] == [True]
    team = room.team()
    assert team is not None
    assert team.name == "District nursing"


def test_what_this_room_does_not_use_passes_by(room: Room) -> None:
    room.project([said(1, "Location", "site", {"name": "Main site"})])

    assert not any(room.rows().values())


def test_a_role_that_ended_and_one_to_come_are_both_told(room: Room) -> None:
    past, future = role(period={"end": "2025-12-31"}), role(period={"start": "2027-01-01"})

    room.project([*everybody()[:3], said(4, "PractitionerRole", "a", past), said(5, "PractitionerRole", "b", future)])

    found: list[Role] = room.roles()
    now = datetime(2026, 6, 1, tzinfo=UTC)
    assert len(found) == 2
    assert not any(each.is_in_force(now) for each in found)
    assert TRUST.organisation == found[0].organisation

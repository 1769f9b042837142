"""Users can act with the roles and teams of the synthetic network, whose sources publish the directory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TypeVar

import pytest
from tests.stack import Services
from tests.waiting import until

from onestory.referral.directory import store as directory_store
from onestory.referral.directory.model import Contact, Role, Team
from onestory.referral.lifecycle.parties import refusal_reason
from onestory.sample.directory import (
    FORMER_LOCUM,
    PHARMACIST,
    SESSIONAL_GP,
    Worker,
    directory_submissions,
    posts,
)
from onestory.sample.network import PRACTICES, SOURCES
from onestory.sample.teams import teams
from onestory.shared.events import Party
from onestory.shared.policy import Caller
from onestory.shared.postgres.database import Database, Queries, create_pool

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
Found = TypeVar("Found")


@pytest.fixture(scope="module")
def services_with_directory(services: Services) -> Services:
    for said in directory_submissions():
        with services.client(said.source.ods) as client:
            headers = {"Content-Type": "application/fhir+json", "X-Source-System": said.source.system}
            client.post("/fhir", content=said.body, headers=headers).raise_for_status()
    expected = sum(len(post.teams) for source in SOURCES for post in posts(source))
    users = [post.worker for source in SOURCES for post in posts(source)]
    until(lambda: sum(len(roles(services, worker)) for worker in set(users)) == expected)
    return services


def ask(services: Services, question: Callable[[Queries], Awaitable[Found]]) -> Found:
    """Return the result of a query of the directory."""

    async def asked() -> Found:
        async with create_pool(services.postgres, "record") as pool:
            return await question(Database(pool))

    return asyncio.run(asked())


def roles(services: Services, worker: Worker) -> list[Role]:
    """Return all roles of a worker."""
    return ask(services, lambda queries: directory_store.roles_of_user(queries, worker.user_id))


def team_of(services: Services, ods: str) -> Team:
    """The first team of an organisation."""
    source = next(source for source in SOURCES if source.ods == ods)
    (found,) = ask(services, lambda queries: directory_store.teams_by_dos_id(queries, teams(source)[0].dos_service_id))
    return found


def why_not(services: Services, worker: Worker, organisation: str, at: str) -> str | None:
    """Return why a worker with a token of `organisation` may not act for the first team of `at`."""
    team = team_of(services, at)
    caller = Caller(organisation, "", worker.user_id, "R8000", "", "TREAT")
    return refusal_reason(caller, Party(team.organisation, team.team_id), team, roles(services, worker), NOW)


def test_a_team_is_found_with_all_that_it_says(services_with_directory: Services) -> None:
    nurses = team_of(services_with_directory, "RZ1")

    assert (nurses.organisation, nurses.kind, nurses.network) == ("RZ1", "community-nursing", "harbour")
    assert nurses.practices == ("A81001", "A81002", "A81003")
    assert nurses.escalation == Contact(
        "Duty manager, Vale Community Health NHS Trust", "01632 960070", "duty.rz1@example.org"
    )
    name = ask(services_with_directory, lambda queries: directory_store.organisation_name(queries, "RZ1"))
    assert name == "Vale Community Health NHS Trust"


def test_a_pharmacist_of_three_practices_acts_for_each_whichever_token_she_has(
    services_with_directory: Services,
) -> None:
    for practice in PRACTICES[:3]:
        assert why_not(services_with_directory, PHARMACIST, "A81001", practice.ods) is None
    because = why_not(services_with_directory, PHARMACIST, "A81001", "A81004")
    assert because == "You hold no role in General practice service, Moorside Group Practice."


def test_a_sessional_doctor_acts_at_both_practices(services_with_directory: Services) -> None:
    assert why_not(services_with_directory, SESSIONAL_GP, "A81001", "A81001") is None
    assert why_not(services_with_directory, SESSIONAL_GP, "A81001", "A81002") is None


def test_who_has_left_is_told_since_when(services_with_directory: Services) -> None:
    because = why_not(services_with_directory, FORMER_LOCUM, "A81005", "A81005")

    assert because == "Your role in General practice service, Upper Dale Surgery ended on 31 March 2026."

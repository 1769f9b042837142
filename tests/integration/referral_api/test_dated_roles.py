"""Published roles decide who acts for a team, from the day on which a role begins until it ends."""

from __future__ import annotations

import secrets
from typing import Any

import httpx
import psycopg
import pytest
from tests.people import new_nhs_number
from tests.referrals import FHIR, act, new_team, read, refer, service_request, task_of
from tests.stack import Services
from tests.waiting import until

from onestory.shared.identity import SDS_USER_SYSTEM


@pytest.fixture
def team(services: Services) -> str:
    return new_team(services, "RZ1", "District nursing")


@pytest.fixture
def user() -> str:
    return f"555{secrets.randbelow(10**9):09d}"


def say_role(services: Services, user: str, team: str, organisation: str = "RZ1", **elements: Any) -> None:
    """Publish a role of this user at a team as the organisation, and wait until the referral service has it."""
    role = {
        "resourceType": "PractitionerRole",
        "id": f"role-{user}-{team}",
        "practitioner": {"identifier": {"system": SDS_USER_SYSTEM, "value": user}},
        "healthcareService": [{"reference": f"HealthcareService/{team}"}],
        **elements,
    }
    with services.client(organisation) as client:
        client.put(f"/fhir/PractitionerRole/{role['id']}", json=role, headers=FHIR).raise_for_status()
    with psycopg.connect(services.postgres, autocommit=True) as connection:
        until(lambda: bool(connection.execute(_KNOWN, [user, elements.get("active", True)]).fetchall()))


_KNOWN = "select from referral.directory_role where subject = %s and active = %s"


def try_to_accept(services: Services, organisation: str, user: str, surgery: httpx.Client, task: str) -> httpx.Response:
    """Try to accept the Task as this user, with a token of this organisation."""
    with services.client(organisation, sub=user) as client:
        return act(client, task, "accept", read(surgery, task).headers["ETag"])


def why(answer: httpx.Response) -> str:
    """Return the diagnostics of a refusal with status 403."""
    assert answer.status_code == 403, answer.text
    return str(answer.json()["issue"][0]["diagnostics"])


def test_a_visitor_with_a_role_in_force_accepts_with_the_token_of_home(
    services: Services, surgery: httpx.Client, team: str, user: str
) -> None:
    task = task_of(refer(surgery, service_request(new_nhs_number(), team)))
    say_role(services, user, team, period={"start": "2026-01-01", "end": "2999-12-31"})

    assert try_to_accept(services, "A81004", user, surgery, task).status_code == 200


@pytest.mark.parametrize(
    ("elements", "because"),
    [
        ({"period": {"end": "2026-03-31"}}, "Your role in District nursing ended on 31 March 2026."),
        ({"period": {"start": "2999-01-01"}}, "Your role in District nursing starts on 1 January 2999."),
        ({"active": False}, "Your role in District nursing has been withdrawn."),
    ],
)
def test_a_role_that_is_not_in_force_is_refused_with_the_reason_and_changes_nothing(
    services: Services, surgery: httpx.Client, team: str, user: str, elements: dict[str, Any], because: str
) -> None:
    task = task_of(refer(surgery, service_request(new_nhs_number(), team)))
    say_role(services, user, team, **elements)
    before = read(surgery, task)

    assert why(try_to_accept(services, "RZ1", user, surgery, task)) == because
    after = read(surgery, task)
    assert (after.headers["ETag"], after.json()) == (before.headers["ETag"], before.json())


def test_a_role_ends_for_the_next_request_of_somebody_whose_token_goes_on(
    services: Services, surgery: httpx.Client, team: str, user: str
) -> None:
    task = task_of(refer(surgery, service_request(new_nhs_number(), team)))
    say_role(services, user, team)
    accepted = try_to_accept(services, "RZ1", user, surgery, task)
    assert accepted.status_code == 200

    say_role(services, user, team, active=False)

    with services.client("RZ1", sub=user) as client:
        assert why(act(client, task, "start", accepted.headers["ETag"])).endswith("has been withdrawn.")
    with services.client("RZ1") as system:
        assert act(system, task, "start", accepted.headers["ETag"]).status_code == 200


def test_nobody_opens_a_teams_work_by_a_role_that_another_organisation_publishes(
    services: Services, surgery: httpx.Client, team: str, user: str
) -> None:
    task = task_of(refer(surgery, service_request(new_nhs_number(), team)))
    say_role(services, user, team, organisation="RZ2")

    assert try_to_accept(services, "RZ2", user, surgery, task).status_code == 404


def test_a_team_that_was_withdrawn_takes_no_new_referral_and_finishes_what_it_has(
    services: Services, surgery: httpx.Client
) -> None:
    local_id = f"closing-{secrets.token_hex(4)}"
    said = {"resourceType": "HealthcareService", "id": local_id, "name": "A team that closes"}
    with services.client("RZ1") as trust:
        answer = trust.put(f"/fhir/HealthcareService/{local_id}", json=said, headers=FHIR)
        team = answer.headers["Location"].partition("/HealthcareService/")[2].partition("/")[0]
        with psycopg.connect(services.postgres, autocommit=True) as connection:
            until(lambda: active(connection, team) is True)
            task = task_of(refer(surgery, service_request(new_nhs_number(), team)))

            trust.delete(f"/fhir/HealthcareService/{local_id}").raise_for_status()
            until(lambda: active(connection, team) is False)

        refused = refer(surgery, service_request(new_nhs_number(), team))
        assert refused.status_code == 422
        assert "takes no referrals any more" in refused.json()["issue"][0]["diagnostics"]
        assert act(trust, task, "accept", read(surgery, task).headers["ETag"]).status_code == 200


def active(connection: psycopg.Connection, team: str) -> bool | None:
    """Return whether a team takes referrals; None while the directory does not have the team."""
    row = connection.execute("select active from referral.team where team_id = %s", [team]).fetchone()
    return None if row is None else bool(row[0])

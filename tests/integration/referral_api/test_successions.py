"""Teams merge, split and close, and people hand over: referrals move by an event, on real PostgreSQL and Kafka."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import psycopg
import pytest
from tests.people import new_nhs_number
from tests.referrals import FHIR, act, new_role, new_team, read, refer, restate_team, say, service_request, task_of
from tests.stack import Services
from tests.waiting import until

from onestory.sample.network import DIRECTORY
from onestory.shared.identity import ODS_CODE_SYSTEM, SDS_USER_SYSTEM

SUCCEEDED_BY = "https://onestory.nhs.uk/StructureDefinition/succeeded-by"


@pytest.fixture
def authority(services: Services) -> Iterator[httpx.Client]:
    with services.client(DIRECTORY.ods) as client:
        yield client


def succeeded_by(successor: dict[str, Any], *more: dict[str, Any]) -> dict[str, Any]:
    return {"url": SUCCEEDED_BY, "extension": [{"url": "successor", "valueReference": successor}, *more]}


def team_reference(team: str) -> dict[str, Any]:
    return {"reference": f"HealthcareService/{team}"}


def organisation(ods: str) -> dict[str, Any]:
    return {"type": "Organization", "identifier": {"system": ODS_CODE_SYSTEM, "value": ods}}


def sent(surgery: httpx.Client, team: str, **elements: Any) -> str:
    """The Task of a new referral of a new person."""
    return task_of(refer(surgery, service_request(new_nhs_number(), team, **elements)))


def owner(client: httpx.Client, task: str) -> str:
    answer = read(client, task)
    return str(answer.json()["owner"]["reference"]).rpartition("/")[2] if answer.status_code == 200 else ""


def notices(client: httpx.Client, task: str) -> list[str]:
    found = client.get("/notices", params={"count": 200}).json()["notices"]
    return [each["code"] for each in found if each["task"] == task]


def rows(client: httpx.Client, team: str) -> list[str]:
    return [row["task"] for row in client.get(f"/worklists/teams/{team}", params={"count": 200}).json()["rows"]]


def test_two_teams_merge_and_nothing_is_lost_or_doubled(
    services: Services, surgery: httpx.Client, nurses: httpx.Client
) -> None:
    first, second, merged = (new_team(services, "RZ1") for _ in range(3))
    tasks = [sent(surgery, first), sent(surgery, first), sent(surgery, second)]
    booked = act(nurses, tasks[0], "accept", read(nurses, tasks[0]).headers["ETag"])
    start = {"name": "start", "valueDateTime": (datetime.now(UTC) + timedelta(days=3)).isoformat()}
    booked = act(nurses, tasks[0], "book", booked.headers["ETag"], start)
    asked = say(nurses, tasks[1], read(nurses, tasks[1]).headers["ETag"], "question")
    assert (booked.status_code, asked.status_code) == (200, 200), asked.text
    before = {task: read(nurses, task).json() for task in tasks}

    for team in (first, second):
        restate_team(services, team, active=False, extension=[succeeded_by(team_reference(merged))])
    until(lambda: sorted(rows(nurses, merged)) == sorted(tasks), 30)

    assert (rows(nurses, first), rows(nurses, second)) == ([], [])
    for task in tasks:
        after = read(nurses, task).json()
        assert owner(nurses, task) == merged
        for same in ("status", "businessStatus", "restriction", "authoredOn", "priority"):
            assert after[same] == before[task][same]
        assert notices(surgery, task)[0] == notices(nurses, task)[0] == "referral-handed-over"
        assert notices(surgery, task).count("referral-handed-over") == 1
    told = nurses.get("/handovers").json()["handovers"]
    mine = [each for each in told if each["to"].get("team") == merged]
    assert sorted(referral["task"] for each in mine for referral in each["referrals"]) == sorted(tasks)
    by_task = {each["referrals"][0]["task"]: each["referrals"][0] for each in mine}
    assert by_task[tasks[0]]["appointments"][0]["start"][:10] == start["valueDateTime"][:10]
    assert by_task[tasks[1]]["openQuestion"] is True
    assert not [each for each in surgery.get("/handovers").json()["handovers"] if each["to"].get("team") == merged]
    late = refer(surgery, service_request(new_nhs_number(), first))
    assert (late.status_code, f"HealthcareService/{merged}" in late.text) == (422, True)
    # The work goes on with the team that has it now.
    assert act(nurses, tasks[2], "accept", read(nurses, tasks[2]).headers["ETag"]).status_code == 200


def test_a_team_splits_by_practice(services: Services, surgery: httpx.Client, nurses: httpx.Client) -> None:
    old, north, rest = (new_team(services, "RZ1") for _ in range(3))
    with services.client("A81002") as other:
        here, there = sent(surgery, old), sent(other, old)
    practice = {"url": "practice", "valueIdentifier": {"system": ODS_CODE_SYSTEM, "value": "A81001"}}

    restate_team(
        services,
        old,
        active=False,
        extension=[succeeded_by(team_reference(rest)), succeeded_by(team_reference(north), practice)],
    )

    until(lambda: (owner(nurses, here), owner(nurses, there)) == (north, rest), 30)


def test_a_closed_team_tells_its_requesters_once_and_again_after_it_opened(
    services: Services, surgery: httpx.Client, nurses: httpx.Client, team: str
) -> None:
    task = sent(surgery, team)

    for times in (1, 2):
        restate_team(services, team, active=False)
        until(lambda times=times: notices(surgery, task).count("team-closed") == times, 30)  # type: ignore[misc]
        assert notices(nurses, task).count("team-closed") == times
        restate_team(services, team, active=True)
        until(lambda: _takes_referrals(services, team), 30)

    assert read(surgery, task).json()["status"] == "requested"
    assert owner(surgery, task) == team


def _takes_referrals(services: Services, team: str) -> bool:
    with psycopg.connect(services.postgres) as connection:
        query = """select from referral.team t where t.team_id = %s and active
            and not exists (select from referral.closed_team_told c where c.team_id = t.team_id)"""
        return bool(connection.execute(query, [team]).fetchall())


def test_nobody_hands_referrals_to_another_organisation_but_an_authority(
    services: Services, surgery: httpx.Client, nurses: httpx.Client, authority: httpx.Client
) -> None:
    old, new = new_team(services, "RZ1"), new_team(services, "RZ2")
    task = sent(surgery, old)

    restate_team(services, old, active=False, extension=[succeeded_by(team_reference(new))])
    until(lambda: "team-closed" in notices(surgery, task), 30)
    assert owner(nurses, task) == old

    stated = succeeded_by(team_reference(new), {"url": "predecessor", "valueReference": team_reference(old)})
    resource = {
        "resourceType": "Organization",
        "id": f"m-{secrets.token_hex(4)}",
        "name": "Merger",
        "extension": [stated],
    }
    authority.put(f"/fhir/Organization/{resource['id']}", json=resource, headers=FHIR).raise_for_status()
    with services.client("RZ2") as successor:
        until(lambda: owner(successor, task) == new, 30)
        tag = read(successor, task).headers["ETag"]
        assert act(nurses, task, "accept", tag).status_code == 404
        assert act(successor, task, "accept", tag).status_code == 200


def test_a_practice_is_succeeded_by_another(
    services: Services, nurses: httpx.Client, team: str, authority: httpx.Client
) -> None:
    old, new = f"P{secrets.token_hex(3)}".upper(), f"N{secrets.token_hex(3)}".upper()
    with services.client(old) as before, services.client(new) as after:
        task = sent(before, team)
        assert read(after, task).status_code == 404
        stated = succeeded_by(organisation(new), {"url": "predecessor", "valueReference": organisation(old)})
        resource = {"resourceType": "Organization", "id": f"m-{old}", "name": "Merger", "extension": [stated]}
        authority.put(f"/fhir/Organization/m-{old}", json=resource, headers=FHIR).raise_for_status()

        until(lambda: read(after, task).status_code == 200, 30)

        assert notices(after, task)[0] == notices(nurses, task)[0] == "referral-handed-over"
        assert [row["task"] for row in after.get(f"/worklists/organisations/{new}").json()["rows"]] == [task]
        cancelled = act(
            after, task, "cancel", read(after, task).headers["ETag"], {"name": "reason", "valueString": "No need"}
        )
        assert cancelled.status_code == 200


def claimed(services: Services, surgery: httpx.Client, team: str, user: str) -> str:
    task = sent(surgery, team)
    with services.client("RZ1", sub=user) as nurse:
        assert act(nurse, task, "claim", read(nurse, task).headers["ETag"]).status_code == 200
    return task


def publish_role(services: Services, user: str, team: str, **elements: Any) -> Callable[..., None]:
    """Publish a role of the trust, and return the function that publishes it again with other elements."""
    local_id = f"role-{secrets.token_hex(4)}"

    def publish(**others: Any) -> None:
        resource = {
            "resourceType": "PractitionerRole",
            "id": local_id,
            "practitioner": {"identifier": {"system": SDS_USER_SYSTEM, "value": user}, "display": "Ada"},
            "healthcareService": [team_reference(team)],
            **elements,
            **others,
        }
        with services.client("RZ1") as client:
            client.put(f"/fhir/PractitionerRole/{local_id}", json=resource, headers=FHIR).raise_for_status()

    publish()
    return publish


def has_role(services: Services, user: str) -> bool:
    with psycopg.connect(services.postgres) as connection:
        return bool(connection.execute("select from referral.role where subject = %s", [user]).fetchall())


def test_who_retires_hands_over_to_a_successor(services: Services, surgery: httpx.Client, team: str) -> None:
    user, successor = f"u{secrets.token_hex(4)}", f"s{secrets.token_hex(4)}"
    publish = publish_role(services, user, team)
    until(lambda: has_role(services, user), 30)
    new_role(services, team, "RZ1", successor)
    task = claimed(services, surgery, team, user)

    by_id = {"type": "Practitioner", "identifier": {"system": SDS_USER_SYSTEM, "value": successor}}
    publish(period={"end": "2026-11-30"}, extension=[succeeded_by(by_id)])

    with services.client("RZ1", sub=successor) as heir:
        until(lambda: [row["task"] for row in heir.get("/worklists/mine?claimed=me").json()["rows"]] == [task], 30)
        (told,) = heir.get("/handovers").json()["handovers"]
        assert (told["from"]["user"], told["to"]["user"]) == (user, successor)
        assert told["referrals"][0]["task"] == task
        assert "referral-handed-over" in notices(heir, task)


def test_a_claim_ends_with_the_role_and_the_team_is_told(
    services: Services, surgery: httpx.Client, nurses: httpx.Client, team: str
) -> None:
    user = f"u{secrets.token_hex(4)}"
    publish = publish_role(services, user, team)
    until(lambda: has_role(services, user), 30)
    task = claimed(services, surgery, team, user)

    publish(active=False)

    until(lambda: "referral-claim-ended" in notices(nurses, task), 30)
    assert "referral-claim-ended" not in notices(surgery, task)
    (row,) = nurses.get(f"/worklists/teams/{team}").json()["rows"]
    assert row["claimedBy"] is None

    # A successor who is named only later still has the work.
    heir = {"type": "Practitioner", "identifier": {"system": SDS_USER_SYSTEM, "value": f"late-{user}"}}
    publish(active=False, extension=[succeeded_by(heir)])
    until(lambda: "referral-handed-over" in notices(nurses, task), 30)
    (row,) = nurses.get(f"/worklists/teams/{team}").json()["rows"]
    assert row["claimedBy"]["user"] == f"late-{user}"


def test_the_old_topology_is_read_by_date(services: Services, surgery: httpx.Client, authority: httpx.Client) -> None:
    suffix = secrets.token_hex(3)
    practice = f"T{suffix}".upper()

    def membership(network: str, **period: str) -> dict[str, Any]:
        return {
            "resourceType": "OrganizationAffiliation",
            "id": f"{practice}-{network}",
            "organization": {"identifier": {"system": "https://onestory.nhs.uk/Id/care-network", "value": network}},
            "participatingOrganization": organisation(practice),
            "code": [{"coding": [{"system": "http://hl7.org/fhir/organization-role", "code": "member"}]}],
            "period": period,
        }

    cluster, network = f"cluster-{suffix}", f"network-{suffix}"
    for each in (membership(cluster, end="2026-03-31"), membership(network, start="2026-04-01")):
        authority.put(f"/fhir/OrganizationAffiliation/{each['id']}", json=each, headers=FHIR).raise_for_status()

    def networks(at: str) -> list[str]:
        found = surgery.get("/directory/topology", params={"at": at}).json()["networks"]
        return [each["network"] for each in found if practice in [member["organisation"] for member in each["members"]]]

    until(lambda: networks("2026-04-01") == [network], 30)
    assert networks("2026-03-31") == [cluster]
    assert surgery.get("/directory/topology", params={"at": "soon"}).status_code == 400

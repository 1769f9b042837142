"""A request asks several teams at once, and one of them accepts."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import httpx
from tests.people import new_nhs_number
from tests.referrals import act, new_team, read, refer, service_request
from tests.stack import Services


def tasks_of(answer: httpx.Response) -> list[str]:
    """The ids of the Tasks in the answer."""
    return [link.partition("/fhir/Task/")[2].partition(">")[0] for link in answer.headers["Link"].split(", ")]


def test_two_teams_are_asked_and_one_acceptance_counts(
    services: Services, surgery: httpx.Client, nurses: httpx.Client, team: str
) -> None:
    number, other = new_nhs_number(), new_team(services, "RZ2")
    both = [{"reference": f"HealthcareService/{each}"} for each in (team, other)]
    key = {"Idempotency-Key": f"both-{number}"}
    sent = refer(surgery, service_request(number, team, performer=both), **key)
    assert sent.status_code == 201, sent.text
    assert refer(surgery, service_request(number, team, performer=both), **key).headers["Link"] == sent.headers["Link"]
    first, second = tasks_of(sent)

    with services.client("RZ2") as others, ThreadPoolExecutor(2) as pool:
        turns = [(nurses, first, read(nurses, first)), (others, second, read(others, second))]
        answers = list(pool.map(lambda turn: act(turn[0], turn[1], "accept", turn[2].headers["ETag"]), turns))

        assert sorted(answer.status_code for answer in answers) in ([200, 409], [200, 412])
        states = {read(client, task).json()["status"]: read(client, task).json() for client, task, _ in turns}
        assert set(states) == {"accepted", "cancelled"}
        assert states["cancelled"]["statusReason"]["text"] == "Another team that was asked at once has accepted"
        again = refer(surgery, service_request(number, team if answers[0].status_code == 200 else other))
        assert "has an open referral" in again.headers["Warning"]

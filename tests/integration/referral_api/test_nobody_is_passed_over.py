"""Cases that a team could miss: a question after passing on, a death, a list after a restore, a correction."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import httpx
import psycopg
import pytest
from tests.people import new_nhs_number
from tests.referrals import REASON, act, advice_request, new_team, read, refer, say, service_request, task_of
from tests.stack import Services
from tests.waiting import until

from onestory.shared.identity import NHS_NUMBER_SYSTEM, Keys, PersonIdentifier


@pytest.fixture
def surgery(services: Services) -> Iterator[httpx.Client]:
    with services.client("A81001", network="harbour") as client:
        yield client


@pytest.fixture
def physios(services: Services) -> Iterator[httpx.Client]:
    with services.client("RY2") as client:
        yield client


def to(team_id: str) -> dict[str, Any]:
    return {"name": "recipient", "valueReference": {"reference": f"HealthcareService/{team_id}"}}


def rows(client: httpx.Client, team_id: str, **asked: str) -> list[dict[str, Any]]:
    answer = client.get(f"/worklists/teams/{team_id}", params=asked)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["rows"]
    return found


def passed_on(nurses: httpx.Client, sent: httpx.Response, team_id: str) -> httpx.Response:
    """The team accepts it, and redirects it."""
    accepted = act(nurses, task_of(sent), "accept", sent.headers["ETag"])
    passed = act(nurses, task_of(sent), "redirect", accepted.headers["ETag"], REASON, to(team_id))
    assert passed.status_code == 200, passed.text
    return passed


def test_a_team_that_passed_a_referral_on_has_a_question_about_it_on_its_list(
    services: Services, surgery: httpx.Client, nurses: httpx.Client, physios: httpx.Client, team: str
) -> None:
    physio = new_team(services, "RY2")
    sent = refer(surgery, service_request(new_nhs_number(), team))
    passed = passed_on(nurses, sent, physio)
    accepted = act(physios, passed.json()["id"], "accept", passed.headers["ETag"])
    assert rows(nurses, team) == []

    asked = say(physios, passed.json()["id"], accepted.headers["ETag"], "question")

    (row,) = rows(nurses, team, next="me")
    assert (row["referral"], row["yourTurn"], row["holder"]["team"]) == (sent.json()["id"], True, physio)
    assert [each["referral"] for each in rows(physios, physio)] == [sent.json()["id"]]
    assert nurses.get(f"/worklists/teams/{team}").json()["counts"]["total"] == 1
    answered = say(nurses, passed.json()["id"], asked.headers["ETag"], "answer", "Yes.")
    assert answered.status_code == 200, answered.text
    assert rows(nurses, team) == []


def test_a_list_has_all_its_rows_after_the_database_was_restored_from_a_copy(
    services: Services, surgery: httpx.Client, nurses: httpx.Client, team: str
) -> None:
    sent = [refer(surgery, service_request(new_nhs_number(), team)) for _ in range(3)]
    with psycopg.connect(services.postgres) as connection:
        # A copy keeps its transaction numbers. They can be higher than those that a new cluster has reached.
        connection.execute("set session_replication_role = replica")
        connection.execute(
            "update referral.referral set changed_in = '4000000000000'::xid8 where recipient_team = %s", [team]
        )

    first = nurses.get(f"/worklists/teams/{team}", params={"count": 2}).json()
    changed = act(nurses, task_of(sent[0]), "accept", sent[0].headers["ETag"])
    assert changed.status_code == 200, changed.text
    second = nurses.get(first["next"]).json()

    assert len(first["rows"]) == 2
    shown = {row["referral"] for page in (first, second) for row in page["rows"]}
    assert shown == {each.json()["id"] for each in sent}


def deceased(services: Services, number: str) -> None:
    """Write that this person has died, as if the referral service had got the news earlier."""
    keys = Keys((services.home / "key-secret").read_text().encode())
    with psycopg.connect(services.postgres) as connection:
        connection.execute(
            """insert into referral.person_known (person_key, deceased, practice) values (%s, true, '')
               on conflict (person_key) do update set deceased = true""",
            [keys.person_key(PersonIdentifier(NHS_NUMBER_SYSTEM, number))],
        )


def told_of_a_death(services: Services, organisation: str, answer: httpx.Response) -> Callable[[], bool]:
    """Return a check whether this organisation has a notice that the person of this referral has died."""

    def is_told() -> bool:
        with psycopg.connect(services.postgres) as connection:
            found = connection.execute(
                """select from referral.notice n join referral.referral r using (person_key, referral_id)
                   where n.organisation = %s and n.reason = 'person-deceased' and r.task_id = %s""",
                [organisation, task_of(answer) if "Link" in answer.headers else answer.json()["id"]],
            )
            return found.fetchone() is not None

    return is_told


def test_whom_a_referral_comes_to_later_hears_as_well_that_the_person_has_died(
    services: Services, surgery: httpx.Client, nurses: httpx.Client, team: str
) -> None:
    number, physio = new_nhs_number(), new_team(services, "RY2")
    sent = refer(surgery, service_request(number, team))
    deceased(services, number)

    passed = act(surgery, task_of(sent), "redirect", sent.headers["ETag"], REASON, to(physio))

    assert passed.status_code == 200, passed.text
    until(told_of_a_death(services, "RY2", passed))


def test_who_is_sent_a_draft_of_somebody_who_has_died_meanwhile_is_told(
    services: Services, surgery: httpx.Client, team: str
) -> None:
    number = new_nhs_number()
    draft = refer(surgery, service_request(number, team, status="draft"))
    deceased(services, number)

    sent = act(surgery, task_of(draft), "request", draft.headers["ETag"])

    assert sent.status_code == 200, sent.text
    until(told_of_a_death(services, "RZ1", sent))


def test_who_gets_the_referral_that_advice_becomes_is_told_that_the_person_has_died(
    services: Services, surgery: httpx.Client, team: str
) -> None:
    number, physio = new_nhs_number(), new_team(services, "RY2")
    sent = refer(surgery, advice_request(number, team))
    deceased(services, number)

    made = act(surgery, task_of(sent), "convert", sent.headers["ETag"], to(physio))

    assert made.status_code == 200, made.text
    until(told_of_a_death(services, "RY2", made))


def test_of_a_referral_that_was_a_mistake_everything_was_one(
    services: Services, surgery: httpx.Client, nurses: httpx.Client, physios: httpx.Client, team: str
) -> None:
    number, physio = new_nhs_number(), new_team(services, "RY2")
    services.register(number)
    sent = refer(surgery, service_request(number, team))
    asked = say(nurses, task_of(sent), sent.headers["ETag"], "question", "Is her ulcer infected?")
    letter = {"name": "output", "valueString": "Her ulcer is infected"}
    accepted = act(nurses, task_of(sent), "accept", asked.headers["ETag"])
    booked = act(nurses, task_of(sent), "book", accepted.headers["ETag"], letter)
    passed = act(nurses, task_of(sent), "redirect", booked.headers["ETag"], REASON, to(physio))

    wrong = act(surgery, passed.json()["id"], "correct", passed.headers["ETag"], REASON)

    assert wrong.status_code == 200, wrong.text
    names = [f"Task/{task_of(sent)}", f"Task/{passed.json()['id']}", f"Communication/{asked.json()['id']}"]
    names.append(f"ServiceRequest/{sent.json()['id']}")
    with services.client("A81002", network="harbour") as colleague:
        for name in names:
            until(partial(is_in_error, surgery, name))
            until(partial(is_in_error, colleague, name))
        (message,) = colleague.get(f"/fhir/Communication?patient={number}").json()["entry"]
    assert "payload" not in message["resource"]
    assert "output" not in read(surgery, task_of(sent)).json()


def is_in_error(client: httpx.Client, name: str) -> bool:
    found: dict[str, Any] = client.get(f"/fhir/{name}").json()
    return found.get("status") == "entered-in-error"


def test_what_is_too_large_to_be_told_is_refused_and_keeps_nobody_waiting(
    services: Services, surgery: httpx.Client, nurses: httpx.Client, team: str
) -> None:
    sent = refer(surgery, service_request(new_nhs_number(), team))
    accepted = act(nurses, task_of(sent), "accept", sent.headers["ETag"])
    letter = {"name": "output", "valueString": "x" * 3_000_000}
    booked = act(nurses, task_of(sent), "book", accepted.headers["ETag"], letter)
    assert booked.status_code == 200, booked.text

    again = act(nurses, task_of(sent), "book", booked.headers["ETag"], letter)

    assert again.status_code == 413, again.text
    begun = act(nurses, task_of(sent), "start", booked.headers["ETag"])
    assert begun.status_code == 200, begun.text
    assert act(nurses, task_of(sent), "complete", begun.headers["ETag"]).status_code == 200

    def is_sent() -> bool:
        with psycopg.connect(services.postgres) as connection:
            return connection.execute("select from referral.outbox").fetchone() is None

    until(is_sent)

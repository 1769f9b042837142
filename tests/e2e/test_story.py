"""The main use of OneStory from end to end: a person's data is stated once, and every team of her care reads it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import httpx
import pytest
from tests.people import condition, new_nhs_number, patient, said_at, transaction
from tests.referrals import act, new_team, read, refer, service_request, task_of
from tests.stack import Services
from tests.waiting import until

from onestory.shared.identity import NHS_NUMBER_SYSTEM

FHIR_JSON = {"Content-Type": "application/fhir+json", "Prefer": "wait=20"}


@dataclass(slots=True)
class Team:
    """One organisation that publishes to intake and reads the record."""

    http: httpx.Client
    system: str
    receipts: list[httpx.Response] = field(default_factory=list)

    def says(self, resource: dict[str, Any], **headers: str) -> httpx.Response:
        """Publish and wait until it is visible."""
        kind, local_id = resource["resourceType"], resource.get("id")
        sent = {**FHIR_JSON, "X-Source-System": self.system, **headers}
        if kind == "Bundle":
            return self.http.post("/fhir", json=resource, headers=sent)
        return self.http.put(f"/fhir/{kind}/{local_id}", json=resource, headers=sent)

    def withdraws(self, kind: str, local_id: str, nhs_number: str) -> httpx.Response:
        sent = {**FHIR_JSON, "X-Source-System": self.system}
        return self.http.delete(f"/fhir/{kind}/{local_id}", params={"patient": nhs_number}, headers=sent)

    def reads(self, nhs_number: str) -> httpx.Response:
        return self.http.get(f"/fhir/Patient/{nhs_number}/$everything")


@pytest.fixture
def teams(services: Services) -> Iterator[dict[str, Team]]:
    harbour = {"network": "harbour"}  # where the embedded stack's settings place A81001
    opened = {
        "practice": Team(services.client("A81001", **harbour), "emis-web"),
        "community": Team(services.client("RY001", **harbour), "systmone-community"),
        "social care": Team(services.client("LA001", **harbour), "mosaic"),
        "hospital": Team(services.client("RX001", network="hospitals"), "epr"),
        "stranger": Team(services.client("B99999", network="elsewhere"), "emis-web"),
        "demographics": Team(services.client("X26", network="national"), "pds"),
    }
    yield opened
    for team in opened.values():
        team.http.close()


def texts(answer: httpx.Response) -> list[str]:
    """The problems in a record, as their sources worded them, in a fixed order."""
    entries = [entry["resource"] for entry in answer.json()["entry"]]
    return sorted(entry["code"]["text"] for entry in entries if entry["resourceType"] == "Condition")


def digest(answer: httpx.Response) -> str:
    return answer.headers["X-OneStory-Record-Digest"]


def test_amina_tells_her_story_once(services: Services, teams: dict[str, Team]) -> None:
    practice, community, hospital = teams["practice"], teams["community"], teams["hospital"]
    amina = new_nhs_number()

    # The demographic service states where she is registered; her practice states who she is and her conditions.
    services.register(amina)
    registered = patient(amina, "p1", "A81001")
    said = practice.says(transaction(registered, condition(amina, "c1", "Heart failure")))
    assert said.status_code == 200, said.text
    assert said.json()["type"] == "transaction-response"

    # A community nurse, a social worker and the hospital add what they know.
    assert community.says(condition(amina, "n1", "Leg ulcer, left")).is_success
    assert teams["social care"].says(condition(amina, "s1", "Lives alone")).is_success
    fall = said_at(condition(amina, "h1", "Fall at home"), "2026-10-01T10:00:00Z")
    assert hospital.says(fall).is_success

    # Every team of her network reads one record; the hospital reads its own statements; a stranger reads nothing.
    everything = practice.reads(amina)
    assert everything.status_code == 200, everything.text
    assert texts(everything) == ["Fall at home", "Heart failure", "Leg ulcer, left", "Lives alone"]
    assert texts(community.reads(amina)) == texts(everything)
    assert digest(community.reads(amina)) == digest(everything)
    assert texts(hospital.reads(amina)) == ["Fall at home"]
    assert teams["stranger"].reads(amina).status_code == 404
    assert teams["stranger"].reads(amina).json() == teams["stranger"].reads(new_nhs_number()).json()

    # The hospital corrects its statement. A late copy of the earlier one changes nothing, nor does a repetition.
    correction = said_at(condition(amina, "h1", "Fall at home, no fracture"), "2026-10-02T10:00:00Z")
    assert hospital.says(correction, **{"Idempotency-Key": f"{amina}-h1-2"}).is_success
    corrected = practice.reads(amina)
    assert texts(corrected) == ["Fall at home, no fracture", "Heart failure", "Leg ulcer, left", "Lives alone"]
    assert hospital.says(fall).is_success
    assert hospital.says(correction, **{"Idempotency-Key": f"{amina}-h1-2"}).is_success
    assert digest(practice.reads(amina)) == digest(corrected)

    # The nurse withdraws the ulcer: it leaves the record, and its history stays.
    ulcer = next(e["resource"]["id"] for e in everything.json()["entry"] if "ulcer" in str(e["resource"].get("code")))
    assert community.withdraws("Condition", "n1", amina).status_code in (200, 204)
    assert "Leg ulcer, left" not in texts(practice.reads(amina))
    assert practice.http.get(f"/fhir/Condition/{ulcer}").status_code == 410
    assert practice.http.get(f"/fhir/Condition/{ulcer}/_history").json()["total"] == 2


def test_amina_is_referred_with_her_story_and_somebody_is_responsible_all_the_way(
    services: Services, teams: dict[str, Team]
) -> None:
    practice, social_care, hospital = teams["practice"], teams["social care"], teams["hospital"]
    amina, clinic = new_nhs_number(), new_team(services, "RX001", "Leg ulcer clinic")
    services.register(amina)
    practice.says(transaction(patient(amina, "p2", "A81001"), condition(amina, "c2", "Heart failure")))
    assert hospital.reads(amina).status_code == 404

    # Her practice refers her to the hospital's clinic, and stays responsible; the clinic has to answer by a time.
    sent = refer(practice.http, service_request(amina, clinic, reasonCode=[{"text": "Leg ulcer, left"}]))
    task, tag = task_of(sent), sent.headers["ETag"]
    asked = read(hospital.http, task).json()
    assert responsible(asked) == "A81001"
    assert asked["restriction"]["period"]["end"] > asked["authoredOn"]

    # The clinic rejects the referral because it has no appointment: the practice sees this, and asks another one.
    full = act(hospital.http, task, "reject", tag, {"name": "reason", "valueString": "No appointment before June"})
    assert responsible(full.json()) == "A81001"
    other = {"name": "recipient", "valueReference": {"reference": f"HealthcareService/{new_team(services, 'RX001')}"}}
    why = {"name": "reason", "valueString": "She cannot wait until June"}
    asked_again = act(practice.http, task, "redirect", full.headers["ETag"], why, other)
    task, tag = asked_again.json()["id"], asked_again.headers["ETag"]

    # The second clinic accepts: it is responsible now, and reads her record.
    taken = act(hospital.http, task, "accept", tag)
    assert responsible(taken.json()) == asked_again.json()["owner"]["reference"]
    until(partial(tells, hospital, amina, "Heart failure"))

    # The clinic completes the referral; the practice and her social worker read the outcome on the record.
    started = act(hospital.http, task, "start", taken.headers["ETag"])
    outcome = {"name": "outcome", "valueString": "Healed"}
    done = act(hospital.http, task, "complete", started.headers["ETag"], outcome)
    assert responsible(done.json()) == ""
    for team in (practice, social_care):
        until(partial(tells, team, amina, "Healed"))
        referred = [e["resource"] for e in team.reads(amina).json()["entry"]]
        assert [each["status"] for each in referred if each["resourceType"] == "ServiceRequest"] == ["completed"]

    # The record also shows the rejected Task, and neither Task names a holder any more.
    tasks = [each for each in referred if each["resourceType"] == "Task"]
    assert {each["status"] for each in tasks} == {"rejected", "completed"}
    assert [responsible(each) for each in tasks] == ["", ""]


def tells(team: Team, nhs_number: str, text: str) -> bool:
    return text in team.reads(nhs_number).text


def responsible(task: dict[str, Any]) -> str:
    """Return the holder of a referral: an ODS code, or the team; empty once there is none."""
    named = {each["url"].rpartition("/")[2]: each.get("valueReference") for each in task["extension"]}
    holder = named.get("referral-holder") or {}
    return str(holder.get("reference") or holder.get("identifier", {}).get("value", ""))


def test_what_was_filed_under_the_wrong_person_moves_to_the_right_one(teams: dict[str, Team]) -> None:
    practice, right, wrong = teams["practice"], new_nhs_number(), new_nhs_number()
    for number in (right, wrong):
        practice.says(patient(number, f"p-{number}", "A81001"))
    practice.says(said_at(condition(wrong, "moved", "Epilepsy"), "2026-10-01T10:00:00Z"))
    assert texts(practice.reads(wrong)) == ["Epilepsy"]

    practice.says(said_at(condition(right, "moved", "Epilepsy"), "2026-10-02T10:00:00Z"))

    assert texts(practice.reads(right)) == ["Epilepsy"]
    assert texts(practice.reads(wrong)) == []


def test_what_comes_along_with_two_peoples_statements_stays_with_both(teams: dict[str, Team]) -> None:
    practice, people = teams["practice"], [new_nhs_number(), new_nhs_number()]
    warfarin = {"resourceType": "Medication", "id": "m1", "code": {"text": "Warfarin 3mg tablets"}}

    for person in people:
        practice.says(transaction(patient(person, f"p-{person}", "A81001"), warfarin))

    for person in people:
        held = [entry["resource"]["resourceType"] for entry in practice.reads(person).json()["entry"]]
        assert "Medication" in held


def test_a_superseded_number_joins_two_histories_and_the_join_can_be_undone(teams: dict[str, Team]) -> None:
    practice, pds = teams["practice"], teams["demographics"]
    old, new = new_nhs_number(), new_nhs_number()
    practice.says(transaction(patient(old, "old", "A81001"), condition(old, "a1", "Asthma")))
    practice.says(transaction(patient(new, "new", "A81001"), condition(new, "b1", "Eczema")))
    assert texts(practice.reads(new)) == ["Eczema"]

    replaces = [
        {"other": {"identifier": {"system": "https://fhir.nhs.uk/Id/nhs-number", "value": old}}, "type": "replaces"}
    ]
    joined = said_at(patient(new, "pds-1", "A81001", link=replaces), "2026-10-01T10:00:00Z")
    assert pds.says(joined).is_success
    assert texts(practice.reads(new)) == texts(practice.reads(old)) == ["Asthma", "Eczema"]
    assert digest(practice.reads(new)) == digest(practice.reads(old))

    assert pds.says(said_at(patient(new, "pds-1", "A81001"), "2026-10-02T10:00:00Z")).is_success
    assert texts(practice.reads(new)) == ["Eczema"]
    assert texts(practice.reads(old)) == ["Asthma"]


def test_what_was_said_before_the_number_was_known_can_be_taken_back_under_the_number(
    services: Services, teams: dict[str, Team]
) -> None:
    practice, hospital, person = teams["practice"], teams["hospital"], new_nhs_number()
    services.register(person)
    unnumbered = {"resourceType": "Patient", "id": f"p9-{person}", "name": [{"family": "Unknown"}]}
    problem = condition(person, f"c9-{person}", "Collapse", subject={"reference": f"Patient/p9-{person}"})
    hospital.says(transaction(unnumbered, problem))
    hospital.says(patient(person, f"p9-{person}", "A81001"))
    assert texts(practice.reads(person)) == ["Collapse"]

    taken_back = hospital.withdraws("Condition", f"c9-{person}", person)

    assert taken_back.is_success, taken_back.text
    assert texts(practice.reads(person)) == []


def test_a_number_in_the_middle_of_a_chain_needs_no_statements_of_its_own(teams: dict[str, Team]) -> None:
    practice, authority = teams["practice"], teams["demographics"]
    oldest, middle, newest = new_nhs_number(), new_nhs_number(), new_nhs_number()
    for number, text in ((oldest, "Then"), (newest, "Now")):
        practice.says(transaction(patient(number, f"p-{number}", "A81001"), condition(number, f"c-{number}", text)))

    authority.says(patient(oldest, oldest, link=[superseded(middle, "replaced-by")]))
    authority.says(patient(newest, newest, link=[superseded(middle, "replaces")]))

    assert texts(practice.reads(oldest)) == texts(practice.reads(newest)) == ["Now", "Then"]


def superseded(number: str, kind: str) -> dict[str, Any]:
    return {"other": {"identifier": {"system": NHS_NUMBER_SYSTEM, "value": number}}, "type": kind}


def test_a_whole_list_retires_what_it_does_not_mention(teams: dict[str, Team]) -> None:
    practice, person = teams["practice"], new_nhs_number()
    first = [patient(person, "p", "A81001"), condition(person, f"{person}-1", "Gout"), condition(person, f"{person}-2")]
    practice.says(transaction(*(said_at(each, "2026-10-01T10:00:00Z") for each in first)))

    second = transaction(said_at(condition(person, f"{person}-2"), "2026-10-02T10:00:00Z"))
    said = practice.says({**second, "timestamp": "2026-10-02T10:00:00Z"}, **{"X-Complete-Types": "Condition"})

    assert said.status_code == 200, said.text
    assert texts(practice.reads(person)) == ["Heart failure"]

"""Referrals on the record over HTTP: an open one grants access, and `$story` shows the record at sending and now."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from tests import referrals
from tests.people import condition, new_nhs_number, patient, transaction
from tests.publishing import SENT
from tests.referral_events import Made, keys_of, tell
from tests.stack import Services
from tests.waiting import until
from uuid_utils.compat import uuid7

from onestory.shared.identity import NHS_NUMBER_SYSTEM, PersonIdentifier, provisional_identity

CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
PRACTICE, NURSES = "A81001", "RZ1"


@pytest.fixture
def practice(services: Services) -> Iterator[httpx.Client]:
    with services.client(PRACTICE, network="harbour", system="emis") as client:
        yield client


@pytest.fixture
def nurses(services: Services) -> Iterator[httpx.Client]:
    with services.client(NURSES, network="community") as client:
        yield client


@pytest.fixture
def number(services: Services, hospital: httpx.Client) -> str:
    """The NHS number of a person with a registered practice and one statement from a hospital."""
    number = new_nhs_number()
    services.register(number)
    says(hospital, condition(number, f"{number}-h", "Fall"))
    return number


Tell = Callable[..., str]


@pytest.fixture
def refer(services: Services) -> Tell:
    """A function that publishes a referral's changes through these statuses. It returns the last position token."""

    def told(made: Made, *statuses: str, first: int = 1) -> str:
        changes = [
            made.change(uuid7(), version, status, datetime.now(UTC)) for version, status in enumerate(statuses, first)
        ]
        return tell(services, *changes)

    return told


def made_of(services: Services, number: str, **elements: str) -> Made:
    return Made.of_number(keys_of(services), number, **elements)


def says(source: httpx.Client, resource: dict[str, Any]) -> None:
    answer = source.put(f"/fhir/{resource['resourceType']}/{resource['id']}", json=resource, headers=SENT)
    assert answer.is_success, answer.text


def problems(client: httpx.Client, number: str, after: str = "") -> list[str]:
    """The texts of the person's problems that a caller can read. The list is empty if the caller can read none."""
    answer = client.get("/fhir/Condition", params={"patient": number, **({"after": after} if after else {})})
    return sorted(entry["resource"]["code"]["text"] for entry in answer.json().get("entry", []))


def parameters(client: httpx.Client, address: str) -> dict[str, Any]:
    answer = client.get(address)
    assert answer.status_code == 200, answer.text
    return {each["name"]: each for each in answer.json()["parameter"]}


def texts(document: dict[str, Any]) -> set[str]:
    """The texts of the problems in a summary."""
    resources = [entry["resource"] for entry in document["entry"]]
    return {each["code"]["text"] for each in resources if each["resourceType"] == "Condition"}


def test_an_open_referral_lets_those_in_to_whom_it_has_come_until_it_ends(
    services: Services, nurses: httpx.Client, number: str, refer: Tell
) -> None:
    made = made_of(services, number)
    assert problems(nurses, number) == []

    assert problems(nurses, number, refer(made, "draft")) == []
    for version, status in enumerate(["requested", "received", "accepted", "on-hold", "in-progress"], 2):
        assert problems(nurses, number, refer(made, status, first=version)) == ["Fall"]

    assert problems(nurses, number, refer(made, "completed", first=7)) == []


def test_who_has_rejected_it_reads_no_more_and_to_whom_it_is_passed_on_does(
    services: Services, nurses: httpx.Client, number: str, refer: Tell
) -> None:
    made = made_of(services, number)
    with services.client("RZ2", network="community") as others:
        assert problems(nurses, number, refer(made, "requested", "rejected")) == []
        assert problems(others, number) == []

        passed_on = refer(replace(made, task="t2", recipient="RZ2"), "requested", first=3)

        assert (problems(others, number, passed_on), problems(nurses, number)) == (["Fall"], [])


def test_nobody_refers_a_stranger_to_themselves(
    services: Services, hospital: httpx.Client, number: str, refer: Tell
) -> None:
    with services.client("RZ7", network="hospitals") as clinic:
        after = refer(made_of(services, number, requester="RZ7", recipient="RZ7"), "requested", "accepted")

        assert problems(clinic, number, after) == []
        assert clinic.get(f"/fhir/ServiceRequest?patient={number}").json()["total"] == 1


def test_somebody_whom_few_may_see_is_not_opened_by_a_referral(
    services: Services, practice: httpx.Client, nurses: httpx.Client, number: str, refer: Tell
) -> None:
    labelled = {"security": [{"system": CONFIDENTIALITY, "code": "V"}]}
    says(practice, patient(number, f"{number}-p", meta=labelled))

    assert problems(nurses, number, refer(made_of(services, number), "requested")) == []
    assert problems(practice, number) == ["Fall"]

    says(practice, patient(number, f"{number}-p"))
    assert problems(nurses, number) == ["Fall"]


LABEL_R, LABEL_V, LABEL_N = ({"security": [{"system": CONFIDENTIALITY, "code": code}]} for code in ("R", "V", "N"))


def test_a_strangers_label_closes_nothing_and_withholds_address_and_phone(
    services: Services, practice: httpx.Client, hospital: httpx.Client, nurses: httpx.Client, number: str, refer: Tell
) -> None:
    contact: dict[str, Any] = {"telecom": [{"system": "phone", "value": "07700900123"}], "address": [{"city": "Bath"}]}
    says(practice, patient(number, f"{number}-p", **contact))
    after = refer(made_of(services, number), "requested")
    assert nurses.get(f"/fhir/Patient/{number}?after={after}").json()["telecom"] == contact["telecom"]

    says(hospital, patient(number, f"{number}-h", meta=LABEL_R))

    assert problems(nurses, number) == ["Fall"]
    for reader in (nurses, practice):
        shared = reader.get(f"/fhir/Patient/{number}")
        assert not {"telecom", "address"} & shared.json().keys()
        assert [label["code"] for label in shared.json()["meta"]["security"]] == ["REDACTED"]
    keys, person = keys_of(services), PersonIdentifier(NHS_NUMBER_SYSTEM, number)
    own = keys.shared_id(keys.person_key(person), PRACTICE, "emis", "Patient", f"{number}-p")
    for address in ("$everything", "_history", "$summary"):
        assert "07700900123" not in nurses.get(f"/fhir/Patient/{number}/{address}").text
    for address in (f"Patient/{own}", f"Patient/{own}/_history", f"Patient/_history?patient={number}"):
        assert "07700900123" in practice.get(f"/fhir/{address}").text
        assert "07700900123" not in nurses.get(f"/fhir/{address}").text
    assert "withheld from you" in nurses.get(f"/fhir/Patient/{number}/$summary").text

    says(hospital, patient(number, f"{number}-h"))
    assert nurses.get(f"/fhir/Patient/{number}").json()["telecom"] == contact["telecom"]


def test_a_version_without_contact_details_has_an_etag_of_its_own(
    practice: httpx.Client, hospital: httpx.Client, number: str
) -> None:
    kin = {
        "resourceType": "RelatedPerson",
        "id": f"{number}-k",
        "patient": {"reference": f"Patient/{number}"},
        "telecom": [{"system": "phone", "value": "07700900456"}],
    }
    says(practice, patient(number, f"{number}-p"))
    # A record of this size is loaded without its contents.
    says(practice, condition(number, f"{number}-l", note=[{"text": "long " * 25_000}]))
    says(hospital, kin)
    address = f"/fhir/RelatedPerson?patient={number}"
    before = practice.get(address)
    (one,) = [each["resource"]["id"] for each in before.json()["entry"]]
    whole = practice.get(f"/fhir/RelatedPerson/{one}")
    assert "07700900456" in whole.text
    with_summary = practice.get(f"/fhir/Patient/{number}/$summary")

    says(hospital, patient(number, f"{number}-h", meta=LABEL_R))

    unchanged = {"If-None-Match": before.headers["ETag"]}
    shown = practice.get(f"/fhir/RelatedPerson/{one}", headers={"If-None-Match": whole.headers["ETag"]})
    assert (shown.status_code, practice.get(address, headers=unchanged).status_code) == (200, 200)
    assert "07700900456" not in shown.text
    version = f"{whole.json()['meta']['versionId']}-r"
    assert (shown.json()["meta"]["versionId"], shown.headers["ETag"]) == (version, f'W/"{version}"')
    for named in (version, whole.json()["meta"]["versionId"]):
        again = practice.get(f"/fhir/RelatedPerson/{one}/_history/{named}")
        assert (again.headers["ETag"], again.content) == (f'W/"{version}"', shown.content)
    (listed,) = practice.get(f"/fhir/RelatedPerson/{one}/_history").json()["entry"]
    assert listed["response"]["etag"] == f'W/"{version}"'
    assert hospital.get(f"/fhir/RelatedPerson/{one}").headers["ETag"] == whole.headers["ETag"]
    assert practice.get(f"/fhir/Patient/{number}/$summary").text != with_summary.text


def test_a_source_that_sees_its_own_statements_learns_of_no_label(
    services: Services, hospital: httpx.Client, number: str
) -> None:
    contact: dict[str, Any] = {"telecom": [{"system": "phone", "value": "07700900123"}]}
    says(hospital, patient(number, f"{number}-h", **contact))
    before = hospital.get(f"/fhir/Patient/{number}")
    assert before.json()["extension"]

    with services.client("RTT", network="elsewhere") as stranger:
        says(stranger, patient(number, f"{number}-s", meta=LABEL_R))

    after = hospital.get(f"/fhir/Patient/{number}")
    assert after.content == before.content
    assert "withheld from you" not in hospital.get(f"/fhir/Patient/{number}/$summary").text


def test_a_later_label_hides_the_earlier_versions_too(
    services: Services,
    practice: httpx.Client,
    hospital: httpx.Client,
    nurses: httpx.Client,
    number: str,
    refer: Tell,
) -> None:
    stated, own = condition(number, f"{number}-x", "Secret"), condition(number, f"{number}-n", "Wound")
    says(hospital, stated)
    says(nurses, own)
    made = made_of(services, number)
    refer(made, "requested")
    since = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    one = next(
        each["resource"]["id"]
        for each in nurses.get(f"/fhir/Condition?patient={number}").json()["entry"]
        if "Secret" in json.dumps(each)
    )
    hidden = (
        f"/fhir/Condition/{one}",
        f"/fhir/Condition/{one}/_history",
        f"/fhir/Condition/_history?patient={number}",
        f"/fhir/_history?patient={number}",
        f"/fhir/Provenance?target=Condition/{one}",
        f"/fhir/Patient/{number}/$everything?asOf={since}",
        f"/fhir/Patient/{number}/$summary?asOf={since}",
        f"/fhir/Patient/{number}/$merged?_since={since}",
        f"/fhir/ServiceRequest/{made.referral_id}/$story",
    )
    assert one in nurses.get(hidden[5]).text

    says(hospital, {**stated, "meta": LABEL_R})
    says(nurses, {**own, "meta": LABEL_R})

    def shows_nothing() -> None:
        for address in hidden:
            answer = nurses.get(address)
            assert "Secret" not in answer.text, address
            assert one not in answer.text, address

    shows_nothing()
    assert "Wound" in nurses.get(hidden[5]).text
    assert nurses.get(f"/fhir/Condition/_history?patient={number}").json()["total"] == 3
    assert "withheld from you" in nurses.get(hidden[6]).text

    hospital.delete(f"/fhir/Condition/{stated['id']}?patient={number}", headers=SENT).raise_for_status()

    shows_nothing()
    assert nurses.get(hidden[0]).status_code == 404
    assert practice.get(hidden[0]).status_code == 410


def test_a_label_under_another_identity_hides_the_resource(
    services: Services,
    practice: httpx.Client,
    hospital: httpx.Client,
    nurses: httpx.Client,
    number: str,
    refer: Tell,
) -> None:
    subject = {"reference": f"Patient/{number}-h"}
    secret = {**condition(number, f"{number}-x", "Secret"), "subject": subject, "meta": LABEL_R}
    without_number = {name: each for name, each in patient(number, f"{number}-h").items() if name != "identifier"}
    hospital.post("/fhir", json=transaction(without_number, secret), headers=SENT).raise_for_status()
    says(hospital, patient(number, f"{number}-h"))
    hospital.delete(f"/fhir/Condition/{number}-x?patient={number}", headers=SENT).raise_for_status()
    refer(made_of(services, number), "requested")

    history = f"/fhir/Condition/_history?patient={number}"
    listed = practice.get(history).json()["entry"]
    (labelled,) = [each["resource"]["id"] for each in listed if "Secret" in json.dumps(each)]
    (retracted,) = {each["fullUrl"].rpartition("/")[2] for each in listed if "resource" not in each} - {labelled}
    for address in (history, f"/fhir/_history?patient={number}"):
        answer = nurses.get(address)
        assert "Fall" in answer.text
        assert not any(one in answer.text for one in (labelled, retracted))
    for reader, status in ((practice, 410), (nurses, 404)):
        assert reader.get(f"/fhir/Condition/{retracted}").status_code == status


def test_the_label_of_a_former_practice_goes_on_closing_the_record(
    services: Services, practice: httpx.Client, nurses: httpx.Client, hospital: httpx.Client, number: str, refer: Tell
) -> None:
    says(practice, patient(number, f"{number}-p", meta=LABEL_R))
    services.register(number, practice="B81002")
    made = Made.of_number(keys_of(services), number, requester="B81002")
    with services.client("B81002", network="harbour", system="emis") as next_practice:
        refer(made, "requested")
        assert problems(nurses, number) == []

        says(next_practice, patient(number, f"{number}-b", "B81002"))
        assert problems(nurses, number) == []

        says(next_practice, patient(number, f"{number}-b", "B81002", meta=LABEL_N))
        assert problems(nurses, number) == ["Fall"]


@pytest.mark.parametrize("label", [LABEL_R, LABEL_V])
@pytest.mark.parametrize("kind", ["Condition", "RelatedPerson"])
def test_a_label_restricts_the_statement_that_has_it(
    services: Services,
    practice: httpx.Client,
    hospital: httpx.Client,
    nurses: httpx.Client,
    number: str,
    refer: Tell,
    label: dict[str, Any],
    kind: str,
) -> None:
    resource: dict[str, Any] = {**condition(number, f"{number}-x", "Secret"), "meta": label}
    if kind == "RelatedPerson":
        subject = {"reference": f"Patient/{number}"}
        name = [{"family": "Secret"}]
        resource = {"resourceType": kind, "id": f"{number}-x", "patient": subject, "name": name, "meta": label}
    after = refer(made_of(services, number), "requested")
    assert problems(nurses, number, after) == ["Fall"]

    says(hospital, resource)

    address = f"/fhir/{kind}?patient={number}"
    for reader in (practice, hospital):
        assert "Secret" in reader.get(address).text
    found = [each["resource"] for each in practice.get(address).json()["entry"]]
    one = next(each["id"] for each in found if "Secret" in json.dumps(each))
    for hidden in (
        address,
        f"/fhir/{kind}/{one}",
        f"/fhir/{kind}/{one}/_history",
        f"/fhir/{kind}/_history?patient={number}",
        f"/fhir/_history?patient={number}",
        f"/fhir/Provenance?target={kind}/{one}",
        f"/fhir/Patient/{number}/$everything",
        f"/fhir/Patient/{number}/$merged",
        f"/fhir/Patient/{number}/$summary",
    ):
        answer = nurses.get(hidden)
        assert "Secret" not in answer.text, hidden
        assert one not in answer.text, hidden
    assert nurses.get(f"/fhir/{kind}/{one}").status_code == 404
    assert problems(nurses, number) == ["Fall"]
    assert "withheld from you" in nurses.get(f"/fhir/Patient/{number}/$summary").text
    assert "withheld from you" not in practice.get(f"/fhir/Patient/{number}/$summary").text

    version = practice.get(f"/fhir/{kind}/{one}").json()["meta"]["versionId"]
    says(hospital, {name: element for name, element in resource.items() if name != "meta"})
    assert nurses.get(f"/fhir/{kind}/{one}").status_code == 200
    assert nurses.get(f"/fhir/{kind}/{one}/_history/{version}").status_code == 404
    assert practice.get(f"/fhir/{kind}/{one}/_history/{version}").status_code == 200
    assert nurses.get(f"/fhir/{kind}/{one}/_history").json()["total"] == 1
    told = [reader.get(f"/fhir/Provenance?target={kind}/{one}").json()["entry"] for reader in (practice, nurses)]
    statuses = [nurses.get(f"/fhir/Provenance/{each['resource']['id']}").status_code for each in told[0]]
    assert ([len(each) for each in told], statuses) == ([2, 1], [200, 404])


def test_a_referral_under_any_identity_of_the_person_counts(
    services: Services, practice: httpx.Client, nurses: httpx.Client, number: str, refer: Tell
) -> None:
    before = Made(keys_of(services), provisional_identity(PRACTICE, "emis", f"{number}-p"), name=f"{number}-r")
    refer(before, "requested")
    assert problems(nurses, number) == []

    says(practice, patient(number, f"{number}-p"))

    assert problems(nurses, number) == ["Fall"]
    assert f"ServiceRequest/{before.referral_id}" in nurses.get(f"/fhir/Patient/{number}/$everything").text


def test_referrals_are_found_read_and_told_like_any_statement(
    services: Services, practice: httpx.Client, number: str, refer: Tell
) -> None:
    made = made_of(services, number)
    after = refer(made, "requested", "accepted")

    task = practice.get(f"/fhir/Task/{made.task_id}", params={"after": after})
    found = practice.get(f"/fhir/Task?patient={number}&status=accepted&_include=Task:focus").json()
    versions = practice.get(f"/fhir/Task/{made.task_id}/_history").json()
    told = practice.get(f"/fhir/Provenance?target=Task/{made.task_id}").json()

    assert task.json()["status"] == "accepted"
    assert task.headers["ETag"] == f'W/"{task.json()["meta"]["versionId"]}"'
    assert [each["resource"]["resourceType"] for each in found["entry"]] == ["Task", "ServiceRequest"]
    assert versions["total"] == 2
    (author, system) = told["entry"][0]["resource"]["agent"]
    assert (author["who"]["identifier"]["value"], system["who"]["display"]) == (PRACTICE, "onestory-referral")


def test_no_bundle_overwrites_a_referral_or_takes_it_back(
    services: Services, practice: httpx.Client, number: str, refer: Tell
) -> None:
    made = made_of(services, number)
    refer(made, "requested", "accepted")
    forged = {**practice.get(f"/fhir/Task/{made.task_id}").json(), "status": "completed"}
    taken_back = {"request": {"method": "DELETE", "url": f"ServiceRequest/{made.referral_id}"}}

    for bundle in (transaction(forged), {"resourceType": "Bundle", "type": "transaction", "entry": [taken_back]}):
        assert practice.post("/fhir", json=bundle, headers=SENT).status_code == 403
    by_name = practice.post("/fhir", json=transaction(forged), headers={**SENT, "X-Source-System": "onestory-referral"})

    assert by_name.status_code == 403
    assert practice.get(f"/fhir/Task/{made.task_id}").json()["status"] == "accepted"


def test_who_makes_referrals_is_no_source_whose_silence_is_told(
    services: Services, practice: httpx.Client, number: str, refer: Tell
) -> None:
    after = refer(made_of(services, number), "requested")

    answer = practice.get(f"/fhir/Patient/{number}/$freshness", params={"after": after})

    assert "onestory-referral" not in answer.text
    assert "RX001" in answer.text


def test_a_referral_tells_what_was_known_as_it_was_sent_what_is_now_and_what_changed(
    services: Services, practice: httpx.Client, nurses: httpx.Client, hospital: httpx.Client, number: str, refer: Tell
) -> None:
    made = made_of(services, number)
    refer(made, "requested")
    practice.get("/fhir/metadata")
    says(hospital, condition(number, f"{number}-g", "Gout"))
    refer(made, "accepted", first=2)

    for address in (f"ServiceRequest/{made.referral_id}", f"Task/{made.task_id}", f"ServiceRequest/{made.task_id}"):
        told = parameters(nurses, f"/fhir/{address}/$story")

        assert told["referral"]["valueReference"]["reference"] == f"ServiceRequest/{made.referral_id}"
        assert told["sentAt"]["valueInstant"] <= told["asOf"]["valueInstant"]
        assert texts(told["asSent"]["resource"]) == {"Fall"}
        assert texts(told["now"]["resource"]) == {"Fall", "Gout"}
        changed = {part["name"]: part for part in _of_type(told["changed"]["resource"], "Condition")}
        assert changed["change"]["valueCode"] == "new"
        assert changed["resource"]["resource"]["code"]["text"] == "Gout"
    as_of = nurses.get(f"/fhir/Patient/{number}/$summary", params={"asOf": told["asOf"]["valueInstant"]}).json()
    assert texts(as_of) == {"Fall"}


def _of_type(changes: dict[str, Any], resource_type: str) -> list[dict[str, Any]]:
    """The parts of the only fact of this type."""
    kind = {"name": "type", "valueCode": resource_type}
    (fact,) = [each["part"] for each in changes["parameter"] if kind in each["part"]]
    return list(fact)


def test_a_referral_that_was_made_here_lets_its_team_in_and_out_again(
    services: Services, practice: httpx.Client, nurses: httpx.Client, hospital: httpx.Client, number: str
) -> None:
    team = referrals.new_team(services, NURSES)
    made = referrals.refer(practice, referrals.service_request(number, team))
    task = referrals.task_of(made)
    until(lambda: problems(nurses, number) == ["Fall"])
    says(hospital, condition(number, f"{number}-g", "Gout"))

    told = parameters(nurses, f"/fhir/Task/{task}/$story")
    accepted = referrals.act(nurses, task, "accept", made.headers["ETag"])
    started = referrals.act(nurses, task, "start", accepted.headers["ETag"])
    ended = referrals.act(nurses, task, "complete", started.headers["ETag"])

    assert told["referral"]["valueReference"]["reference"] == f"ServiceRequest/{made.json()['id']}"
    assert (texts(told["asSent"]["resource"]), texts(told["now"]["resource"])) == ({"Fall"}, {"Fall", "Gout"})
    assert ended.status_code == 200, ended.text
    until(lambda: problems(nurses, number) == [])


def test_the_story_of_a_referral_is_listed_with_its_definition(practice: httpx.Client) -> None:
    resources = practice.get("/fhir/metadata").json()["rest"][0]["resource"]

    listed = {each["type"]: each["operation"] for each in resources if "operation" in each}

    story = {"name": "story", "definition": "https://onestory.nhs.uk/OperationDefinition/servicerequest-story"}
    assert story in listed["ServiceRequest"]
    assert story in listed["Task"]
    assert story not in listed["Patient"]


def test_a_draft_has_no_story_but_that_of_today(
    services: Services, practice: httpx.Client, number: str, refer: Tell
) -> None:
    made = made_of(services, number)
    refer(made, "draft")

    assert parameters(practice, f"/fhir/ServiceRequest/{made.referral_id}/$story").keys() == {"referral", "now"}


def test_who_does_not_see_the_referral_is_told_what_one_is_told_of_a_referral_that_is_not_there(
    services: Services, practice: httpx.Client, hospital: httpx.Client, number: str, refer: Tell
) -> None:
    made = made_of(services, number)
    refer(made, "requested")
    missing = made.id_of("ServiceRequest", "another")

    with services.client("B99999", network="elsewhere") as stranger:
        answers = [
            client.get(f"/fhir/{address}/$story")
            for client, address in (
                (stranger, f"ServiceRequest/{made.referral_id}"),
                (stranger, f"ServiceRequest/{missing}"),
                (stranger, f"Task/{made.task_id}"),
                # A source outside the network sees its own statements, and no referral of others.
                (hospital, f"ServiceRequest/{made.referral_id}"),
                (practice, f"ServiceRequest/{missing}"),
                (practice, f"ServiceRequest/{number}"),
                (practice, "ServiceRequest/elsewhere"),
            )
        ]

    assert {answer.status_code for answer in answers} == {404}
    assert len({str(answer.json()["issue"]) for answer in answers}) == 1

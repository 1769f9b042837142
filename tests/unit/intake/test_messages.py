"""The names of what a message holds: sent again it is the same, and a corrected copy replaces it."""

from __future__ import annotations

import copy

import pytest
from tests.people import patient
from tests.unit.intake.door import (
    AMINA,
    BEN,
    Json,
    bundle,
    decide,
    full_url,
    observation,
    organization,
    person,
    place,
    post,
    posted,
    refused,
    statement,
)

from onestory.intake.domain.request import PublisherClaims
from onestory.shared.identity import NHS_NUMBER_SYSTEM

NUMBER = {"system": NHS_NUMBER_SYSTEM, "value": AMINA}
MRN = {"system": "https://hospital.example/mrn", "value": "77"}
UUID_SYSTEM = "urn:ietf:rfc:4122"
EARLIER_SPELLING = "https://tools.ietf.org/html/rfc4122"
MESSAGE_ID = {"system": UUID_SYSTEM, "value": "82a908e2-f8fe-4ea4-a651-975858830400"}


def without_id(resource: Json) -> Json:
    return {name: value for name, value in resource.items() if name != "id"}


def message(*resources: Json, **elements: Json | str) -> Json:
    header = {
        "resourceType": "MessageHeader",
        "eventCoding": {"system": "http://snomed.info/sct", "code": "371528001"},
        "source": {"endpoint": "https://lab.example"},
    }
    return bundle("message", header, *[without_id(each) for each in resources], **elements)


def report(number: str = AMINA, **elements: Json | str) -> Json:
    """A message with an id-less Patient and an id-less Observation."""
    return message(patient(number, "p1"), observation({"reference": full_url(1)}), **elements)


def local_ids(sent: Json, number: int = 1) -> list[str]:
    return [entry.local_id for entry in statement(decide(post(sent), number=number)).entries]


@pytest.mark.parametrize("name", [{"identifier": MESSAGE_ID}, {"id": "m-1"}, {"id": "m-1", "identifier": MESSAGE_ID}])
def test_a_message_without_ids_that_is_sent_twice_is_one_event(name: Json) -> None:
    first, again = (statement(decide(post(report(**name)), number=number)) for number in (1, 2))

    assert first.event_id == again.event_id
    assert first.entries == again.entries


def test_a_corrected_copy_is_another_event_about_the_same_resources() -> None:
    first = report(identifier=MESSAGE_ID)
    corrected = copy.deepcopy(first)
    corrected["entry"][2]["resource"]["status"] = "corrected"

    before, after = statement(decide(post(first))), statement(decide(post(corrected)))

    assert before.event_id != after.event_id
    assert [entry.shared_id for entry in before.entries] == [entry.shared_id for entry in after.entries]


def test_another_claim_about_the_same_content_is_another_event() -> None:
    sent = post(report(identifier=MESSAGE_ID))
    whole = PublisherClaims(complete_types=("Observation",))

    assert statement(decide(sent)).event_id != statement(decide(sent, said=whole)).event_id


def test_the_same_full_urls_in_another_message_are_other_resources() -> None:
    """Some senders use the same fullUrls in every message, for every person."""
    other_message = {**MESSAGE_ID, "value": "82a908e2-f8fe-4ea4-a651-975858830401"}
    amina, ben = report(AMINA, identifier=MESSAGE_ID), report(BEN, identifier=other_message)

    assert set(local_ids(amina)).isdisjoint(local_ids(ben))


def test_the_two_spellings_of_the_uuid_system_name_one_message_and_one_resource() -> None:
    def sent(system: str) -> Json:
        result = observation({"reference": full_url(1)}, identifier=[{"system": system, "value": "2af46949"}])
        return message(patient(AMINA, "p1"), result, identifier={**MESSAGE_ID, "system": system})

    assert local_ids(sent(UUID_SYSTEM)) == local_ids(sent(EARLIER_SPELLING))
    assert local_ids(sent(EARLIER_SPELLING))[2] == f"{UUID_SYSTEM}|2af46949"


def test_a_corrected_result_in_another_message_replaces_the_result_with_its_identifier() -> None:
    identifier = [{"system": EARLIER_SPELLING, "value": "2af46949"}]
    result = observation({"reference": full_url(1)}, identifier=identifier)

    first = local_ids(message(patient(AMINA, "p1"), result, id="m-1"))
    later = local_ids(message(patient(AMINA, "p1"), {**result, "status": "corrected"}, id="m-2"))

    assert first[1:] == later[1:]


def test_a_corrected_report_in_another_message_replaces_the_report_with_its_number_and_code() -> None:
    def sent(message_id: str, code: str, **elements: Json | str) -> str:
        number = {"system": "https://lab.example/report", "value": "REP-1369"}
        diagnostic = {"resourceType": "DiagnosticReport", "identifier": [number], "status": "final", **elements}
        diagnostic |= {"code": {"coding": [{"system": "http://snomed.info/sct", "code": code}]}}
        whose = {"subject": {"reference": full_url(1)}}
        return local_ids(message(patient(AMINA, "p1"), {**diagnostic, **whose}, id=message_id))[2]

    assert sent("m-1", "1022441000000101") == sent("m-2", "1022441000000101", status="corrected")
    assert sent("m-1", "1022441000000101") != sent("m-2", "1018251000000107")


def test_each_post_of_a_report_is_a_new_report() -> None:
    number = {"system": "https://lab.example/report", "value": "REP-1369"}
    report = {"resourceType": "DiagnosticReport", "identifier": [number], "status": "final", "code": {"text": "FBC"}}
    created = posted("transaction", patient(AMINA, "p1"), report)

    assert local_ids(created, 1)[1] != local_ids(created, 2)[1]


def test_each_create_of_a_transaction_is_a_new_resource() -> None:
    created = posted("transaction", patient(AMINA, "p1"), without_id(observation(None)), identifier=MESSAGE_ID)

    first, again = (statement(decide(post(created), number=number)) for number in (1, 2))

    assert first.entries[1].shared_id != again.entries[1].shared_id
    assert first.event_id != again.event_id


def test_an_entry_without_a_full_url_is_named_by_its_index() -> None:
    sent = report(identifier=MESSAGE_ID)
    del sent["entry"][0]["fullUrl"]

    assert local_ids(sent, 1) == local_ids(sent, 2)


def test_a_name_that_the_record_could_not_store_is_shortened() -> None:
    sent = report(identifier={**MESSAGE_ID, "value": "x" * 600})

    assert local_ids(sent, 1) == local_ids(sent, 2)
    assert max(len(name) for name in local_ids(sent)) <= 512


# Identifiers that stand in several entries.


def test_two_entries_that_describe_one_organisation_are_accepted() -> None:
    ods = [{"system": "https://fhir.nhs.uk/Id/ods-organization-code", "value": "RGD12"}]
    twins = [without_id(organization("any", identifier=ods)) for _ in range(2)]

    entries = statement(decide(post(bundle("collection", *twins, patient(AMINA, "p1"))))).entries

    assert entries[0].local_id == "https://fhir.nhs.uk/Id/ods-organization-code|RGD12"
    assert len({entry.shared_id for entry in entries}) == 3


def test_an_identifier_that_all_results_of_a_report_share_names_none_of_them() -> None:
    identifier = [{"system": EARLIER_SPELLING, "value": "2af46949"}]
    results = [observation({"reference": full_url(1)}, identifier=identifier, code={"text": each}) for each in "ab"]

    names = local_ids(message(patient(AMINA, "p1"), *results, identifier=MESSAGE_ID))

    assert len(set(names)) == 4
    assert not any("2af46949" in name for name in names)


# The Patient without an id.


@pytest.mark.parametrize(
    ("identifiers", "expected"),
    [
        ([MRN], MRN),
        ([NUMBER, MRN], MRN),
        ([{"system": UUID_SYSTEM, "value": "1"}, MRN], MRN),
        ([{**MRN, "use": "old"}, {"system": "urn:mrn", "value": "8"}], {"system": "urn:mrn", "value": "8"}),
        ([NUMBER], NUMBER),
        ([{**NUMBER, "system": "https://fhir.nhs.uk/id/nhs-number"}], NUMBER),
    ],
)
def test_a_patient_without_an_id_is_named_by_the_sources_own_number(identifiers: list[Json], expected: Json) -> None:
    named = {"resourceType": "Patient", "identifier": identifiers}

    (entry,) = statement(decide(post(bundle("collection", named)))).entries

    assert entry.local_id == f"{expected['system']}|{expected['value']}"


def test_a_number_of_an_insurance_names_no_patient_and_a_record_number_goes_first() -> None:
    def typed(code: str, value: str) -> Json:
        coding = {"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": code}
        return {"type": {"coding": [coding]}, "system": f"urn:{code}", "value": value}

    both = {"resourceType": "Patient", "identifier": [typed("NIIP", "1"), {**MRN}, typed("MR", "2")]}
    insured = {"resourceType": "Patient", "identifier": [typed("NIIP", "1"), NUMBER]}

    assert local_ids(bundle("collection", both)) == ["urn:MR|2"]
    assert local_ids(bundle("collection", insured)) == [f"{NHS_NUMBER_SYSTEM}|{AMINA}"]


def test_messages_about_a_person_by_the_sources_own_number_are_about_one_person() -> None:
    def sent(name: str) -> Json:
        unnumbered = {"resourceType": "Patient", "identifier": [MRN]}
        return message(unnumbered, observation({"reference": full_url(1)}), id=name)

    first, later = statement(decide(post(sent("m-1")))), statement(decide(post(sent("m-2")), number=2))

    assert first.person == later.person
    assert first.person != person(AMINA)


def test_a_patient_whom_nobody_could_find_again_is_refused() -> None:
    nameless = {"resourceType": "Patient", "name": [{"family": "Nobody"}]}

    assert place(refused(post(bundle("collection", nameless)))) == "Bundle.entry[0].resource"
    assert statement(decide(post(bundle("collection", {**nameless, "birthDate": "1980-01-01"}))))
    assert statement(decide(post(posted("transaction", nameless))))

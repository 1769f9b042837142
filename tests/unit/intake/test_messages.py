"""The names of what a message holds: sent again it is the same, and a corrected copy replaces it."""

from __future__ import annotations

import copy
from uuid import UUID

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
from onestory.shared.identity import NHS_NUMBER_SYSTEM, PersonIdentifier

NUMBER = {"system": NHS_NUMBER_SYSTEM, "value": AMINA}
MRN = {"system": "https://hospital.example/mrn", "value": "77"}
UUID_SYSTEM = "urn:ietf:rfc:4122"
RECORDED = "2026-11-22T09:00:00Z"
LATER = "2026-11-22T10:00:00Z"
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
@pytest.mark.parametrize("time", [{"timestamp": RECORDED}, {"meta": {"lastUpdated": RECORDED}}])
def test_a_message_without_ids_that_is_sent_twice_is_one_event(name: Json, time: Json) -> None:
    first, again = (statement(decide(post(report(**name, **time)), number=number)) for number in (1, 2))

    assert first.event_id == again.event_id
    assert first.entries == again.entries


def test_a_message_without_a_time_that_is_sent_twice_is_two_events_about_the_same_resources() -> None:
    """The second may be a new statement with the words of the first: warfarin, none, and warfarin again."""
    first, again = (statement(decide(post(report(id="m-1")), number=number)) for number in (1, 2))

    assert first.event_id != again.event_id
    assert first.entries == again.entries


def test_a_bundle_whose_entries_have_ids_is_an_event_of_its_own_each_time() -> None:
    stated = bundle("collection", patient(AMINA, "p1"), identifier=MESSAGE_ID, timestamp=RECORDED)
    first, again = (statement(decide(post(stated), number=number)) for number in (1, 2))

    assert first.event_id != again.event_id


def test_the_same_content_with_another_time_is_another_event() -> None:
    def sent(time: str, of_entry: str) -> UUID:
        stated = report(id="m-1", timestamp=time)
        for entry in stated["entry"]:
            entry["resource"]["meta"] = {"lastUpdated": of_entry}
        return statement(decide(post(stated))).event_id

    assert len({sent(RECORDED, RECORDED), sent(LATER, RECORDED), sent(RECORDED, LATER)}) == 3
    assert sent(RECORDED, LATER) == sent(RECORDED, LATER)


def test_a_corrected_copy_is_another_event_about_the_same_resources() -> None:
    first = report(identifier=MESSAGE_ID, timestamp=RECORDED)
    corrected = copy.deepcopy(first)
    corrected["entry"][2]["resource"]["status"] = "corrected"

    before, after = statement(decide(post(first))), statement(decide(post(corrected)))

    assert before.event_id != after.event_id
    assert [entry.shared_id for entry in before.entries] == [entry.shared_id for entry in after.entries]


def test_another_claim_about_the_same_content_is_another_event() -> None:
    sent = post(report(identifier=MESSAGE_ID, timestamp=RECORDED))
    whole = PublisherClaims(complete_types=("Observation",))

    assert statement(decide(sent)).event_id != statement(decide(sent, said=whole)).event_id


def test_the_same_full_urls_in_another_message_are_other_resources() -> None:
    """Some senders use the same fullUrls in every message, for every person."""
    other_message = {**MESSAGE_ID, "value": "82a908e2-f8fe-4ea4-a651-975858830401"}
    amina, ben = report(AMINA, identifier=MESSAGE_ID), report(BEN, identifier=other_message)

    assert set(local_ids(amina)).isdisjoint(local_ids(ben))


def test_another_persons_message_of_the_same_name_takes_nothing_away() -> None:
    """Some senders never change the id and the fullUrls of their messages."""
    ward = {"resourceType": "Location", "name": "Ward"}

    def sent(number: str) -> list[str]:
        return local_ids(message(patient(number, "p1"), observation({"reference": full_url(1)}), ward, id="m-1"))

    assert set(sent(AMINA)).isdisjoint(sent(BEN))
    assert sent(AMINA) == sent(AMINA)


def test_two_people_without_numbers_in_messages_of_the_same_name_stay_two() -> None:
    def whose(**elements: str) -> PersonIdentifier:
        named = {"resourceType": "Patient", "name": [{"family": "Okafor"}], "birthDate": "1980-01-01", **elements}
        sent = message(named, observation({"reference": full_url(1)}), id="m-1")
        return statement(decide(post(sent))).person

    assert whose() == whose()
    assert whose() != whose(birthDate="2015-01-01")


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


LAB_NUMBER = {"system": "https://lab.example/report", "value": "REP-1369"}
V2_0203 = "http://terminology.hl7.org/CodeSystem/v2-0203"


def typed(code: str, system: str = "https://lab.example/number", value: str = "O1") -> Json:
    return {"type": {"coding": [{"system": V2_0203, "code": code}]}, "system": system, "value": value}


def diagnostic(
    message_id: str, *, identifiers: list[Json] | None = None, code: str = "INR", number: str = AMINA, **elements: str
) -> str:
    """The local id of a report of 1 January in a message."""
    sent = {
        "resourceType": "DiagnosticReport",
        "identifier": identifiers or [LAB_NUMBER],
        "status": "final",
        "code": {"text": code},
        "subject": {"reference": full_url(1)},
        **(elements or {"effectiveDateTime": "2026-01-01"}),
    }
    return local_ids(message(patient(number, "p1"), sent, id=message_id))[2]


def test_a_corrected_report_in_another_message_replaces_the_report_with_its_number_and_code() -> None:
    first = diagnostic("m-1")

    assert first == diagnostic("m-2", effectiveDateTime="2026-01-01", status="corrected", issued=LATER)
    assert first != diagnostic("m-2", code="FBC")


@pytest.mark.parametrize("other", [{"number": BEN}, {"effectiveDateTime": "2026-02-01"}, {"issued": LATER}])
def test_a_report_of_another_person_or_time_is_another_report(other: Json) -> None:
    assert diagnostic("m-1") != diagnostic("m-2", **other)


def test_a_report_without_a_time_is_not_named_by_its_number() -> None:
    assert diagnostic("m-1", status="final") != diagnostic("m-2", status="final")


@pytest.mark.parametrize("code", ["PLAC", "PGN", "VN", "MR"])
@pytest.mark.parametrize("system", ["https://lab.example/number", UUID_SYSTEM])
def test_a_number_of_an_order_or_a_visit_names_no_report(code: str, system: str) -> None:
    assert diagnostic("m-1", identifiers=[typed(code, system)]) != diagnostic("m-2", identifiers=[typed(code, system)])


def test_a_number_that_reports_of_one_code_and_time_share_names_none_of_them() -> None:
    sent: Json = {"resourceType": "DiagnosticReport", "identifier": [LAB_NUMBER], "status": "final"}
    sent |= {"code": {"text": "INR"}, "subject": {"reference": full_url(1)}, "effectiveDateTime": "2026-01-01"}

    names = local_ids(message(patient(AMINA, "p1"), sent, sent, id="m-1"))

    assert len(set(names)) == 4
    assert not any(LAB_NUMBER["value"] in name for name in names)


def test_an_order_is_named_by_its_number() -> None:
    order: Json = {"resourceType": "ServiceRequest", "identifier": [typed("PLAC", UUID_SYSTEM)], "status": "active"}
    order |= {"intent": "order", "subject": {"reference": full_url(1)}}

    assert local_ids(message(patient(AMINA, "p1"), order, id="m-1"))[2] == f"{UUID_SYSTEM}|O1"


@pytest.mark.parametrize("code", ["FILL", "ACSN"])
def test_the_laboratorys_own_number_goes_before_others(code: str) -> None:
    def sent(message_id: str, untyped: str) -> str:
        return diagnostic(message_id, identifiers=[{**LAB_NUMBER, "value": untyped}, typed(code)])

    assert sent("m-1", "1") == sent("m-2", "2")


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


def test_an_entry_without_a_full_url_is_named_by_its_content() -> None:
    """An entry that is put in front of the others renames none of them."""

    def sent(*codes: str) -> list[str]:
        subject = {"reference": f"Patient/{AMINA}"}
        results = [without_id(observation(subject, code={"text": code})) for code in codes]
        collection = bundle("collection", *results, identifier=MESSAGE_ID)
        for entry in collection["entry"]:
            del entry["fullUrl"]
        return local_ids(collection)

    first, later = sent("a", "b"), sent("new", "a", "b")

    assert first == later[1:]
    assert later[0] not in first
    assert len(set(sent("a", "a"))) == 2


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
        ([MRN, typed("MR", "urn:mrn"), NUMBER], typed("MR", "urn:mrn")),
        ([MRN, NUMBER], NUMBER),
        ([MRN, {**NUMBER, "use": "temp"}], NUMBER),
        ([MRN, typed("MR", "urn:mrn")], typed("MR", "urn:mrn")),
        ([{"system": UUID_SYSTEM, "value": "1"}, MRN], MRN),
        ([{**MRN, "use": "old"}, {"system": "urn:mrn", "value": "8"}], {"system": "urn:mrn", "value": "8"}),
        ([NUMBER], NUMBER),
        ([typed("NIIP"), NUMBER], NUMBER),
        ([{**NUMBER, "system": "https://fhir.nhs.uk/id/nhs-number"}], NUMBER),
    ],
)
def test_a_patient_without_an_id_is_named_by_the_sources_typed_number_else_by_the_nhs_number(
    identifiers: list[Json], expected: Json
) -> None:
    named = {"resourceType": "Patient", "identifier": identifiers}

    (entry,) = statement(decide(post(bundle("collection", named)))).entries

    assert entry.local_id == f"{expected['system']}|{expected['value']}"


def test_a_number_of_an_insurance_names_no_patient_and_a_record_number_goes_first() -> None:
    insured = {"resourceType": "Patient", "name": [{"family": "Okafor"}], "birthDate": "1980-01-01"}
    both = {**insured, "identifier": [typed("NIIP"), MRN, typed("MR", "urn:mrn", "2")]}

    assert local_ids(bundle("collection", both)) == ["urn:mrn|2"]
    assert not any("O1" in name for name in local_ids(bundle("collection", {**insured, "identifier": [typed("NIIP")]})))


POLICY = {"system": "https://insurer.example/policy", "value": "P1"}
ANN: Json = {"resourceType": "Patient", "name": [{"family": "Okafor", "given": ["Ann"]}], "birthDate": "1980-01-01"}
BOB: Json = {"resourceType": "Patient", "name": [{"family": "Okafor", "given": ["Bob"]}], "birthDate": "2015-01-01"}


@pytest.mark.parametrize("system", ["https://insurer.example/policy", UUID_SYSTEM])
def test_a_number_without_a_type_that_a_family_shares_joins_nobody(system: str) -> None:
    shared = {"identifier": [{**POLICY, "system": system}]}

    def whose(who: Json) -> PersonIdentifier:
        return statement(decide(post(bundle("collection", {**who, **shared})))).person

    same_in_another_order = {**ANN, "name": [{"given": ["Ann"], "family": "Okafor"}]}
    assert whose(ANN) == whose(same_in_another_order)
    assert len({whose(ANN), whose(BOB), whose({**BOB, "name": ANN["name"]}), whose({"resourceType": "Patient"})}) == 4


def test_a_shared_number_moves_no_patient_between_two_nhs_numbers() -> None:
    def sent(number: str) -> list[str]:
        identifiers = [POLICY, {**NUMBER, "value": number}]
        return local_ids(bundle("collection", {"resourceType": "Patient", "identifier": identifiers}))

    assert set(sent(AMINA)).isdisjoint(sent(BEN))


def test_two_people_with_one_number_in_one_submission_are_refused() -> None:
    for number in (POLICY, typed("MR")):
        family = bundle("collection", {**ANN, "identifier": [number]}, {**BOB, "identifier": [number]})
        assert refused(post(family))


@pytest.mark.parametrize("number", [NUMBER, typed("MR")])
def test_a_second_patient_with_one_number_must_have_the_same_name_and_birth_date(number: Json) -> None:
    ann = {**ANN, "identifier": [number]}
    subject = {"subject": {"reference": full_url(1)}}
    nameless = {"resourceType": "Patient", "identifier": [number], "gender": "female"}

    statements = [statement(decide(post(bundle("collection", ann, twin, id="b")))) for twin in (ann, nameless)]
    other_date = refused(post(bundle("collection", ann, {**ann, "birthDate": "1980-01-02"})))
    in_batch = decide(post(posted("batch", ann, {**ann, "name": BOB["name"]}, observation(None) | subject)))

    three = refused(post(bundle("collection", nameless, ann, {**ann, "name": BOB["name"]})))

    assert [len(each.entries) for each in statements] == [2, 2]
    assert len(three.issues) == 3
    assert [issue.expression for issue in other_date.issues] == [
        "Bundle.entry[0].resource.identifier",
        "Bundle.entry[1].resource.identifier",
    ]
    assert not in_batch.events


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

"""The submissions that intake accepts, the ids that their resources get, and the events that they become."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from tests.people import condition, patient, said_at, transaction
from tests.unit.intake.door import (
    AMINA,
    BEN,
    NOW,
    SOURCE,
    Json,
    bundle,
    contents,
    decide,
    directory,
    directory_id,
    organization,
    person,
    place,
    post,
    posted,
    practitioner,
    put,
    refused,
    shared_id,
    statement,
)

from onestory.intake.domain.request import AcceptedEntry, KnownResource, PublisherClaims, Submission
from onestory.shared.errors import Forbidden, Malformed, NotFound, Unprocessable
from onestory.shared.events import REFERENCE_RULES, Operation, Source


def test_a_resource_that_is_put_becomes_a_statement_about_its_person() -> None:
    event = statement(decide(put(condition(AMINA, "c1"))))

    (entry,) = event.entries
    assert event.person == person(AMINA)
    assert event.source == SOURCE
    assert (entry.resource_type, entry.local_id, entry.operation) == ("Condition", "c1", Operation.ASSERT)
    assert entry.shared_id == shared_id(AMINA, "Condition", "c1")


def test_events_name_the_rules_that_resolved_their_references() -> None:
    events = [
        *decide(put(condition(AMINA, "c1"))).events,
        *decide(put(organization("o1"))).events,
    ]

    assert [event.reference_rules for event in events] == [REFERENCE_RULES, REFERENCE_RULES]


def test_a_transaction_about_one_person_is_one_event() -> None:
    prepared = decide(post(transaction(patient(AMINA, "p1"), condition(AMINA, "c1"), condition(AMINA, "c2"))))

    assert [entry.local_id for entry in statement(prepared).entries] == ["p1", "c1", "c2"]
    assert {outcome.event_id for outcome in prepared.outcomes if isinstance(outcome, AcceptedEntry)} == {
        statement(prepared).event_id
    }


@pytest.mark.parametrize("kind", ["collection", "document", "message", "transaction", "batch"])
def test_every_kind_of_bundle_that_states_something_is_taken(kind: str) -> None:
    first: Json = {"resourceType": "MessageHeader", "eventUri": "urn:x", "source": {"endpoint": "urn:y"}}
    if kind == "document":
        about = {"reference": f"Patient/{AMINA}"}
        first = {"resourceType": "Composition", "status": "final", "type": {"text": "x"}, "date": "2026", "title": "x"}
        first |= {"author": [about], "subject": about}
    identity: Json = {"timestamp": "2026-11-22T10:00:00Z", "identifier": {"system": "urn:s", "value": "1"}}
    resources = [first, patient(AMINA, "p1")] if kind in ("document", "message") else [patient(AMINA, "p1")]
    make = posted if kind in ("transaction", "batch") else bundle

    prepared = decide(post(make(kind, *resources, **identity)))

    assert statement(prepared).person == person(AMINA)
    assert prepared.bundle_type == kind


@pytest.mark.parametrize("kind", ["searchset", "history", "transaction-response", "batch-response"])
def test_a_bundle_that_answers_something_is_refused_with_what_to_send(kind: str) -> None:
    error = refused(post(bundle(kind, patient(AMINA, "p1"))))

    assert isinstance(error, Unprocessable)
    assert place(error) == "Bundle.type"
    assert "collection" in error.issues[0].diagnostics


def test_what_stands_first_in_a_message_is_its_header() -> None:
    assert place(refused(post(bundle("message", patient(AMINA, "p1"))))) == "Bundle.entry[0].resource"


def test_a_document_needs_an_identifier_and_a_timestamp() -> None:
    places = [issue.expression for issue in refused(post(bundle("document", patient(AMINA, "p1")))).issues]

    assert places == ["Bundle.identifier", "Bundle.timestamp", "Bundle.entry[0].resource"]


def test_a_transaction_needs_requests_and_a_collection_has_none() -> None:
    without = bundle("transaction", patient(AMINA, "p1"))
    with_requests = {**transaction(patient(AMINA, "p1")), "type": "collection"}

    assert place(refused(post(without))) == "Bundle.entry[0].request"
    assert place(refused(post(with_requests))) == "Bundle.entry[0].request"


@pytest.mark.parametrize("method", ["GET", "PATCH", "FROB", "put", "9"])
@pytest.mark.parametrize("entry", [{}, {"resource": condition(AMINA, "c1")}])
def test_a_method_that_publishes_nothing_is_refused(method: str, entry: Json) -> None:
    asked = {"type": "transaction", "entry": [{**entry, "request": {"method": method, "url": "Condition/c1"}}]}

    assert place(refused(post({"resourceType": "Bundle", **asked}))) == "Bundle.entry[0].request.method"


def test_two_entries_may_not_have_one_full_url() -> None:
    twice = bundle("collection", patient(AMINA, "p1"), condition(AMINA, "c1"))
    twice["entry"][1]["fullUrl"] = twice["entry"][0]["fullUrl"]

    assert place(refused(post(twice))) == "Bundle.entry[1].fullUrl"


def test_the_same_resource_twice_in_one_submission_is_refused() -> None:
    assert place(refused(post(transaction(condition(AMINA, "c1"), condition(AMINA, "c1"))))) == (
        "Bundle.entry[1].resource"
    )


def test_an_empty_bundle_is_refused() -> None:
    assert place(refused(post({"resourceType": "Bundle", "type": "transaction"}))) == "Bundle.entry"


def test_a_resource_that_is_no_bundle_is_told_where_to_go() -> None:
    error = refused(post(patient(AMINA, "p1")))

    assert isinstance(error, Malformed)
    assert "/fhir/Patient" in error.issues[0].diagnostics


def test_an_unknown_type_in_the_url_is_not_found() -> None:
    assert isinstance(refused(Submission("POST", b"{}", "Patients")), NotFound)


@pytest.mark.parametrize("kind", ["StructureDefinition", "Parameters", "OperationOutcome", "Bundle", "Subscription"])
def test_what_is_no_statement_about_care_is_refused_with_a_reason(kind: str) -> None:
    error = refused(Submission("POST", b"{}", kind))

    assert isinstance(error, Unprocessable)
    assert error.issues[0].code == "not-supported"


def test_the_id_in_the_url_must_be_the_one_in_the_resource() -> None:
    error = refused(replace(put(condition(AMINA, "c1")), resource_id="c2"))

    assert isinstance(error, Malformed)
    assert place(error) == "Condition.id"


def test_the_type_in_the_url_must_be_the_one_in_the_resource() -> None:
    assert isinstance(refused(replace(put(condition(AMINA, "c1")), resource_type="Observation")), Malformed)


def test_a_retraction_names_its_person() -> None:
    event = statement(decide(Submission("DELETE", b"", "Condition", "c1", search=f"patient={AMINA}")))

    (entry,) = event.entries
    assert event.person == person(AMINA)
    assert (entry.operation, entry.content) == (Operation.RETRACT, None)
    assert entry.shared_id == shared_id(AMINA, "Condition", "c1")


def test_a_retraction_of_nobody_is_refused_with_what_to_send() -> None:
    assert "NHS number" in refused(Submission("DELETE", b"", "Condition", "c1")).issues[0].diagnostics


def test_a_retraction_in_a_transaction_belongs_to_the_person_of_the_transaction() -> None:
    both = transaction(patient(AMINA, "p1"))
    both["entry"].append({"request": {"method": "DELETE", "url": "Condition/c1"}})

    asserted, retracted = statement(decide(post(both))).entries

    assert asserted.operation is Operation.ASSERT
    assert retracted.operation is Operation.RETRACT
    assert retracted.shared_id == shared_id(AMINA, "Condition", "c1")


def test_a_retraction_by_our_own_id_is_the_sources_own_resource() -> None:
    own = shared_id(AMINA, "Condition", "c1")
    known = {own: KnownResource(person(AMINA), SOURCE, "Condition", "c1")}

    (entry,) = statement(decide(Submission("DELETE", b"", "Condition", own), known=known)).entries

    assert (entry.local_id, entry.shared_id) == ("c1", own)


def test_an_id_of_our_own_is_recognised_and_not_hashed_again() -> None:
    own = shared_id(AMINA, "Condition", "c1")
    known = {own: KnownResource(person(AMINA), SOURCE, "Condition", "c1")}

    (entry,) = statement(decide(put(condition(AMINA, own)), known=known)).entries

    assert (entry.local_id, entry.shared_id) == ("c1", own)


def test_an_id_of_another_source_is_forbidden() -> None:
    other = Source("B99999", "emis-web")
    theirs = shared_id(AMINA, "Condition", "c1", other)

    error = refused(
        put(condition(AMINA, theirs)), known={theirs: KnownResource(person(AMINA), other, "Condition", "c1")}
    )

    assert isinstance(error, Forbidden)
    assert place(error) == "Condition.id"


def test_an_id_in_our_form_that_we_never_gave_is_refused() -> None:
    assert refused(put(condition(AMINA, shared_id(AMINA, "Condition", "c1")))).issues[0].code == "not-found"


def test_a_conditional_create_by_identifier_is_identity() -> None:
    created = posted("transaction", condition(AMINA, ""))
    del created["entry"][0]["resource"]["id"]
    created["entry"][0]["request"]["ifNoneExist"] = "identifier=https%3A%2F%2Fgp.example%2Fproblem|17"

    (entry,) = statement(decide(post(created))).entries

    assert entry.local_id == "https://gp.example/problem|17"


def test_a_conditional_update_by_identifier_is_identity() -> None:
    body = json.dumps(condition(AMINA, "whatever")).encode()

    (entry,) = statement(decide(Submission("PUT", body, "Condition", search="identifier=urn:s|17"))).entries

    assert entry.local_id == "urn:s|17"


@pytest.mark.parametrize("search", ["code=123", "identifier=17", "identifier=urn:s|17&status=active", ""])
def test_any_other_condition_is_refused(search: str) -> None:
    body = json.dumps(condition(AMINA, "c1")).encode()

    assert isinstance(refused(Submission("PUT", body, "Condition", search=search)), Malformed)


@pytest.mark.parametrize("method", ["GET", "HEAD", "PATCH"])
def test_reads_and_patches_in_a_transaction_are_refused(method: str) -> None:
    reading = transaction(condition(AMINA, "c1"))
    reading["entry"][0]["request"]["method"] = method

    assert place(refused(post(reading))) == "Bundle.entry[0].request.method"


def test_a_resource_without_any_id_is_named_by_key_and_place() -> None:
    unnamed = posted("transaction", patient(AMINA, "p1"), condition(AMINA, ""))
    del unnamed["entry"][1]["resource"]["id"]

    first = statement(decide(post(unnamed), key="k1"))
    again = statement(decide(post(unnamed), key="k1", number=2))

    assert [entry.local_id for entry in first.entries] == ["p1", "k1/1"]
    assert again == first


def test_a_keyed_event_id_follows_from_source_key_and_person() -> None:
    one = statement(decide(put(condition(AMINA, "c1")), key="k1")).event_id

    assert statement(decide(put(condition(AMINA, "c1")), key="k1", number=2)).event_id == one
    assert statement(decide(put(condition(AMINA, "c1")), key="k2")).event_id != one
    assert statement(decide(put(condition(BEN, "c1")), key="k1")).event_id != one
    assert statement(decide(put(condition(AMINA, "c1")), key="k1", organisation="B99999")).event_id != one
    assert one.version == 5


def test_an_event_without_a_key_gets_a_new_id() -> None:
    assert statement(decide(put(condition(AMINA, "c1")))).event_id == UUID(int=1000)


def test_an_identifier_that_is_unique_to_the_instance_names_a_resource_without_id() -> None:
    named = condition(AMINA, "", identifier=[{"system": "urn:x", "value": "1"}, _uuid_identifier()])
    del named["id"]

    (entry,) = statement(decide(Submission("POST", json.dumps(named).encode(), "Condition"))).entries

    assert entry.local_id == f"urn:ietf:rfc:3986|{_uuid_identifier()['value']}"


def _uuid_identifier() -> dict[str, Any]:
    return {"system": "urn:ietf:rfc:3986", "value": "urn:uuid:11111111-1111-4111-8111-111111111111"}


def test_a_submission_about_nobody_goes_to_the_directory_one_event_each() -> None:
    entries = directory(decide(post(posted("transaction", organization("o1"), practitioner("d1")))))

    assert [entry.shared_id for entry in entries] == [
        directory_id("Organization", "o1"),
        directory_id("Practitioner", "d1"),
    ]


def test_what_comes_with_a_person_stays_with_the_persons_statement() -> None:
    event = statement(decide(post(posted("transaction", patient(AMINA, "p1"), organization("o1")))))

    assert event.entries[1].shared_id == shared_id(AMINA, "Organization", "o1")


def test_a_clinical_resource_about_nobody_is_refused_with_what_to_send() -> None:
    nobody = {"resourceType": "Observation", "id": "o1", "status": "final", "code": {"text": "Weight"}}

    error = refused(put(nobody))

    assert place(error) == "Observation"
    assert "Patient/<NHS number>" in error.issues[0].diagnostics


def test_an_entry_is_as_old_as_its_source_says() -> None:
    both = transaction(said_at(condition(AMINA, "c1"), "2026-10-01T10:00:00.1234567+01:00"), condition(AMINA, "c2"))

    first, second = statement(decide(post({**both, "timestamp": "2026-10-02T10:00:00Z"}))).entries

    assert first.recorded_at == datetime(2026, 10, 1, 9, 0, 0, 123456, UTC)
    assert second.recorded_at == datetime(2026, 10, 2, 10, 0, tzinfo=UTC)


def test_what_says_no_time_was_recorded_when_it_was_received() -> None:
    event = statement(decide(put(condition(AMINA, "c1"))))

    assert event.entries[0].recorded_at == event.recorded_at == event.published_at == NOW


@pytest.mark.parametrize("instant", ["2026-11-22T12:05:01Z", "2027-01-01T00:00:00Z", "2026-02-31T00:00:00Z"])
def test_a_time_in_the_future_or_in_no_calendar_is_refused(instant: str) -> None:
    assert place(refused(put(said_at(condition(AMINA, "c1"), instant)))) == "Condition.meta.lastUpdated"


def test_a_clock_that_is_a_little_ahead_is_no_reason_to_refuse() -> None:
    assert statement(decide(put(said_at(condition(AMINA, "c1"), "2026-11-22T12:04:59Z"))))


def test_the_system_and_the_whole_lists_can_be_named_in_headers_or_tags() -> None:
    tags = [
        {"system": "https://onestory.nhs.uk/CodeSystem/source-system", "code": "systmone"},
        {"system": "https://onestory.nhs.uk/CodeSystem/complete-type", "code": "Condition"},
    ]
    tagged = post({**transaction(condition(AMINA, "c1")), "meta": {"tag": tags}})

    by_tag = statement(decide(tagged))
    by_header = statement(decide(tagged, said=PublisherClaims("vision", None, ("Observation",))))

    assert (by_tag.source.system, by_tag.complete_types) == ("systmone", ("Condition",))
    assert (by_header.source.system, by_header.complete_types) == ("vision", ("Observation",))


def test_a_sequence_is_for_sources_that_declared_it() -> None:
    said = PublisherClaims(sequence="7")

    assert statement(decide(put(condition(AMINA, "c1")), organisation="X26", system="pds", said=said)).sequence == 7
    assert refused(put(condition(AMINA, "c1")), organisation="X26", system="pds").issues[0].code == "required"
    assert refused(put(condition(AMINA, "c1")), said=said).issues[0].code == "business-rule"


@pytest.mark.parametrize("sequence", ["-1", "1.0", "٣", str(2**63), "9" * 5_000])
def test_a_sequence_is_a_whole_number_that_can_be_kept(sequence: str) -> None:
    said = PublisherClaims(sequence=sequence)

    assert (
        refused(put(condition(AMINA, "c1")), organisation="X26", system="pds", said=said).issues[0].code == "required"
    )


def test_an_identifier_that_the_record_could_not_keep_names_nothing() -> None:
    nameless = json.dumps({name: each for name, each in condition(AMINA, "").items() if name != "id"}).encode()
    long, broken = "urn:system|" + "x" * 512, "urn:system|a%00b"
    created = Submission("POST", nameless, "Condition", if_none_exist=f"identifier={long}")
    updated = Submission("PUT", nameless, "Condition", search=f"identifier={broken}")

    assert place(refused(created)) == "Condition.identifier"
    assert isinstance(refused(updated), Malformed)


def test_a_whole_list_of_no_known_type_is_refused() -> None:
    assert refused(put(condition(AMINA, "c1")), said=PublisherClaims(complete_types=("Conditions",)))


def test_a_body_that_claims_another_organisation_is_forbidden() -> None:
    tag = {"system": "https://fhir.nhs.uk/Id/ods-organization-code", "code": "B99999"}
    resource = put(condition(AMINA, "c1", meta={"tag": [tag]}))
    whole = post({**transaction(condition(AMINA, "c1")), "meta": {"tag": [tag]}})
    source = put(condition(AMINA, "c1", meta={"source": "/organisations/B99999/systems/emis-web"}))

    for submission in (resource, whole, source):
        assert isinstance(refused(submission), Forbidden)
    assert place(refused(resource)) == "Condition.meta.tag[0]"
    assert statement(decide(resource, organisation="B99999"))


def test_several_things_that_are_wrong_are_told_at_once() -> None:
    wrong = transaction(condition(AMINA, "c1", clinicalStatus={"text": "x"}), patient("9990000019", "p1"))

    places = [issue.expression for issue in refused(post(wrong)).issues]

    assert places == ["Bundle.entry[0].resource.clinicalStatus", "Bundle.entry[1].resource.identifier[0].value"]


def test_a_stored_resource_comes_back_under_its_shared_id() -> None:
    (resource,) = contents(decide(put(condition(AMINA, "c1"))))

    assert resource["id"] == shared_id(AMINA, "Condition", "c1")
    assert resource["meta"] == {"tag": [{"system": "https://fhir.nhs.uk/Id/ods-organization-code", "code": "A81001"}]}


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_message_that_asks_somebody_for_something_is_sent_where_somebody_sees_it(scheme: str) -> None:
    coding = {"system": f"{scheme}://fhir.nhs.uk/CodeSystem/message-events-bars", "code": "servicerequest-request"}
    header = {"resourceType": "MessageHeader", "eventCoding": coding, "source": {"endpoint": "urn:x"}}

    error = refused(post(bundle("message", header, patient(AMINA, "p1"))))

    assert place(error) == "Bundle.entry[0].resource.eventCoding"
    assert "/$process-message" in error.issues[0].diagnostics


@pytest.mark.parametrize("reference", [f"Patient/{AMINA}", "Patient/my-local-7"])
def test_a_directory_resource_that_names_a_person_is_refused_where_it_does(reference: str) -> None:
    resident = {"url": "http://example.org/resident", "valueReference": {"reference": reference}}
    home = {"resourceType": "Location", "id": "home", "name": "Home", "extension": [resident]}
    alone, listed = refused(put(home)), refused(post(bundle("collection", home)))
    batch = decide(post(posted("batch", home, organization("o1"))))

    assert place(alone) == "Location.extension[0].valueReference.reference"
    assert place(listed) == f"Bundle.entry[0].resource.{place(alone).removeprefix('Location.')}"
    assert [type(outcome).__name__ for outcome in batch.outcomes] == ["RefusedEntry", "AcceptedEntry"]
    assert len(directory(batch)) == 1


def test_a_directory_resource_that_comes_with_a_person_may_name_that_person() -> None:
    resident = {"url": "http://example.org/resident", "valueReference": {"reference": f"Patient/{AMINA}"}}
    home = {"resourceType": "Location", "id": "home", "name": "Home", "extension": [resident]}

    assert len(statement(decide(post(transaction(patient(AMINA, "p1"), home)))).entries) == 2

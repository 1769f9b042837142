"""A batch may be about several people. Intake takes all entries of a person, or none."""

from __future__ import annotations

import pytest
from tests.people import condition, patient
from tests.unit.intake.door import (
    AMINA,
    BEN,
    Json,
    decide,
    directory_id,
    full_url,
    observation,
    organization,
    person,
    place,
    post,
    posted,
    practitioner,
    refused,
    shared_id,
)

from onestory.intake.domain.batch_read import MAX_READS
from onestory.intake.domain.request import (
    AcceptedEntry,
    PreparedSubmission,
    PublisherClaims,
    ReadEntry,
    RefusedEntry,
)
from onestory.shared.errors import Unprocessable
from onestory.shared.events import DirectoryChanged, RecordChanged


def batch(*resources: Json) -> PreparedSubmission:
    return decide(post(posted("batch", *resources)))


def people(prepared: PreparedSubmission) -> list[str]:
    return [event.person.value for event in prepared.events if isinstance(event, RecordChanged)]


def refused_at(prepared: PreparedSubmission) -> dict[int, str]:
    """The index of each refused entry, and the expression of its first issue."""
    outcomes = enumerate(prepared.outcomes)
    return {index: place(outcome.error) for index, outcome in outcomes if isinstance(outcome, RefusedEntry)}


def test_each_person_of_a_batch_is_an_event_of_its_own() -> None:
    prepared = batch(condition(AMINA, "c1"), condition(BEN, "c2"), condition(AMINA, "c3"))

    assert people(prepared) == [AMINA, BEN]
    assert len({event.event_id for event in prepared.events}) == 2
    assert [outcome.shared_id for outcome in prepared.outcomes if isinstance(outcome, AcceptedEntry)] == [
        shared_id(AMINA, "Condition", "c1"),
        shared_id(BEN, "Condition", "c2"),
        shared_id(AMINA, "Condition", "c3"),
    ]


@pytest.mark.parametrize(
    ("broken", "where"),
    [
        ({"abatementAge": {"value": "old"}}, "Bundle.entry[0].resource.abatementAge.value"),
        ({"clinicalStatus": {"text": "x"}}, "Bundle.entry[0].resource.clinicalStatus"),
        ({"encounter": {"reference": "Encounter"}}, "Bundle.entry[0].resource.encounter.reference"),
        ({"meta": {"lastUpdated": "2027-01-01T00:00:00Z"}}, "Bundle.entry[0].resource.meta.lastUpdated"),
    ],
)
def test_one_bad_entry_refuses_all_of_its_person_and_nobody_else(broken: Json, where: str) -> None:
    prepared = batch(condition(AMINA, "c1", **broken), condition(BEN, "c2"), condition(AMINA, "c3"))

    assert people(prepared) == [BEN]
    assert refused_at(prepared) == {0: where, 2: "Bundle.entry[0]"}


def test_entries_that_lead_to_a_refused_patient_are_refused() -> None:
    prepared = batch(patient("9990000019", "p1"), observation({"reference": full_url(0)}), condition(BEN, "c2"))

    assert people(prepared) == [BEN]
    assert set(refused_at(prepared)) == {0, 1}


def test_what_a_persons_entries_lead_to_goes_with_each_of_them() -> None:
    jones = {"performer": [{"reference": full_url(2)}]}
    role = {"resourceType": "PractitionerRole", "id": "r1", "practitioner": {"reference": full_url(3)}}
    amina = observation({"reference": f"Patient/{AMINA}"}, "o1", **jones)
    ben = observation({"reference": f"Patient/{BEN}"}, "o2", **jones)

    prepared = batch(amina, ben, role, practitioner("d1"), organization("alone"))

    first, second, third = prepared.events
    assert isinstance(first, RecordChanged)
    assert isinstance(second, RecordChanged)
    assert isinstance(third, DirectoryChanged)
    assert [entry.resource_type for entry in first.entries] == ["Observation", "PractitionerRole", "Practitioner"]
    assert [entry.shared_id for entry in second.entries][1:] == [
        shared_id(BEN, "PractitionerRole", "r1"),
        shared_id(BEN, "Practitioner", "d1"),
    ]
    assert third.entry.shared_id == directory_id("Organization", "alone")


def test_a_broken_supporting_entry_refuses_those_who_lead_to_it() -> None:
    amina = observation({"reference": f"Patient/{AMINA}"}, "o1", performer=[{"reference": full_url(2)}])

    prepared = batch(amina, condition(BEN, "c1"), practitioner("d1", gender="x"))

    assert people(prepared) == [BEN]
    assert refused_at(prepared) == {0: "Bundle.entry[2]", 2: "Bundle.entry[2].resource.gender"}


def test_a_clinical_entry_about_nobody_is_refused_alone() -> None:
    prepared = batch(observation(None), condition(BEN, "c1"))

    assert people(prepared) == [BEN]
    assert refused_at(prepared) == {0: "Bundle.entry[0].resource"}


def test_the_second_of_two_entries_with_one_name_takes_its_person_with_it() -> None:
    prepared = batch(condition(AMINA, "c1"), condition(AMINA, "c1"), condition(BEN, "c2"))

    assert people(prepared) == [BEN]
    assert set(refused_at(prepared)) == {0, 1}


def test_a_batch_of_a_directory_is_one_event_for_each_entry() -> None:
    prepared = batch(organization("o1"), organization("o2", partOf={"reference": full_url(0)}), organization("o3"))

    assert [event.entry.local_id for event in prepared.events if isinstance(event, DirectoryChanged)] == [
        "o1",
        "o2",
        "o3",
    ]


def test_a_batch_that_is_broken_as_a_bundle_is_refused_whole() -> None:
    broken = posted("batch", condition(AMINA, "c1"), condition(BEN, "c2"))
    del broken["entry"][1]["request"]

    assert place(refused(post(broken))) == "Bundle.entry[1].request"


def test_a_whole_list_is_about_one_person() -> None:
    said = PublisherClaims(complete_types=("Condition",))

    assert decide(post(posted("batch", condition(AMINA, "c1"))), said=said).events
    assert refused(post(posted("batch", condition(AMINA, "c1"), condition(BEN, "c2"))), said=said)


def test_a_keyed_batch_repeats_every_event() -> None:
    both = post(posted("batch", condition(AMINA, "c1"), condition(BEN, "c2"), organization("o1")))

    assert decide(both, key="k").events == decide(both, key="k", number=2).events
    assert [event.event_id.version for event in decide(both, key="k").events] == [5, 5, 5]
    assert person(AMINA) != person(BEN)


def test_a_whole_list_with_a_refused_entry_is_refused_whole() -> None:
    both = posted("batch", condition(AMINA, "c1"), condition(AMINA, "c2"))
    both["entry"][1]["request"]["ifMatch"] = 'W/"1"'

    error = refused(post(both), said=PublisherClaims(complete_types=("Condition",)))

    assert [issue.expression for issue in error.issues] == ["Bundle", "Bundle.entry[1].request.ifMatch"]


def test_an_entry_that_is_refused_for_its_request_takes_its_person_with_it() -> None:
    both = posted("batch", condition(AMINA, "c1"), condition(AMINA, "c2"), condition(BEN, "c3"))
    both["entry"][1]["request"]["ifMatch"] = 'W/"1"'

    prepared = decide(post(both))

    assert people(prepared) == [BEN]


def reading(*urls: str, **request: str) -> list[Json]:
    return [{"request": {"method": "GET", "url": url, **request}} for url in urls]


def test_reads_of_a_batch_keep_their_place_and_refuse_nothing_else() -> None:
    sent = posted("batch", condition(AMINA, "c1"), condition(BEN, "c2"))
    sent["entry"][1:1] = reading(
        "/Patient/1", "http://door/fhir/Condition?patient=9990000018&code=a|b", ifNoneMatch="*"
    )

    prepared = decide(post(sent))

    assert people(prepared) == [AMINA, BEN]
    assert [type(outcome) for outcome in prepared.outcomes] == [AcceptedEntry, ReadEntry, ReadEntry, AcceptedEntry]
    assert prepared.outcomes[1:3] == (
        ReadEntry("Patient/1", "*"),
        ReadEntry("Condition?patient=9990000018&code=a|b", "*"),
    )


def test_a_batch_of_reads_only_publishes_nothing() -> None:
    entries = reading("metadata", "Patient/1/$summary")

    prepared = decide(post({"resourceType": "Bundle", "type": "batch", "entry": entries}))

    assert prepared.events == ()
    assert [outcome.url for outcome in prepared.outcomes if isinstance(outcome, ReadEntry)] == [
        "metadata",
        "Patient/1/$summary",
    ]


def test_a_whole_list_may_come_with_reads() -> None:
    sent = posted("batch", condition(AMINA, "c1"))
    sent["entry"] += reading("Patient/1")

    prepared = decide(post(sent), said=PublisherClaims(complete_types=("Condition",)))

    assert people(prepared) == [AMINA]


@pytest.mark.parametrize(
    "url",
    [
        "https://elsewhere.example/fhir/Patient/1",
        "//elsewhere.example/Patient/1",
        "../health/ready",
        "Patient/../../worklists/teams",
        "Patient/1#a",
        "Patient/%2e%2e/x",
        "?patient=1",
    ],
)
def test_a_read_of_another_address_is_refused(url: str) -> None:
    sent = posted("batch", condition(AMINA, "c1"))
    sent["entry"] += reading(url)

    prepared = decide(post(sent))

    assert people(prepared) == [AMINA]
    assert refused_at(prepared) == {1: "Bundle.entry[1].request.url"}


def test_a_batch_carries_a_limited_number_of_reads() -> None:
    entries = reading(*["Patient/1"] * (MAX_READS + 2))

    prepared = decide(post({"resourceType": "Bundle", "type": "batch", "entry": entries}))

    assert refused_at(prepared) == {each: f"Bundle.entry[{each}]" for each in (MAX_READS, MAX_READS + 1)}


def test_an_entry_that_does_not_say_whom_it_is_about_supports_one_person() -> None:
    result = {"resourceType": "Observation", "id": "o1", "status": "final", "code": {"text": "INR"}}

    def report(nhs_number: str, local_id: str) -> Json:
        return {
            "resourceType": "DiagnosticReport",
            "id": local_id,
            "status": "final",
            "code": {"text": "INR"},
            "subject": {"reference": f"Patient/{nhs_number}"},
            "result": [{"reference": "Observation/o1"}],
        }

    assert people(batch(result, report(AMINA, "r1"))) == [AMINA]
    with pytest.raises(Unprocessable) as raised:
        batch(result, report(AMINA, "r1"), report(BEN, "r2"))
    assert place(raised.value) == "Bundle.entry[0].resource"

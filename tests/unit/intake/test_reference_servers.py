"""A reference is resolved against the server of its own entry, and nothing is guessed.

Specification: http://hl7.org/fhir/R4/bundle.html#references.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.people import condition, patient
from tests.unit.intake.door import (
    AMINA,
    BEN,
    DOOR,
    Json,
    bundle,
    content,
    decide,
    observation,
    person,
    place,
    post,
    put,
    refused,
    shared_id,
)

from onestory.intake.domain.request import PreparedSubmission, RefusedEntry
from onestory.shared.errors import Unprocessable
from onestory.shared.events import RecordChanged
from onestory.shared.identity import NHS_NUMBER_SYSTEM

A, B, C = "http://a.example/fhir", "https://b.example/r4", "http://c.example:8080/fhir/stu"
CARA = "9990000034"


def gathered(kind: str, *entries: tuple[str, Json]) -> Json:
    """A Bundle of resources with these fullUrls. Without a fullUrl: an empty string."""
    listed = []
    for url, resource in entries:
        entry: Json = {"resource": resource, **({"fullUrl": url} if url else {})}
        if kind in ("batch", "transaction"):
            entry["request"] = {"method": "POST", "url": resource["resourceType"]}
        listed.append(entry)
    return {"resourceType": "Bundle", "type": kind, "entry": listed}


def unnamed(resource: Json) -> Json:
    """The resource without an id: its fullUrl alone names it."""
    return {name: value for name, value in resource.items() if name != "id"}


def numbered(number: str) -> Json:
    return unnamed(patient(number, "1"))


def medication(text: str, **elements: Any) -> Json:
    return {"resourceType": "Medication", "code": {"text": text}, **elements}


def takes(subject: str, medicine: str, **elements: Any) -> Json:
    return {
        "resourceType": "MedicationStatement",
        "status": "active",
        "subject": {"reference": subject},
        "medicationReference": {"reference": medicine},
        **elements,
    }


def by_person(prepared: PreparedSubmission) -> dict[str, list[Json]]:
    """The resources of each person, by NHS number."""
    assert all(isinstance(event, RecordChanged) for event in prepared.events)
    return {
        event.person.value: [content(entry) for entry in event.entries]
        for event in prepared.events
        if isinstance(event, RecordChanged)
    }


def of_type(resources: list[Json], resource_type: str) -> Json:
    (found,) = [resource for resource in resources if resource["resourceType"] == resource_type]
    return found


def target_text(resources: list[Json], reference: str) -> str:
    """The text of the resource that a rewritten reference leads to."""
    kind, _, target_id = reference.partition("/")
    (found,) = [each for each in resources if (each["resourceType"], each["id"]) == (kind, target_id)]
    text: str = found["code"]["text"]
    return text


@pytest.mark.parametrize(
    "reference", ["Patient/1", "Patient/1/_history/3", f"{B}/Patient/1", f"{B}/Patient/1/_history/3"]
)
def test_a_condition_belongs_to_the_patient_of_its_own_server(reference: str) -> None:
    said = condition(BEN, "7", subject={"reference": reference})
    prepared = decide(
        post(
            gathered(
                "batch",
                (f"{A}/Patient/1", numbered(AMINA)),
                (f"{B}/Patient/1", numbered(BEN)),
                (f"{C}/Patient/1", numbered(CARA)),
                (f"{B}/Condition/7", said),
            )
        )
    )

    resources = by_person(prepared)
    assert {number: [each["resourceType"] for each in found] for number, found in resources.items()} == {
        AMINA: ["Patient"],
        BEN: ["Patient", "Condition"],
        CARA: ["Patient"],
    }
    assert of_type(resources[BEN], "Condition")["subject"] == {"reference": f"Patient/{BEN}"}


def test_the_same_bytes_lead_to_another_resource_in_the_entry_of_another_server() -> None:
    prepared = decide(
        post(
            gathered(
                "collection",
                (f"{A}/Patient/1", numbered(AMINA)),
                (f"{A}/Medication/1", medication("Amoxicillin 500 mg")),
                (f"{B}/Medication/1", medication("Warfarin 3 mg")),
                (f"{C}/Medication/1", medication("Lithium 400 mg")),
                (f"{B}/MedicationStatement/5", takes(f"{A}/Patient/1", "Medication/1")),
                (f"{C}/MedicationStatement/5", takes(f"{A}/Patient/1", "Medication/1/_history/2")),
                (f"{A}/MedicationStatement/5", takes("Patient/1", "Medication/1")),
            )
        )
    )

    resources = by_person(prepared)[AMINA]
    taken = [each for each in resources if each["resourceType"] == "MedicationStatement"]
    assert [target_text(resources, each["medicationReference"]["reference"]) for each in taken] == [
        "Warfarin 3 mg",
        "Lithium 400 mg",
        "Amoxicillin 500 mg",
    ]


def test_every_place_of_a_reference_is_resolved_by_its_entry() -> None:
    link = {"reference": "Medication/1"}
    kept = takes("Patient/1", "#c", id="5", contained=[{"resourceType": "MedicationDispense", "id": "c"}])
    kept["contained"][0] |= {"status": "completed", "medicationReference": link}
    kept |= {"extension": [{"url": "http://x.example/e", "valueReference": link}], "medicationReference": link}
    kept["partOf"] = [{"reference": "#c"}]
    listed: Json = {
        "resourceType": "List",
        "status": "current",
        "mode": "working",
        "subject": {"reference": "Patient/1"},
    }
    listed["entry"] = [{"item": link}]
    prepared = decide(
        post(
            gathered(
                "collection",
                (f"{A}/Medication/1", medication("Amoxicillin 500 mg")),
                (f"{B}/Medication/1", medication("Warfarin 3 mg")),
                (f"{B}/Patient/1", numbered(BEN)),
                (f"{B}/MedicationStatement/5", kept),
                (f"{B}/List/2", listed),
            )
        )
    )

    resources = by_person(prepared)[BEN]
    statement = of_type(resources, "MedicationStatement")
    references = [
        statement["extension"][0]["valueReference"],
        statement["contained"][0]["medicationReference"],
        of_type(resources, "List")["entry"][0]["item"],
    ]
    assert [target_text(resources, each["reference"]) for each in references] == ["Warfarin 3 mg"] * 3


@pytest.mark.parametrize("kind", ["collection", "transaction"])
@pytest.mark.parametrize("reference", ["Patient/1", "Patient/1/_history/1"])
def test_a_patient_of_another_server_is_never_taken_instead(kind: str, reference: str) -> None:
    said = observation({"reference": reference}, "7")

    error = refused(post(gathered(kind, (f"{A}/Patient/1", numbered(AMINA)), (f"{B}/Observation/7", said))))

    assert isinstance(error, Unprocessable)
    assert place(error) == "Bundle.entry[1].resource.subject.reference"
    assert "Bundle.entry[0]" in error.issues[0].diagnostics


@pytest.mark.parametrize("other", ["urn:uuid:00000000-0000-4000-8000-000000000001", f"{A}/Patient/1", ""])
def test_a_patient_whose_server_is_another_or_not_known_is_not_the_one_of_the_entrys_server(other: str) -> None:
    said = observation({"reference": "Patient/1"}, "7")

    error = refused(post(gathered("collection", (other, patient(AMINA, "1")), (f"{B}/Observation/7", said))))

    assert place(error) == "Bundle.entry[1].resource.subject.reference"


def test_a_medicine_of_another_server_is_refused_at_the_reference() -> None:
    error = refused(
        post(
            gathered(
                "collection",
                (f"{B}/Patient/1", numbered(BEN)),
                (f"{A}/Medication/1", medication("Amoxicillin 500 mg")),
                (f"{B}/MedicationStatement/5", takes("Patient/1", "Medication/1")),
            )
        )
    )

    assert place(error) == "Bundle.entry[2].resource.medicationReference.reference"


UUID_URL = "urn:uuid:00000000-0000-4000-8000-00000000000{}"


@pytest.mark.parametrize("url", [UUID_URL.format(9), "", "Observation/7"])
def test_an_entry_of_no_server_finds_the_only_candidate(url: str) -> None:
    for patient_url in (UUID_URL.format(1), "", f"{A}/Patient/1", "Patient/1"):
        said = observation({"reference": "Patient/1"}, "7")
        prepared = decide(post(gathered("collection", (patient_url, patient(AMINA, "1")), (url, said))))

        assert by_person(prepared)[AMINA][1]["subject"] == {"reference": f"Patient/{AMINA}"}


@pytest.mark.parametrize("url", [UUID_URL.format(9), ""])
def test_an_entry_of_no_server_is_refused_when_it_could_mean_two(url: str) -> None:
    said = observation({"reference": "Patient/1"}, "7")

    error = refused(
        post(
            gathered(
                "collection",
                (f"{A}/Patient/1", numbered(AMINA)),
                (f"{B}/Patient/1", numbered(BEN)),
                (url, said),
            )
        )
    )

    assert error.issues[0].code == "multiple-matches"
    assert place(error) == "Bundle.entry[2].resource.subject.reference"
    assert "Bundle.entry[0]" in error.issues[0].diagnostics
    assert "Bundle.entry[1]" in error.issues[0].diagnostics


@pytest.mark.parametrize("reference", ["Patient/p1", f"{DOOR.base_url}/Patient/p1"])
@pytest.mark.parametrize("url", [f"{DOOR.base_url}/Patient/p1", "", UUID_URL.format(1)])
def test_our_own_base_url_is_a_server_too(reference: str, url: str) -> None:
    said = observation({"reference": reference}, "7")
    prepared = decide(
        post(gathered("collection", (url, patient(AMINA, "p1")), (f"{DOOR.base_url}/Observation/7", said)))
    )

    assert by_person(prepared)[AMINA][1]["subject"] == {"reference": f"Patient/{AMINA}"}


def test_our_own_base_url_does_not_lead_to_another_server() -> None:
    said = observation({"reference": f"{DOOR.base_url}/Encounter/e1"}, "7", encounter={"reference": "Encounter/e1"})
    visit = {"resourceType": "Encounter", "id": "e1", "status": "finished", "class": {"code": "AMB"}}
    said["subject"] = {"reference": f"Patient/{AMINA}"}
    said["encounter"] = {"reference": f"{DOOR.base_url}/Encounter/e1"}

    error = refused(post(gathered("collection", (f"{A}/Encounter/e1", visit), (f"{B}/Observation/7", said))))

    assert place(error) == "Bundle.entry[1].resource.encounter.reference"


def test_a_reference_out_of_the_bundle_is_the_sources_own() -> None:
    said = observation({"reference": f"Patient/{AMINA}"}, "7", encounter={"reference": "Encounter/e9"})
    prepared = decide(post(gathered("collection", (f"{B}/Observation/7", said))))

    assert by_person(prepared)[AMINA][0]["encounter"]["reference"] == f"Encounter/{shared_id(AMINA, 'Encounter', 'e9')}"


def test_a_full_url_of_another_type_names_no_server() -> None:
    said = observation({"reference": "Patient/1"}, "7")
    prepared = decide(
        post(
            gathered(
                "collection",
                (UUID_URL.format(1), patient(AMINA, "1")),
                ("https://fhir.example/StructureDefinition/7", said),
            )
        )
    )

    assert [event.person for event in prepared.events if isinstance(event, RecordChanged)] == [person(AMINA)]


def test_an_entry_that_supports_two_people_is_found_on_its_own_server() -> None:
    def practice(name: str) -> Json:
        return {"resourceType": "Organization", "name": name}

    entries = []
    for server, number in ((A, AMINA), (B, BEN), (A, CARA)):
        subject = {**numbered(number), "managingOrganization": {"reference": "Organization/1"}}
        entries.append((f"{server}/Patient/{number}", subject))
    entries += [(f"{A}/Organization/1", practice("Of a")), (f"{B}/Organization/1", practice("Of b"))]

    resources = by_person(decide(post(gathered("batch", *entries))))

    assert {number: of_type(found, "Organization")["name"] for number, found in resources.items()} == {
        AMINA: "Of a",
        BEN: "Of b",
        CARA: "Of a",
    }


def test_an_identifier_of_two_people_names_none_of_them() -> None:
    number = {"system": "http://a.example/mrn", "value": "7"}
    about = {"identifier": number}
    people = []
    for at, nhs_number in enumerate((AMINA, BEN)):
        elements = patient(nhs_number, f"p{at}")
        people.append((UUID_URL.format(at), {**elements, "identifier": [*elements["identifier"], number]}))

    prepared = decide(post(gathered("batch", *people, (UUID_URL.format(9), observation(about, "7")))))

    refusal = prepared.outcomes[2]
    assert isinstance(refusal, RefusedEntry)
    assert refusal.error.issues[0].code == "multiple-matches"
    assert place(refusal.error) == "Bundle.entry[2].resource.subject.identifier"


# Contained resources, and the types that an element may refer to.


def held(number: str, name: str = "p") -> Json:
    return {"resourceType": "Patient", "id": name, "identifier": [{"system": NHS_NUMBER_SYSTEM, "value": number}]}


@pytest.mark.parametrize("second", [held(BEN), held(AMINA), {"resourceType": "Device", "id": "p"}])
def test_two_contained_resources_with_one_id_are_refused(second: Json) -> None:
    said = condition(AMINA, "c1", subject={"reference": "#p"}, contained=[held(AMINA), second])

    alone, in_a_bundle = refused(put(said)), refused(post(bundle("collection", patient(AMINA, "p1"), said)))

    assert place(alone) == "Condition.contained[1].id"
    assert place(in_a_bundle) == "Bundle.entry[1].resource.contained[1].id"


def test_contained_resources_of_two_entries_may_have_one_id() -> None:
    said = [
        condition(number, f"c{number}", subject={"reference": "#p"}, contained=[held(number)])
        for number in (AMINA, BEN)
    ]

    resources = by_person(
        decide(post(gathered("batch", *((UUID_URL.format(at), each) for at, each in enumerate(said)))))
    )

    assert {number: [each["contained"][0] for each in found] for number, found in resources.items()} == {
        AMINA: [held(AMINA)],
        BEN: [held(BEN)],
    }


@pytest.mark.parametrize("element", ["subject", "patient"])
def test_a_subject_of_a_type_that_fhir_forbids_is_refused(element: str) -> None:
    doctor = {"resourceType": "Practitioner", "id": "p"}
    said: Json = {"resourceType": "AllergyIntolerance" if element == "patient" else "Condition", "id": "x"}
    inside = {**said, "contained": [doctor], element: {"reference": "#p"}}
    beside = {**said, element: {"reference": UUID_URL.format(0)}}

    alone = refused(post(gathered("collection", ("", patient(AMINA, "p1")), ("", inside))))
    entries = gathered("collection", (UUID_URL.format(0), doctor), ("", patient(AMINA, "p1")), ("", beside))

    assert place(alone) == f"Bundle.entry[1].resource.{element}.reference"
    assert place(refused(post(entries))) == f"Bundle.entry[2].resource.{element}.reference"
    assert "Practitioner" in alone.issues[0].diagnostics


def test_a_subject_that_is_not_contained_is_refused() -> None:
    error = refused(put(condition(AMINA, "c1", subject={"reference": "#q"}, contained=[held(AMINA)])))

    assert place(error) == "Condition.subject.reference"


# Binary.securityContext.


def letter(context: str) -> Json:
    return {
        "resourceType": "Binary",
        "id": "b1",
        "contentType": "text/plain",
        "data": "TGV0dGVy",
        "securityContext": {"reference": context},
    }


def test_the_security_context_of_a_binary_names_its_person() -> None:
    (resource,) = by_person(decide(put(letter(f"Patient/{AMINA}"))))[AMINA]

    assert resource["securityContext"] == {"reference": f"Patient/{AMINA}"}


def test_a_security_context_may_be_a_resource_of_the_person() -> None:
    said = observation({"reference": f"Patient/{BEN}"}, "o1")
    prepared = decide(
        post(
            gathered("batch", ("", patient(AMINA, "p1")), (UUID_URL.format(1), said), ("", letter(UUID_URL.format(1))))
        )
    )

    assert [each["resourceType"] for each in by_person(prepared)[BEN]] == ["Observation", "Binary"]


def test_a_binary_that_names_nobody_is_refused() -> None:
    said = letter("Patient/none")

    assert place(refused(put(said))) == "Binary.securityContext.reference"
    assert place(refused(put({**said, "securityContext": {"display": "x"}}))) == "Binary"


# Any Bundle.

SERVERS = ["http://a.example/fhir", "http://b.example/fhir", "http://door/fhir", None]
NUMBERS = [AMINA, BEN, CARA, "9990000042"]


@st.composite
def bundles(draw: st.DrawFn) -> list[tuple[str | None, str | None, str]]:
    """Observations as (server, server that an absolute reference names or None, Patient id)."""
    return draw(
        st.lists(
            st.tuples(st.sampled_from(SERVERS), st.sampled_from(SERVERS), st.sampled_from(["1", "2"])),
            min_size=1,
            max_size=6,
        )
    )


@given(
    st.lists(st.tuples(st.sampled_from(SERVERS), st.sampled_from(["1", "2"])), unique=True, min_size=1, max_size=4),
    bundles(),
)
def test_a_statement_is_only_filed_under_the_patient_whose_url_its_reference_names(
    patients: list[tuple[str | None, str]], observations: list[tuple[str | None, str | None, str]]
) -> None:
    urls = {
        f"{server}/Patient/{name}" if server else f"urn:uuid:00000000-0000-4000-8000-00000000000{name}": number
        for (server, name), number in zip(patients, NUMBERS, strict=False)
    }
    entries = [(url, numbered(number)) for url, number in urls.items()]
    for at, (server, named, name) in enumerate(observations):
        reference = f"{named}/Patient/{name}" if named else f"Patient/{name}"
        url = f"{server}/Observation/o{at}" if server else f"urn:uuid:00000000-0000-4000-8000-0000000001{at:02d}"
        entries.append((url, observation({"reference": reference}, f"o{at}")))

    prepared = decide(post(gathered("batch", *entries)))

    filed = {
        entry.local_id: event.person.value
        for event in prepared.events
        if isinstance(event, RecordChanged)
        for entry in event.entries
        if entry.resource_type == "Observation"
    }
    for at, (server, named, name) in enumerate(observations):
        expected = _expected(urls, named or server, name, is_relative=named is None)
        outcome = prepared.outcomes[len(urls) + at]
        # An entry may be refused with the other entries about its person, but is never filed under another one.
        assert filed.get(f"o{at}", expected) == expected
        if expected is None:
            assert isinstance(outcome, RefusedEntry)
        everything_is_clear = all(_expected(urls, n or s, i, is_relative=n is None) for s, n, i in observations)
        assert not everything_is_clear or filed[f"o{at}"] == expected


def _expected(urls: dict[str, str], server: str | None, name: str, *, is_relative: bool) -> str | None:
    """The person whom a reference may mean, by the text of the specification, or None."""
    if server:
        return urls.get(f"{server}/Patient/{name}")
    assert is_relative
    candidates = [number for url, number in urls.items() if url.endswith(f"/Patient/{name}")]
    return candidates[0] if len(candidates) == 1 else None

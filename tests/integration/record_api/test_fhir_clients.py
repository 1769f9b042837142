"""Independent FHIR client libraries work with a base URL and a token, used as their manuals describe."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests
from fhirclient.client import FHIRClient
from fhirclient.models.bundle import Bundle
from fhirclient.models.capabilitystatement import CapabilityStatement
from fhirclient.models.condition import Condition
from fhirclient.models.patient import Patient
from fhirclient.server import FHIRNotFoundException, FHIRServer
from fhirpy import SyncFHIRClient
from fhirpy.base.exceptions import AuthorizationError, OperationOutcome, ResourceNotFound
from tests.people import SNOMED, new_nhs_number, patient
from tests.stack import Services

from onestory.shared.identity import NHS_NUMBER_SYSTEM

CLINICAL = "http://terminology.hl7.org/CodeSystem/condition-clinical"
LETTERS = str.maketrans("0123456789", "abcdefghij")


@pytest.fixture
def fhirpy(services: Services) -> SyncFHIRClient:
    return SyncFHIRClient(f"{services.base_url}/fhir", authorization=f"Bearer {services.token('A81001')}")


@pytest.fixture
def smart(services: Services) -> Iterator[FHIRServer]:
    client = FHIRClient(settings={"app_id": "mdt", "api_base": f"{services.base_url}/fhir"})
    with client.server.session as session:
        session.headers["Authorization"] = f"Bearer {services.token('A81001')}"
        yield client.server


@pytest.fixture
def number() -> str:
    return new_nhs_number()


def somebody(number: str) -> dict[str, Any]:
    said = patient(number, "", name=[{"family": f"Li{number.translate(LETTERS)}", "given": ["Zoë"]}])
    return {name: value for name, value in said.items() if name not in ("id", "resourceType")}


def problem(number: str, text: str, onset: str = "2026-01-01", status: str = "active") -> dict[str, Any]:
    return {
        "clinicalStatus": {"coding": [{"system": CLINICAL, "code": status}]},
        "code": {"coding": [{"system": SNOMED, "code": "84114007"}], "text": text},
        "subject": {"reference": f"Patient/{number}"},
        "onsetDateTime": onset,
    }


def texts(resources: Any) -> list[str]:
    return [each["code"]["text"] for each in resources]


def test_fhirpy_creates_updates_and_reads(fhirpy: SyncFHIRClient, number: str) -> None:
    created = fhirpy.resource("Condition", **problem(number, "Asthma")).save()
    assert fhirpy.reference("Condition", created["id"]).to_resource()["code"]["text"] == "Asthma"
    first = created["meta"]["versionId"]

    created["code"]["text"] = "Asthma, mild"
    created.update()
    read = fhirpy.resources("Condition").search(patient=number).get()
    assert (read["id"], read["code"]["text"]) == (created["id"], "Asthma, mild")
    read["code"]["text"] = "Asthma, severe"
    read.save()
    assert read.refresh()["code"]["text"] == "Asthma, severe"

    history = read.execute("_history", method="get")
    assert [each["resource"]["code"]["text"] for each in history["entry"]] == [
        "Asthma, severe",
        "Asthma, mild",
        "Asthma",
    ]
    assert fhirpy.execute(f"Condition/{read['id']}/_history/{first}", method="get")["code"]["text"] == "Asthma"


def test_fhirpy_searches_sorts_counts_and_pages(fhirpy: SyncFHIRClient, number: str) -> None:
    for year in range(2020, 2027):
        status = "resolved" if year < 2022 else "active"
        fhirpy.resource("Condition", **problem(number, str(year), f"{year}-02-03", status)).save()
    problems = fhirpy.resources("Condition").search(patient=number)

    assert problems.count() == 7
    assert texts(problems.sort("-onset-date").limit(2)) == [str(year) for year in range(2026, 2019, -1)]
    assert texts(problems.search(onset_date__ge="2024").sort("onset-date").fetch()) == ["2024", "2025", "2026"]
    assert texts(problems.search(clinical_status="active").sort("onset-date").limit(3)) == [
        str(year) for year in range(2022, 2027)
    ]
    assert problems.search(code=f"{SNOMED}|84114007").count() == 7
    assert texts([problems.sort("-onset-date").first()]) == ["2026"]
    assert all("clinicalStatus" in each for each in problems.elements("code").fetch())


def test_fhirpy_finds_people_and_what_belongs_to_a_match(fhirpy: SyncFHIRClient, number: str) -> None:
    said = somebody(number)
    fhirpy.resource("Patient", **said).save()
    fhirpy.resource("Condition", **problem(number, "Asthma")).save()

    patients = fhirpy.resources("Patient")
    assert patients.search(identifier=f"{NHS_NUMBER_SYSTEM}|{number}").get()["id"] == number
    assert patients.search(name=said["name"][0]["family"], birthdate="1941-03-02").get()["id"] == number
    bundle = fhirpy.resources("Condition").search(patient=number).include("Condition", "subject").fetch_raw()
    assert [each["resource"]["resourceType"] for each in bundle["entry"]] == ["Condition", "Patient"]
    with pytest.raises(ResourceNotFound):
        patients.search(name="Nobody", birthdate="1941-03-02").get()


def test_fhirpy_understands_what_is_refused(services: Services, fhirpy: SyncFHIRClient, number: str) -> None:
    with pytest.raises(OperationOutcome) as refused:
        fhirpy.resources("Condition").search(patient=number, colour="red").fetch()
    assert refused.value.resource["issue"][0]["code"] == "not-supported"
    with pytest.raises(OperationOutcome) as invalid:
        fhirpy.resource("Condition", subject={"reference": f"Patient/{number}"}, onsetDateTime="soon").save()
    assert invalid.value.resource["issue"][0]["severity"] == "error"
    with pytest.raises(ResourceNotFound):
        fhirpy.reference("Condition", "nothing").to_resource()
    with pytest.raises(AuthorizationError):
        SyncFHIRClient(f"{services.base_url}/fhir").resources("Condition").search(patient=number).fetch()


def test_fhirclient_reads_what_the_server_does(smart: FHIRServer) -> None:
    statement = CapabilityStatement.read_from("metadata", smart)

    assert statement.fhirVersion == "4.0.1"


def test_fhirclient_creates_updates_and_reads(smart: FHIRServer, number: str) -> None:
    said = Condition(problem(number, "Asthma")).create(smart)
    created = Condition.read(said["id"], smart)
    first = created.meta.versionId

    created.code.text = "Asthma, mild"
    created.update()

    assert Condition.read(created.id, smart).code.text == "Asthma, mild"
    history = Bundle.read_from(f"Condition/{created.id}/_history", smart)
    assert [each.resource.code.text for each in history.entry] == ["Asthma, mild", "Asthma"]
    assert Condition.read_from(f"Condition/{created.id}/_history/{first}", smart).code.text == "Asthma"


def test_fhirclient_searches_and_pages(smart: FHIRServer, number: str) -> None:
    for year in range(2022, 2027):
        Condition(problem(number, str(year), f"{year}-02-03")).create(smart)
    asked = {"patient": number, "clinical-status": "active", "_sort": "-onset-date", "_count": "2"}

    pages = list(Condition.where(asked).perform_iter(smart))

    assert [[each.resource.code.text for each in page.entry] for page in pages] == [
        ["2026", "2025"],
        ["2024", "2023"],
        ["2022"],
    ]
    later = Condition.where({"patient": number, "onset-date": "ge2025"}).perform_resources_iter(smart)
    assert sorted(each.code.text for each in later) == ["2025", "2026"]


def test_fhirclient_finds_people_and_what_belongs_to_a_match(smart: FHIRServer, number: str) -> None:
    said = somebody(number)
    Patient(said).create(smart)
    Condition(problem(number, "Asthma")).create(smart)

    for asked in (
        {"identifier": f"{NHS_NUMBER_SYSTEM}|{number}"},
        {"family": said["name"][0]["family"], "given": "zoe", "birthdate": "1941-03-02"},
    ):
        (found,) = Patient.where(asked).perform_resources_iter(smart)
        assert found.id == number
    along = Condition.where({"patient": number}).include("subject").perform_resources_iter(smart)
    assert [each.resource_type for each in along] == ["Condition", "Patient"]


def test_fhirclient_understands_what_is_refused(smart: FHIRServer, number: str) -> None:
    with pytest.raises(FHIRNotFoundException):
        Condition.read("nothing", smart)
    with pytest.raises(requests.HTTPError) as refused:
        list(Condition.where({"patient": number, "colour": "red"}).perform_iter(smart))
    assert refused.value.response is not None
    assert refused.value.response.json()["issue"][0]["code"] == "not-supported"

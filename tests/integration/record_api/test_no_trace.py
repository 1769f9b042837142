"""No kind of request shows a trace of a resource that the caller may not see."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from tests.people import condition, new_nhs_number, patient
from tests.publishing import SENT
from tests.stack import Services

MRN = "https://hospital.example.org/mrn"
PROVISIONAL = "https://onestory.nhs.uk/Id/provisional-person"
OF_A_PERSON = (
    "/fhir/Patient/{id}/$everything",
    "/fhir/Patient/{id}/$summary",
    "/fhir/Patient/{id}/$summary?asOf={then}",
    "/fhir/Patient/{id}/$merged",
    "/fhir/Patient/{id}/$merged?_since=2026-01-01",
    "/fhir/Patient/{id}/$freshness",
    "/fhir/Patient/{id}/_history",
    "/fhir/Condition/_history?patient={id}",
    "/fhir/_history?patient={id}",
    "/fhir/Condition?patient={id}",
    "/fhir/Condition?patient={id}&_include=*&_revinclude=Provenance:target&_sort=-recorded-date",
    "/fhir/Provenance?patient={id}",
    "/fhir/Patient/{id}",
)


@pytest.fixture
def clinic(services: Services) -> Iterator[httpx.Client]:
    """A client of a clinic that sees only its own statements about each person."""
    with services.client("RZ3", network="") as client:
        yield client


@pytest.fixture
def stranger(services: Services) -> Iterator[httpx.Client]:
    with services.client("B99999", network="elsewhere") as client:
        yield client


@pytest.fixture
def number(services: Services) -> str:
    number = new_nhs_number()
    services.register(number)
    return number


def says(source: httpx.Client, resource: dict[str, Any]) -> str:
    """Publish, wait until it is visible, and return the shared id."""
    answer = source.put(f"/fhir/{resource['resourceType']}/{resource['id']}", json=resource, headers=SENT)
    assert answer.is_success, answer.text
    return answer.headers["Location"].split("/")[-3]


def stated(number: str, local_id: str) -> dict[str, Any]:
    """The hospital's Patient, with the NHS number and the hospital's own local number."""
    said = patient(number, local_id)
    return {**said, "identifier": [*said["identifier"], {"system": MRN, "value": f"M{number}"}]}


def unnumbered(number: str, local_id: str) -> dict[str, Any]:
    mrn = [{"system": MRN, "value": f"M{number}"}]
    return {"resourceType": "Patient", "id": local_id, "identifier": mrn, "name": [{"family": "Okafor"}]}


def test_who_sees_its_own_statements_alone_finds_its_people_by_name_whatever_others_call_them(
    hospital: httpx.Client, clinic: httpx.Client, number: str
) -> None:
    name = f"Okafor{number}"
    says(hospital, {**unnumbered(number, f"h-{number}"), "name": [{"family": name}], "birthDate": "1941-03-02"})
    says(hospital, {**unnumbered(number, f"i-{number}"), "name": [{"family": name}], "birthDate": "1941-03-02"})
    says(hospital, stated(number, f"h-{number}"))
    says(clinic, patient(number, f"c-{number}", name=[{"family": name}]))

    found = clinic.get("/fhir/Patient", params={"family": name, "birthdate": "1941-03-02"}).json()

    assert [entry["resource"]["id"] for entry in found["entry"]] == [number]


def test_a_page_of_a_summary_lets_a_browser_fetch_run_and_send_nothing(clinic: httpx.Client, number: str) -> None:
    says(clinic, condition(number, f"c-{number}", '<script>alert(1)</script>" onload="alert(2)'))

    page = clinic.get(f"/fhir/Patient/{number}/$summary", headers={"Accept": "text/html"})

    assert page.headers["Content-Type"].startswith("text/html")
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'unsafe-inline'")
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert "&lt;script&gt;" in page.text
    assert "<script" not in page.text
    assert '" onload=' not in page.text


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("&code=1" * 101, 400),
        ("&_include=*" * 101, 400),
        ("&code=" + "1," * 501 + "1", 400),
        ("&_sort=" + ",".join(["_id"] * 11), 400),
        ("&_elements=" + ",".join(f"a{each}" for each in range(101)), 400),
    ],
)
def test_one_request_cannot_ask_so_much_that_all_others_wait(
    clinic: httpx.Client, number: str, query: str, status: int
) -> None:
    answer = clinic.get(f"/fhir/Condition?patient={number}{query}")

    assert answer.status_code == status, answer.text[:300]
    assert answer.json()["resourceType"] == "OperationOutcome"


def body(answer: httpx.Response) -> Any:
    return answer.json() | {"id": "", "timestamp": ""}


def test_whose_number_of_another_source_it_is_is_told_to_those_alone_who_see_that_source(
    hospital: httpx.Client, clinic: httpx.Client, number: str
) -> None:
    says(hospital, stated(number, f"h-{number}"))
    says(clinic, condition(number, f"c-{number}", "Leg ulcer"))

    for query in (f"{MRN}|M{number}", f"{PROVISIONAL}|RX001|default|h-{number}"):
        found = clinic.get("/fhir/Patient", params={"identifier": query})
        assert found.json()["total"] == 0, found.text
        assert clinic.get("/fhir/Condition", params={"patient": query}).status_code == 404
        assert clinic.get("/fhir/_history", params={"patient": query}).status_code == 404
    assert hospital.get("/fhir/Patient", params={"identifier": f"{MRN}|M{number}"}).json()["total"] == 1


def test_whom_another_source_knew_without_a_number_is_told_to_nobody_who_sees_its_own_statements_alone(
    hospital: httpx.Client, clinic: httpx.Client, number: str
) -> None:
    there = says(hospital, unnumbered(number, f"h-{number}"))
    says(hospital, stated(number, f"h-{number}"))
    says(clinic, condition(number, f"c-{number}", "Leg ulcer"))

    for address in OF_A_PERSON:
        answer = clinic.get(address.format(id=there, then="2026-11-20T00:00:00Z"))
        assert answer.status_code == 404, (address, answer.text)
    # The source of that identity can still read the person by it.
    assert hospital.get(f"/fhir/Patient/{there}/$everything").status_code == 200
    assert hospital.get("/fhir/Condition", params={"patient": f"{MRN}|M{number}"}).status_code == 200


def test_a_change_that_is_hidden_does_not_show_in_when_a_summary_was_made(
    hospital: httpx.Client, clinic: httpx.Client, number: str
) -> None:
    says(clinic, condition(number, f"c-{number}", "Leg ulcer"))
    before = clinic.get(f"/fhir/Patient/{number}/$summary")
    says(hospital, condition(number, f"h-{number}", "Overdose"))
    after = clinic.get(f"/fhir/Patient/{number}/$summary")

    assert after.content == before.content
    assert after.headers["ETag"] == before.headers["ETag"]


def test_a_refused_read_looks_the_same_whoever_is_asked_for(
    hospital: httpx.Client, stranger: httpx.Client, number: str
) -> None:
    says(hospital, condition(number, f"h-{number}", "Overdose"))
    nobody = new_nhs_number()

    for address in OF_A_PERSON:
        known, unknown = (
            stranger.get(address.format(id=each, then="2026-11-20T00:00:00Z")) for each in (number, nobody)
        )
        assert (known.status_code, body(known)) == (unknown.status_code, body(unknown)), address
        assert {name: known.headers.get(name) for name in ("ETag", "Vary", "X-OneStory-Record-Digest")} == {
            name: unknown.headers.get(name) for name in ("ETag", "Vary", "X-OneStory-Record-Digest")
        }


def test_a_cursor_that_names_what_is_hidden_shows_nothing_of_it(
    hospital: httpx.Client, clinic: httpx.Client, number: str
) -> None:
    hidden = says(hospital, condition(number, f"h-{number}", "Overdose"))
    says(clinic, condition(number, f"c-{number}", "Leg ulcer"))
    nothing = hidden[:27] + "".join(reversed(hidden[27:]))

    for address in ("/fhir/Condition?patient={0}", "/fhir/Patient/{0}/$everything?_count=5"):
        answers = []
        for each in (hidden, nothing):
            cursor = base64.urlsafe_b64encode(f"Condition/{each}".encode()).decode().rstrip("=")
            answer = clinic.get(address.format(number) + f"&_cursor={cursor}")
            answers.append((answer.status_code, answer.json()["total"], hidden in answer.text))
        assert answers[0] == answers[1] == (200, answers[0][1], False)


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00"])
def test_a_moment_that_no_clock_reaches_is_refused_or_answered_and_breaks_nothing(
    clinic: httpx.Client, number: str, moment: str
) -> None:
    says(clinic, condition(number, f"c-{number}", "Leg ulcer"))
    opaque = base64.urlsafe_b64encode(f'["{moment}",5,"{uuid.uuid4()}"]'.encode()).decode()
    place = base64.urlsafe_b64encode(f'[["2020"],"Condition","x","{moment}"]'.encode()).decode()

    for address, query in (
        ("$everything", {"asOf": moment}),
        ("$merged", {"asOf": moment}),
        ("$summary", {"asOf": moment}),
        ("$merged", {"_since": moment}),
        ("$everything", {"_since": moment}),
        ("_history", {"_since": moment}),
    ):
        assert clinic.get(f"/fhir/Patient/{number}/{address}", params=query).status_code in (200, 400, 404), address
    for query in ({"_cursor": opaque}, {"_since": moment}):
        answer = clinic.get("/fhir/_history", params={"patient": number, **query})
        assert answer.status_code in (200, 400), (query, answer.text)
    answer = clinic.get("/fhir/Condition", params={"patient": number, "_sort": "recorded-date", "_cursor": place})
    assert answer.status_code in (200, 400), answer.text

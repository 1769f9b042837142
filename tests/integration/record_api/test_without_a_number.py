"""A person without an NHS number is known only to their source. The source joins them when it states the number."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from tests.people import condition, new_nhs_number, patient, said_at, transaction
from tests.publishing import SENT
from tests.stack import Services

MRN = "https://maternity.example.org/mrn"
DAYS = [f"2026-10-0{day}T10:00:00Z" for day in range(1, 8)]


class Baby:
    """A newborn in one hospital: a local id, a local number, and an NHS number that comes later."""

    def __init__(self) -> None:
        self.number = new_nhs_number()
        self.local_id = f"baby-{self.number}"

    @property
    def mrn(self) -> dict[str, str]:
        return {"system": MRN, "value": f"M{self.number}"}

    def unnumbered(self, **elements: Any) -> dict[str, Any]:
        name = [{"family": "Okafor", "given": ["Baby"]}]
        return {"resourceType": "Patient", "id": self.local_id, "identifier": [self.mrn], "name": name, **elements}

    def numbered(self) -> dict[str, Any]:
        said = patient(self.number, self.local_id)
        return {**said, "identifier": [*said["identifier"], self.mrn]}

    def problem(self, local_id: str, text: str, of: str = "") -> dict[str, Any]:
        subject = {"reference": f"Patient/{of or self.local_id}"}
        return condition(self.number, f"{self.local_id}-{local_id}", text, subject=subject)

    def found_by_mrn(self, client: httpx.Client) -> list[dict[str, Any]]:
        answer = client.get("/fhir/Patient", params={"identifier": f"{MRN}|M{self.number}"})
        assert answer.status_code == 200, answer.text
        return [entry["resource"] for entry in answer.json().get("entry", [])]


@pytest.fixture
def baby(hospital: httpx.Client) -> Baby:
    """A newborn with jaundice, published on the first day."""
    born = Baby()
    says(hospital, born.unnumbered(), born.problem("1", "Neonatal jaundice"), at=DAYS[0])
    return born


def says(client: httpx.Client, *resources: dict[str, Any], at: str, **headers: str) -> httpx.Response:
    bundle = transaction(*[said_at(each, at) for each in resources], timestamp=at)
    answer = client.post("/fhir", json=bundle, headers={**SENT, **headers})
    assert answer.status_code == 200, answer.text
    return answer


def problems(client: httpx.Client, patient_id: str) -> list[str]:
    """The texts of the person's problems that a caller can read. The list is empty if the caller can read none."""
    answer = client.get(f"/fhir/Condition?patient={patient_id}")
    assert answer.status_code in (200, 404), answer.text
    return sorted(entry["resource"]["code"]["text"] for entry in answer.json().get("entry", []))


def last_changed(client: httpx.Client, number: str) -> str:
    """The latest `lastUpdated` of the person's resources that a caller can read."""
    entries = client.get(f"/fhir/Patient/{number}/$everything").json()["entry"]
    return max(str(entry["resource"]["meta"]["lastUpdated"]) for entry in entries)


def provisional_id(client: httpx.Client, baby: Baby) -> str:
    (found,) = baby.found_by_mrn(client)
    return str(found["id"])


def test_who_speaks_of_a_person_without_a_number_reads_them_by_id_and_by_its_own_number(
    hospital: httpx.Client, baby: Baby
) -> None:
    (found,) = baby.found_by_mrn(hospital)

    assert found["identifier"] == [baby.mrn]
    assert hospital.get(f"/fhir/Patient/{found['id']}").json() == found
    assert problems(hospital, found["id"]) == ["Neonatal jaundice"]
    assert problems(hospital, f"{MRN}|M{baby.number}") == ["Neonatal jaundice"]
    everything = hospital.get(f"/fhir/Patient/{found['id']}/$everything").json()
    assert {entry["resource"]["resourceType"] for entry in everything["entry"]} == {"Patient", "Condition"}
    (told,) = [entry["resource"] for entry in everything["entry"] if entry["resource"]["resourceType"] == "Condition"]
    assert told["subject"]["reference"] == f"Patient/{found['id']}"


def test_nobody_else_reads_a_person_without_a_number(
    hospital: httpx.Client, practice: httpx.Client, baby: Baby
) -> None:
    there = provisional_id(hospital, baby)

    assert baby.found_by_mrn(practice) == []
    for address in (f"/fhir/Patient/{there}", f"/fhir/Patient/{there}/$everything", f"/fhir/Condition?patient={there}"):
        assert practice.get(address).status_code == 404


def test_the_source_that_states_the_number_joins_what_it_said_before_it_knew_it(
    services: Services, hospital: httpx.Client, practice: httpx.Client, baby: Baby
) -> None:
    before = provisional_id(hospital, baby)
    services.register(baby.number)
    says(practice, condition(baby.number, f"{baby.number}-gp", "Feeding difficulty"), at=DAYS[0])
    assert problems(practice, baby.number) == ["Feeding difficulty"]

    says(hospital, baby.numbered(), baby.problem("2", "Tongue tie"), at=DAYS[1])

    joined = ["Feeding difficulty", "Neonatal jaundice", "Tongue tie"]
    assert problems(practice, baby.number) == joined
    assert problems(practice, before) == joined
    assert problems(hospital, baby.number) == ["Neonatal jaundice", "Tongue tie"]
    assert [found["id"] for found in baby.found_by_mrn(practice)] == [baby.number]
    digests = {
        practice.get(f"/fhir/Patient/{each}/$everything").headers["X-OneStory-Record-Digest"]
        for each in (baby.number, before)
    }
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("organisation", "system"), [("RX001", "another-system"), ("RY001", "default")], ids=["system", "organisation"]
)
def test_nobody_elses_patient_of_the_same_local_id_joins_it(
    services: Services, hospital: httpx.Client, practice: httpx.Client, baby: Baby, organisation: str, system: str
) -> None:
    services.register(baby.number)

    with services.client(organisation) as other:
        says(other, baby.numbered(), at=DAYS[1], **{"X-Source-System": system})

    assert problems(practice, baby.number) == []
    assert "Neonatal jaundice" not in problems(hospital, baby.number)


@pytest.mark.parametrize("undoing", ["states it without the number", "takes it back"])
def test_a_number_that_was_wrong_is_undone_by_its_source(
    services: Services, hospital: httpx.Client, practice: httpx.Client, baby: Baby, undoing: str
) -> None:
    before = provisional_id(hospital, baby)
    services.register(baby.number)
    alone = practice.get(f"/fhir/Patient/{baby.number}/$everything")
    says(hospital, baby.numbered(), at=DAYS[1])
    assert problems(practice, baby.number) == ["Neonatal jaundice"]

    if undoing == "takes it back":
        gone = hospital.delete(f"/fhir/Patient/{baby.local_id}", params={"patient": baby.number}, headers=SENT)
        assert gone.status_code == 204, gone.text
    else:
        says(hospital, baby.unnumbered(), at=DAYS[2])

    again = practice.get(f"/fhir/Patient/{baby.number}/$everything")
    assert problems(practice, baby.number) == []
    for header in ("ETag", "X-OneStory-Record-Digest"):
        assert again.headers[header] == alone.headers[header]
    assert problems(hospital, before) == ["Neonatal jaundice"]
    assert practice.get(f"/fhir/Condition?patient={before}").status_code == 404


def test_a_whole_list_under_the_number_leaves_out_what_was_said_before_it_was_known(
    services: Services, hospital: httpx.Client, practice: httpx.Client, baby: Baby
) -> None:
    services.register(baby.number)
    says(hospital, baby.unnumbered(), baby.problem("2", "Tongue tie"), at=DAYS[1])
    says(hospital, baby.numbered(), at=DAYS[2])
    assert problems(practice, baby.number) == ["Neonatal jaundice", "Tongue tie"]
    before = last_changed(practice, baby.number)

    whole = [baby.numbered(), baby.problem("1", "Neonatal jaundice, settled", of=baby.number)]
    says(hospital, *whole, at=DAYS[3], **{"X-Complete-Types": "Condition"})

    assert problems(practice, baby.number) == ["Neonatal jaundice, settled"]
    after = last_changed(practice, baby.number)
    assert "Tongue tie" in practice.get(f"/fhir/Patient/{baby.number}/$everything?asOf={before}").text
    assert "Tongue tie" not in practice.get(f"/fhir/Patient/{baby.number}/$everything?asOf={after}").text


def test_a_whole_list_that_is_older_leaves_nothing_out(
    services: Services, hospital: httpx.Client, practice: httpx.Client, baby: Baby
) -> None:
    services.register(baby.number)
    says(hospital, baby.unnumbered(), baby.problem("2", "Tongue tie"), at=DAYS[4])

    whole = [baby.numbered(), baby.problem("3", "Cradle cap", of=baby.number)]
    says(hospital, *whole, at=DAYS[3], **{"X-Complete-Types": "Condition"})
    says(hospital, baby.numbered(), at=DAYS[5])

    assert problems(practice, baby.number) == ["Cradle cap", "Tongue tie"]


def test_what_a_whole_list_left_out_is_there_again_when_the_number_was_wrong(
    services: Services, hospital: httpx.Client, practice: httpx.Client, baby: Baby
) -> None:
    before = provisional_id(hospital, baby)
    services.register(baby.number)
    whole = [baby.numbered(), baby.problem("3", "Cradle cap", of=baby.number)]
    says(hospital, *whole, at=DAYS[3], **{"X-Complete-Types": "Condition"})
    assert problems(practice, baby.number) == ["Cradle cap"]

    says(hospital, baby.unnumbered(), at=DAYS[4])

    assert problems(hospital, before) == ["Neonatal jaundice"]


def test_a_whole_list_under_one_of_two_numbers_says_nothing_of_the_other(
    services: Services, hospital: httpx.Client, practice: httpx.Client
) -> None:
    old, new = new_nhs_number(), new_nhs_number()
    services.register(old, new)
    says(hospital, condition(old, f"{old}-1", "Asthma"), at=DAYS[0])
    replaces = [{"other": {"reference": f"Patient/{old}"}, "type": "replaces"}]
    with services.client("X26") as authority:
        says(authority, patient(new, f"{new}-alias", link=replaces), at=DAYS[1])

    says(hospital, condition(new, f"{new}-1", "Eczema"), at=DAYS[2], **{"X-Complete-Types": "Condition"})

    assert problems(practice, new) == ["Asthma", "Eczema"]


def test_ones_own_numbers_go_before_those_of_others_in_the_same_system(services: Services, baby: Baby) -> None:
    other = Baby()
    with services.client("RY001") as community:
        mine = other.unnumbered(identifier=[baby.mrn])
        says(community, mine, at=DAYS[0])

        (found,) = baby.found_by_mrn(community)

    assert found["meta"]["tag"][0]["code"] == "RY001"


def test_a_number_that_one_gave_to_two_people_finds_neither_by_chance(hospital: httpx.Client, baby: Baby) -> None:
    says(hospital, Baby().unnumbered(identifier=[baby.mrn]), at=DAYS[0])

    answer = hospital.get("/fhir/Patient", params={"identifier": f"{MRN}|M{baby.number}"})

    assert answer.status_code == 400
    assert "several persons" in answer.json()["issue"][0]["diagnostics"]


def test_a_number_that_others_gave_to_two_people_is_nobodys(
    services: Services, hospital: httpx.Client, baby: Baby
) -> None:
    says(hospital, Baby().unnumbered(identifier=[baby.mrn]), at=DAYS[0])

    with services.client("RY001") as community:
        assert baby.found_by_mrn(community) == []


def test_a_local_number_that_was_taken_back_finds_nobody(hospital: httpx.Client, baby: Baby) -> None:
    says(hospital, baby.unnumbered(identifier=[{"system": MRN, "value": f"N{baby.number}"}]), at=DAYS[1])

    assert baby.found_by_mrn(hospital) == []

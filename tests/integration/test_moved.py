"""`onestory record moved` lists what left a person and who read it there, on real Kafka and real PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from tests.people import condition, new_nhs_number, patient, said_at
from tests.publishing import SENT
from tests.stack import Services

from onestory.__main__ import main
from onestory.shared.identity import NHS_NUMBER_SYSTEM

FIRST, SECOND = "2026-10-01T10:00:00Z", "2026-10-02T10:00:00Z"


class Operator:
    """Calls `onestory record moved` as a process whose settings name Kafka and PostgreSQL."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        """The exit code, the output and the errors."""
        self._capsys.readouterr()
        code = main(["record", "moved", *arguments])
        said = self._capsys.readouterr()
        return code, said.out, said.err

    def moved(self, *arguments: str) -> list[dict[str, Any]]:
        code, out, err = self(*arguments, "--json")
        assert code == 0, err
        found: list[dict[str, Any]] = json.loads(out)
        return found


@pytest.fixture
def operator(services: Services, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Operator:
    monkeypatch.setenv("ONESTORY_KAFKA", services.kafka)
    monkeypatch.setenv("ONESTORY_POSTGRES", services.postgres)
    return Operator(capsys)


@pytest.fixture
def practice(services: Services) -> Iterator[httpx.Client]:
    with services.client("A81001", role="R8001", network="harbour", purpose="TREAT") as client:
        yield client


def says(client: httpx.Client, resource: dict[str, Any], instant: str) -> str:
    """Publish a resource. Returns `Type/<shared id>`."""
    url = f"/fhir/{resource['resourceType']}/{resource['id']}"
    answer = client.put(url, json=said_at(resource, instant), headers=SENT)
    assert answer.is_success, answer.text
    return f"{resource['resourceType']}/{answer.headers['Location'].split('/')[-3]}"


def everything(client: httpx.Client, number: str) -> None:
    client.get(f"/fhir/Patient/{number}/$everything").raise_for_status()


def test_what_was_said_of_the_wrong_person_is_listed_with_who_read_it_there(
    services: Services, practice: httpx.Client, hospital: httpx.Client, operator: Operator
) -> None:
    wrong, right = new_nhs_number(), new_nhs_number()
    services.register(wrong, right)
    everything(practice, wrong)  # before the statement exists
    misfiled = says(hospital, condition(wrong, f"{wrong}-c", "Epilepsy"), FIRST)
    everything(practice, wrong)
    everything(practice, wrong)
    practice.get(f"/fhir/Observation?patient={wrong}").raise_for_status()
    everything(practice, right)
    with services.client("B99999", network="elsewhere") as stranger:
        assert stranger.get(f"/fhir/Patient/{wrong}/$everything").status_code == 404

    refiled = says(hospital, condition(right, f"{wrong}-c", "Epilepsy"), SECOND)

    (left,) = operator.moved("--person", wrong)
    assert (left["resource"], left["why"], left["source"]) == (misfiled, "said-of-another", "RX001")
    assert left["person_key"] == misfiled.partition("/")[2].partition("-")[0]
    assert left["now_person_key"] == refiled.partition("/")[2].partition("-")[0]
    assert left["since"] < left["until"]
    (reader,) = [each for each in left["readers"] if not each["after_it_left"]]
    assert (reader["organisation"], reader["role"], reader["purpose"]) == ("A81001", "R8001", "TREAT")
    assert (reader["interaction"], reader["times"]) == ("$everything", 2)
    assert left["since"] < reader["first"] < reader["last"] < left["until"]
    assert operator.moved("--person", right) == []
    assert operator.moved("--person", left["person_key"]) == [left]


def test_what_an_alias_showed_to_readers_is_listed_once_it_is_undone(
    services: Services, practice: httpx.Client, operator: Operator
) -> None:
    one, other = new_nhs_number(), new_nhs_number()
    services.register(one, other)
    asthma = says(practice, condition(other, f"{other}-c", "Asthma"), FIRST)
    replaces = [{"other": {"identifier": {"system": NHS_NUMBER_SYSTEM, "value": other}}, "type": "replaces"}]
    with services.client("X26") as authority:
        says(authority, patient(one, f"{one}-alias", link=replaces), FIRST)
        everything(practice, one)
        assert operator.moved("--person", one) == []

        says(authority, patient(one, f"{one}-alias"), SECOND)

    left = {each["resource"]: each for each in operator.moved("--person", one)}
    assert left[asthma]["why"] == "alias-undone"
    (reader,) = left[asthma]["readers"]
    assert (reader["organisation"], reader["times"]) == ("A81001", 1)


def test_what_stands_under_another_identity_of_the_same_person_has_not_left(
    services: Services, hospital: httpx.Client, operator: Operator
) -> None:
    number = new_nhs_number()
    unnumbered = {"resourceType": "Patient", "id": f"{number}-u", "name": [{"family": "Unknown"}]}
    says(hospital, unnumbered, FIRST)

    numbered = says(hospital, patient(number, f"{number}-u"), SECOND)

    assert operator.moved("--person", number) == []
    provisional = hospital.get(f"/fhir/Patient/{number}").json()["link"]
    keys = {each["other"]["reference"].partition("/")[2].partition("-")[0] for each in provisional}
    assert all(operator.moved("--person", key) == [] for key in keys | {numbered.partition("/")[2].partition("-")[0]})


def test_a_table_shows_keys_and_ids_and_nothing_of_the_content(
    services: Services, hospital: httpx.Client, operator: Operator
) -> None:
    wrong, right = new_nhs_number(), new_nhs_number()
    misfiled = says(hospital, condition(wrong, f"{wrong}-c", "Epilepsy"), FIRST)
    says(hospital, condition(right, f"{wrong}-c", "Epilepsy"), SECOND)

    code, out, _ = operator("--person", wrong)

    assert code == 0
    assert misfiled in out
    assert "nobody read it here" in out
    assert not any(hidden in out for hidden in ("Epilepsy", wrong, right))


def test_since_leaves_out_what_left_before(services: Services, hospital: httpx.Client, operator: Operator) -> None:
    wrong, right = new_nhs_number(), new_nhs_number()
    says(hospital, condition(wrong, f"{wrong}-c", "Epilepsy"), FIRST)
    says(hospital, condition(right, f"{wrong}-c", "Epilepsy"), SECOND)
    (left,) = operator.moved("--person", wrong)

    assert operator.moved("--person", wrong, "--since", left["until"]) == [left]
    assert operator.moved("--person", wrong, "--since", "2999-01-01") == []


@pytest.mark.parametrize("named", ["9990000019", "Amina"])
def test_what_names_nobody_is_refused_in_one_sentence(operator: Operator, named: str) -> None:
    code, out, err = operator("--person", named)

    assert (code, out) == (1, "")
    assert len(err.splitlines()) == 1
    assert named not in err


def test_somebody_nobody_spoke_of_is_refused(operator: Operator) -> None:
    code, _, err = operator("--person", new_nhs_number())

    assert (code, err) == (1, "onestory record: The record has no statement of this person.\n")


def test_without_a_stack_it_says_so(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONESTORY_POSTGRES", "postgresql://postgres@127.0.0.1:9/none")

    code, _, err = operator()

    assert code == 1
    assert "PostgreSQL does not answer" in err

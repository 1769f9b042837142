"""`$freshness` reports silence, gaps and former practices to callers who may see them, on real Kafka and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import fhirkit
import httpx
import pytest
from tests.people import condition, new_nhs_number, patient, transaction
from tests.publishing import SENT
from tests.stack import BRISK, NUMBERED, SLOW, Services
from tests.waiting import until

from onestory.sample.main import person_submissions
from onestory.sample.network import DEMOGRAPHICS
from onestory.sample.people import make_person
from onestory.shared.fhir.dates import parse_instant
from onestory.shared.identity import ODS_CODE_SYSTEM

SEED = 4711


@pytest.fixture
def authority(services: Services) -> Iterator[httpx.Client]:
    with services.client(DEMOGRAPHICS.ods) as client:
        yield client


def says(client: httpx.Client, *resources: dict[str, Any], system: str = "epr", **headers: str) -> None:
    answer = client.post("/fhir", json=transaction(*resources), headers={**SENT, "X-Source-System": system, **headers})
    assert answer.status_code == 200, answer.text


def sources(client: httpx.Client, number: str) -> dict[tuple[str, str], dict[str, Any]]:
    """The answer's parameters for each source."""
    answer = client.get(f"/fhir/Patient/{number}/$freshness")
    assert answer.status_code == 200, answer.text
    assert fhirkit.validate(answer.text) == []
    found = {}
    for each in answer.json()["parameter"]:
        if each["name"] == "source":
            told = {part["name"]: part[next(name for name in part if name != "name")] for part in each["part"]}
            found[told["organisation"]["value"], told["system"]] = told
    return found


def at_practice(practice: str, **period: str) -> dict[str, Any]:
    """generalPractitioner as PDS writes it."""
    return {"identifier": {"system": ODS_CODE_SYSTEM, "value": practice, **({"period": period} if period else {})}}


def test_a_source_that_spoke_of_somebody_else_is_heard_of_but_said_nothing_of_this_person(
    services: Services, practice: httpx.Client, hospital: httpx.Client
) -> None:
    number, other = new_nhs_number(), new_nhs_number()
    services.register(number)
    says(hospital, condition(number, f"{number}-h"))
    before = sources(practice, number)["RX001", "epr"]

    says(hospital, condition(other, f"{other}-h"))

    after = sources(practice, number)["RX001", "epr"]
    assert after["said"] == before["said"]
    assert parse_instant(after["heard"]) > parse_instant(before["heard"])
    assert (after["stale"], after["missing"], after["parked"]) == (False, 0, 0)


def test_who_sees_its_own_statements_alone_sees_its_own_line_alone(
    services: Services, practice: httpx.Client, hospital: httpx.Client
) -> None:
    number = new_nhs_number()
    services.register(number)
    says(practice, condition(number, f"{number}-c"))
    says(hospital, condition(number, f"{number}-h"))

    assert sources(hospital, number).keys() == {("RX001", "epr")}
    assert sources(practice, number).keys() == {("RX001", "epr"), ("A81001", "epr"), ("X26", "pds")}


def test_who_may_see_nothing_is_answered_as_if_there_were_nobody(services: Services, practice: httpx.Client) -> None:
    number = new_nhs_number()
    says(practice, condition(number, f"{number}-c"))

    with services.client("B99999", network="elsewhere") as stranger:
        known, unknown = (stranger.get(f"/fhir/Patient/{each}/$freshness") for each in (number, new_nhs_number()))

    assert (known.status_code, known.json()) == (unknown.status_code, unknown.json())
    assert known.status_code == 404


def test_a_gap_in_the_numbers_shows_until_what_is_missing_arrives(services: Services) -> None:
    number = new_nhs_number()
    organisation, system = NUMBERED

    with services.client(organisation) as counter:

        def missing_after(sequence: int) -> int:
            numbered = {"X-Sequence": str(sequence), "system": system}
            says(counter, condition(number, f"{number}-{sequence}"), **numbered)
            missing: int = sources(counter, number)[NUMBERED]["missing"]
            return missing

        assert [missing_after(sequence) for sequence in (7, 8, 11, 10, 9)] == [0, 0, 2, 1, 0]


def test_a_source_that_falls_silent_for_longer_than_is_expected_of_it_is_stale(services: Services) -> None:
    number = new_nhs_number()

    with services.client(BRISK) as brisk, services.client(SLOW) as slow:
        for client in (brisk, slow):
            says(client, condition(number, f"{number}-c"))

        until(lambda: sources(brisk, number)[BRISK, "epr"]["stale"] is True)
        assert sources(slow, number)[SLOW, "epr"]["stale"] is False


def test_the_practice_that_a_person_has_left_is_labelled_and_on_return_it_is_not(
    services: Services, practice: httpx.Client, authority: httpx.Client
) -> None:
    number = new_nhs_number()

    def registered(*practices: dict[str, Any]) -> None:
        says(authority, patient(number, f"pds-{number}", generalPractitioner=list(practices)), system="pds")

    with services.client("A81004", network="moor") as next_practice:
        registered(at_practice("A81001"))
        says(practice, condition(number, f"{number}-c"))
        assert "formerUntil" not in sources(practice, number)["A81001", "epr"]

        registered(at_practice("A81001", end="2026-06-30"), at_practice("A81004", start="2026-07-01"))
        assert sources(next_practice, number)["A81001", "epr"]["formerUntil"] == "2026-06-30"
        # The former practice cannot see the authority's statement.
        assert "formerUntil" not in sources(practice, number)["A81001", "epr"]

        # The answer is the same when only the history names the former practice.
        registered(at_practice("A81004", start="2026-07-01"))
        assert sources(next_practice, number)["A81001", "epr"]["formerUntil"] == "2026-06-30"

        registered(at_practice("A81001", start="2026-10-01"))
        assert "formerUntil" not in sources(practice, number)["A81001", "epr"]


def test_in_the_synthetic_network_the_practice_that_somebody_has_left_says_so_itself(services: Services) -> None:
    who = make_person(SEED, 0)
    assert who.former_practice is not None
    assert who.registered_since is not None
    until = (who.registered_since - timedelta(days=1)).isoformat()
    for submission in person_submissions(who):
        with services.client(submission.source.ods) as source:
            source.post("/fhir", content=submission.body, headers=SENT).raise_for_status()

    with services.client(who.practice.ods, network=who.practice.network) as reader:
        found = sources(reader, who.nhs_number)
        page = reader.get(f"/fhir/Patient/{who.nhs_number}/$summary", headers={"Accept": "text/html"}).text
    with services.client(who.former_practice.ods, network="elsewhere") as former:
        own = sources(former, who.nhs_number)

    labelled = {source: line["formerUntil"] for source, line in found.items() if "formerUntil" in line}
    assert labelled == {(who.former_practice.ods, who.former_practice.system): until}
    assert [line["formerUntil"] for line in own.values()] == [until]
    assert "Former practice, until" in page


def test_a_parameter_that_is_not_known_is_refused(practice: httpx.Client) -> None:
    number = new_nhs_number()
    says(practice, condition(number, f"{number}-c"))

    assert practice.get(f"/fhir/Patient/{number}/$freshness?_since=2020-01-01").status_code == 400


def test_an_operator_sees_who_is_silent_and_what_is_missing_and_no_name_that_a_publisher_chose(
    services: Services,
) -> None:
    number = new_nhs_number()
    organisation, system = NUMBERED
    with services.client(organisation) as counter, services.client(BRISK) as brisk:
        for sequence in (1, 3):
            says(counter, condition(number, f"{number}-{sequence}"), system=system, **{"X-Sequence": str(sequence)})
        says(brisk, condition(number, f"{number}-c"), system="Featherstonehaugh")

    def metrics() -> str:
        return httpx.get(services.stack.health["project"] + "/metrics", trust_env=False).text

    until(lambda: f'onestory_source_stale{{organisation="{BRISK}",system=""}} 1.0' in metrics())
    text = metrics()
    assert f'onestory_source_missing_statements{{organisation="{organisation}",system="{system}"}} 1.0' in text
    assert f'onestory_source_silent_seconds{{organisation="{BRISK}",system=""}}' in text
    assert "Featherstonehaugh" not in text
    assert number not in text

"""`$summary?copy=person` over HTTP: the copy for the person, apart from the summary that staff read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from tests.people import SNOMED, condition, new_nhs_number
from tests.publishing import SENT
from tests.stack import Services

RESTRICTED = [{"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"}]
PAGE = {"Accept": "text/html"}


def says(source: httpx.Client, resource: dict[str, Any]) -> None:
    path = f"/fhir/{resource['resourceType']}/{resource['id']}"
    answer = source.put(path, json=resource, headers=SENT)
    assert answer.is_success, answer.text


def summary(reader: httpx.Client, number: str, copy: str | None = "person", **headers: str) -> httpx.Response:
    query = {} if copy is None else {"copy": copy}
    return reader.get(f"/fhir/Patient/{number}/$summary", params=query, headers=headers)


@pytest.fixture
def hospital(services: Services) -> Iterator[httpx.Client]:
    with services.client("RZ3", network="") as client:
        yield client


@pytest.fixture
def number(services: Services, practice: httpx.Client) -> str:
    """A person with a plain problem and a restricted one."""
    number = new_nhs_number()
    services.register(number)
    gout = {"coding": [{"system": SNOMED, "code": "90560007"}], "text": "Gout"}
    says(practice, condition(number, f"{number}-plain") | {"code": gout})
    says(practice, condition(number, f"{number}-secret", "Bipolar disorder") | {"meta": {"security": RESTRICTED}})
    return number


def test_the_copy_is_a_page_or_a_document_without_what_is_restricted(practice: httpx.Client, number: str) -> None:
    for headers in ({}, PAGE):
        copy, whole = summary(practice, number, **headers), summary(practice, number, None, **headers)

        assert (copy.status_code, whole.status_code) == (200, 200)
        assert "Gout" in copy.text
        assert "Bipolar" not in copy.text
        assert "Some entries are left out of such copies" in copy.text
        assert "Bipolar" in whole.text


def test_the_copy_and_the_summary_are_never_taken_for_each_other(practice: httpx.Client, number: str) -> None:
    before, copy, after = (summary(practice, number, asked) for asked in (None, "person", None))
    again = summary(practice, number, "person", **{"If-None-Match": before.headers["ETag"]})

    assert before.headers["ETag"] == after.headers["ETag"] != copy.headers["ETag"]
    assert "Bipolar" in after.text
    assert again.status_code == 200
    assert "Bipolar" not in again.text
    assert "no-store" in copy.headers["Cache-Control"]
    assert "no-store" in summary(practice, number, **PAGE).headers["Cache-Control"]


def test_the_copy_has_only_what_the_caller_may_see(hospital: httpx.Client, number: str) -> None:
    says(hospital, condition(number, f"{number}-own", "Asthma"))

    copy = summary(hospital, number)

    assert "Asthma" in copy.text
    for hidden in ("Gout", "Bipolar", "A81001"):
        assert hidden not in copy.text


def test_a_stranger_gets_no_copy(services: Services, number: str) -> None:
    with services.client("B99999", network="elsewhere") as stranger:
        assert summary(stranger, number).status_code == 404


def test_any_other_copy_is_refused_with_a_reason(practice: httpx.Client, number: str) -> None:
    refused = summary(practice, number, "carer")

    assert refused.status_code == 400
    assert "copy: it is not supported. Send person, or leave it out." in refused.text


def test_the_copy_of_a_past_moment_is_a_copy(practice: httpx.Client, number: str) -> None:
    now = summary(practice, number, None).json()["timestamp"]
    past = practice.get(f"/fhir/Patient/{number}/$summary", params={"copy": "person", "asOf": now})

    assert past.status_code == 200
    assert "Bipolar" not in past.text

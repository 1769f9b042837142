"""A submission gets its path, method, person and idempotency key from the content of its item."""

from __future__ import annotations

import pytest
from tests.unit.client.fhir import FIRST_PERSON, bundle, dump, patient, tags

from onestory.client.submission import MAX_BYTES, build_request, content_key
from onestory.shared.errors import Malformed, TooLarge


def test_a_bundle_goes_to_the_root_and_counts_its_entries() -> None:
    request = build_request(dump(bundle(patient(), patient(), meta=tags("A81001", "gp"))))

    assert (request.method, request.path, request.resources) == ("POST", "/fhir", 2)
    assert (request.organisation, request.system, request.person) == ("A81001", "gp", FIRST_PERSON)


@pytest.mark.parametrize(
    ("resource", "method", "path"),
    [
        (patient(id="p-1"), "PUT", "/fhir/Patient/p-1"),
        (patient(), "POST", "/fhir/Patient"),
        (patient(id="a|b /c"), "PUT", "/fhir/Patient/a%7Cb%20%2Fc"),
        (bundle(id="has-an-id"), "POST", "/fhir"),
    ],
)
def test_a_resource_with_an_id_is_put_and_one_without_is_posted(
    resource: dict[str, object], method: str, path: str
) -> None:
    request = build_request(dump(resource))

    assert (request.method, request.path) == (method, path)


@pytest.mark.parametrize(
    "resource",
    [
        {"resourceType": "Observation", "subject": {"reference": f"Patient/{FIRST_PERSON}"}},
        {
            "resourceType": "Flag",
            "subject": {"identifier": {"system": "https://fhir.nhs.uk/Id/nhs-number", "value": FIRST_PERSON}},
        },
    ],
)
def test_the_person_is_found_by_reference_too(resource: dict[str, object]) -> None:
    assert build_request(dump(resource)).person == FIRST_PERSON


def test_what_is_wrong_inside_is_left_to_the_door() -> None:
    odd = {"resourceType": "Bundle", "id": 7, "meta": {"tag": [None, {"system": 1}]}, "entry": {"not": "a list"}}

    assert build_request(dump(odd)).resources == 0


def test_unreadable_json_is_refused_with_line_and_column() -> None:
    with pytest.raises(Malformed, match="line 2, column 10") as caught:
        build_request(b'{"resourceType": "Patient",\n  "name" "Okonkwo"}')

    assert "Okonkwo" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"{}", b'{"resourceType": 5}', b'{"resourceType": "../x"}'])
def test_what_is_no_resource_is_refused(content: bytes) -> None:
    with pytest.raises(Malformed):
        build_request(content)


def test_an_item_over_the_limit_is_refused() -> None:
    with pytest.raises(TooLarge, match="10 MB"):
        build_request(b" " * (MAX_BYTES + 1))


def test_the_key_is_the_same_only_for_the_same_bytes_of_the_same_source() -> None:
    key = content_key("A81001", "gp", b"{}")

    assert key == content_key("A81001", "gp", b"{}")
    assert len({key, content_key("A81001", "g", b"p{}"), content_key("A8100", "1gp", b"{}")}) == 3


def test_a_file_of_requests_sends_no_referrals() -> None:
    with pytest.raises(Malformed, match="Bundle"):
        build_request(dump({"resourceType": "ServiceRequest", "status": "active"}))

    assert build_request(dump({"resourceType": "ServiceRequest", "id": "s1"})).method == "PUT"

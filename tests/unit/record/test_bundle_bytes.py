"""Bundles are written around stored bytes, and are valid FHIR."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import fhirkit
import orjson

from onestory.shared.errors import Issue
from onestory.shared.fhir.bundle import (
    ResourceVersion,
    history_bundle,
    history_entry,
    match_entry,
    outcome_entry,
    searchset_bundle,
)
from onestory.shared.fhir.outcome import operation_outcome

BASE = "https://care.example.org/fhir"
STORED = '{"resourceType":"Basic","id":"b1","meta":{},"code":{"text":"é ☂ \\"reference\\":\\"Patient/1\\""}}'.encode()
EVENT = UUID("01a204f9-7d0e-75ca-8a51-402c8e99cb16")


def test_stored_bytes_come_back_as_they_are_stored() -> None:
    written = searchset_bundle(1, f"{BASE}/Basic?patient=1", None, [match_entry(f"{BASE}/Basic/b1", STORED)])

    assert STORED in written
    assert fhirkit.validate(written.decode()) == []


def test_a_page_says_where_the_next_one_is_and_how_many_there_are_in_all() -> None:
    bundle = orjson.loads(searchset_bundle(7, f"{BASE}/Basic?a=1&b=2", f"{BASE}/Basic?_cursor=x", []))

    assert bundle["total"] == 7
    assert {link["relation"]: link["url"] for link in bundle["link"]} == {
        "self": f"{BASE}/Basic?a=1&b=2",
        "next": f"{BASE}/Basic?_cursor=x",
    }
    # FHIR has no empty arrays.
    assert "entry" not in bundle
    assert fhirkit.validate(orjson.dumps(bundle).decode()) == []


def test_what_was_passed_over_is_told_as_an_outcome() -> None:
    entry = outcome_entry(
        operation_outcome([Issue("not-supported", "The search parameter 'code' is not supported.", "", "warning")])
    )

    bundle = searchset_bundle(0, BASE, None, [entry])

    assert orjson.loads(bundle)["entry"][0]["search"]["mode"] == "outcome"
    assert fhirkit.validate(bundle.decode()) == []


def test_a_history_shows_a_retraction_as_a_delete() -> None:
    at = datetime(2026, 11, 22, 20, 36, 29, 34000, tzinfo=UTC)
    versions = [ResourceVersion(EVENT, at, None), ResourceVersion(EVENT, at, STORED)]

    written = history_bundle(
        2, BASE, None, [history_entry(f"{BASE}/Basic/b1", "Basic", "b1", version) for version in versions]
    )

    retraction, assertion = orjson.loads(written)["entry"]
    assert "resource" not in retraction
    assert retraction["request"] == {"method": "DELETE", "url": "Basic/b1"}
    assert assertion["request"]["method"] == "PUT"
    assert assertion["response"]["etag"] == f'W/"{EVENT}"'
    assert fhirkit.validate(written.decode()) == []

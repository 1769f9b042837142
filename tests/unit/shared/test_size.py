"""Limits on the entries of a Bundle and on the JSON values of a body."""

from __future__ import annotations

import json

import pytest

from onestory.shared.errors import TooLarge
from onestory.shared.fhir.size import refuse_too_many_entries, refuse_too_many_values


def bundle(entries: int) -> bytes:
    return json.dumps({"resourceType": "Bundle", "entry": [{"resource": {"a": {}}}] * entries}).encode()


def test_a_bundle_may_have_as_many_entries_as_the_limit() -> None:
    refuse_too_many_entries(bundle(5), 5)

    with pytest.raises(TooLarge, match=r"more than 5 entries\. Split"):
        refuse_too_many_entries(bundle(6), 5)


@pytest.mark.parametrize(
    "body", [b'{"a":{},"b":{}}', b"{{{{{", b'{"entry":7,"a":{},"b":{}}', b"\xff{{{{", b'{"a":' * 100_000]
)
def test_a_body_that_is_no_bundle_is_left_to_validation(body: bytes) -> None:
    refuse_too_many_entries(body, 1)
    refuse_too_many_values(body, 10)


@pytest.mark.parametrize("body", [b"[1,2,3,null]", b'{"a":{"b":[true]},"c":"d"}', b'[[[["a"]]]]'])
def test_each_json_value_counts(body: bytes) -> None:
    refuse_too_many_values(body, 5)

    with pytest.raises(TooLarge, match="more than 4 JSON values"):
        refuse_too_many_values(body, 4)

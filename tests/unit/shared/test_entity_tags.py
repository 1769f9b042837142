"""Entity tags in If-Match and If-None-Match (RFC 9110, 8.8.3 and 13.1)."""

from __future__ import annotations

from uuid import UUID

import pytest
from starlette.requests import Request

from onestory.referral.lifecycle.request import if_match
from onestory.shared.errors import Malformed, PreconditionRequired
from onestory.shared.fhir.bundle import entity_tags
from onestory.shared.http.request import has_version

VERSION = UUID("019a0000-0000-7000-8000-000000000001")


def request_with(name: str, value: str | None) -> Request:
    headers = [] if value is None else [(name.lower().encode(), value.encode("latin-1"))]
    return Request({"type": "http", "method": "GET", "path": "/", "headers": headers})


@pytest.mark.parametrize(
    ("field", "tags"),
    [
        ('W/"a"', ["a"]),
        ('"a" ,W/"b"', ["a", "b"]),
        ('""', [""]),
        ('"é!"', ["é!"]),
        ("*", [None]),
        ("", [None]),
        ("a", [None]),
        ('w/"a"', [None]),
        ('"a b"', [None]),
        ('"a,b", "c"', [None, None, "c"]),
        ('"a"b"', [None]),
    ],
)
def test_entity_tags_are_read_with_and_without_w(field: str, tags: list[str | None]) -> None:
    assert entity_tags(field) == tags


@pytest.mark.parametrize(
    ("field", "is_known"),
    [
        (None, False),
        ('W/"v1"', True),
        ('"v1"', True),
        ('W/"v0", W/"v1"', True),
        ("*", True),
        ('W/"v0"', False),
        ("v1", False),
        ('W/"v1" x', False),
        ('W/"v1,v2"', False),
    ],
)
def test_if_none_match_is_compared_weakly(field: str | None, is_known: bool) -> None:
    assert has_version(request_with("If-None-Match", field), 'W/"v1"') is is_known


@pytest.mark.parametrize("field", [f'W/"{VERSION}"', f'"{VERSION}"', f'  W/"{VERSION}" '])
def test_if_match_names_the_version_of_a_task(field: str) -> None:
    assert if_match(request_with("If-Match", field)) == VERSION


@pytest.mark.parametrize(
    "field", ["*", str(VERSION), f'W/"{VERSION}", W/"{VERSION}"', 'W/"x"', '""', f'x, "{VERSION}"']
)
def test_if_match_with_anything_but_one_version_is_refused(field: str) -> None:
    with pytest.raises(Malformed):
        if_match(request_with("If-Match", field))


@pytest.mark.parametrize("field", [None, "", "  "])
def test_a_change_without_if_match_is_refused(field: str | None) -> None:
    with pytest.raises(PreconditionRequired):
        if_match(request_with("If-Match", field))

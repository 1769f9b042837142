"""The format of an answer follows from Accept and `_format`; header fields that are lists are read from all lines."""

from __future__ import annotations

import time

import pytest

from onestory.shared.http.media_types import Format, choose_format, header_items, media_ranges, preferences

JSON = (Format.JSON,)
PAGE = (Format.JSON, Format.HTML)


@pytest.mark.parametrize(
    "accept",
    [
        "APPLICATION/FHIR+JSON",
        "application/fhir+json; fhirVersion=4.0",
        'application/fhir+json;FHIRVERSION="4.0"; charset=utf-8',
        "application/fhir+xml, application/fhir+json;q=0.1",
        "application/fhir+json;fhirVersion=3.0, application/fhir+json;fhirVersion=4.0",
        "application/json",
        "application/json+fhir;q=0.5",
        "application/*",
        "text/html, image/gif, *; q=.2",
        "application/fhir+xml;q=0, */*",
        'application/x; title="a,b", */*;q=0.001',
        "",
        " , ",
    ],
)
def test_json_is_acceptable(accept: str) -> None:
    assert choose_format(JSON, [accept]) is Format.JSON


@pytest.mark.parametrize(
    "accept",
    [
        "application/fhir+json; fhirVersion=3.0",
        "application/json;fhirVersion=5.0",
        "application/fhir+ndjson",
        "application/jsonp",
        "application/fhir+json;q=0, application/fhir+xml",
        "application/fhir+json;q=0, */*",
        "*/*;q=0.000",
        "text/html",
        "text/*",
    ],
)
def test_json_is_not_acceptable(accept: str) -> None:
    assert choose_format(JSON, [accept]) is None


def test_several_lines_of_accept_are_one_list() -> None:
    assert choose_format(JSON, ["application/fhir+xml", "application/fhir+json"]) is Format.JSON


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("text/html;q=0.1, application/fhir+json;q=0.9", Format.JSON),
        ("application/fhir+json;q=0.1, application/json;q=0.9, text/html;q=0.5", Format.JSON),
        ("application/fhir+json;q=0.3, text/html", Format.HTML),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Format.HTML),
        ("text/html, application/fhir+json", Format.HTML),
        ("application/fhir+json, text/html", Format.JSON),
        ("text/*", Format.HTML),
        ("*/*", Format.JSON),
        ("*/*, text/html;q=0", Format.JSON),
        ("*/*;q=0.1, text/html", Format.HTML),
    ],
)
def test_the_format_with_the_greatest_quality_is_chosen(accept: str, chosen: Format) -> None:
    assert choose_format(PAGE, [accept]) is chosen


@pytest.mark.parametrize(
    ("name", "chosen"),
    [
        ("json", Format.JSON),
        ("JSON", Format.JSON),
        ("application/fhir+json", Format.JSON),
        ("application/fhir json", Format.JSON),
        ("Application/Json; charset=utf-8", Format.JSON),
        ("html", Format.HTML),
        ("text/html", Format.HTML),
        ("xml", None),
        ("application/fhir+xml", None),
        ("application/fhir+json;fhirVersion=3.0", None),
        ("ttl", None),
        (";", None),
    ],
)
def test_the_format_parameter_takes_precedence_over_accept(name: str, chosen: Format | None) -> None:
    assert choose_format(PAGE, ["application/fhir+xml"], name) is chosen


def test_an_empty_format_parameter_leaves_the_choice_to_accept() -> None:
    assert choose_format(PAGE, ["text/html"], " ") is Format.HTML


def test_a_page_that_is_not_offered_is_not_chosen() -> None:
    assert choose_format(JSON, ["*/*"], "html") is None


def test_preferences_come_from_all_lines_in_any_case() -> None:
    read = preferences(["Return=minimal; wait=5", 'handling = "lenient", return=representation, respond-async'])

    assert read == {"return": "minimal", "wait": "5", "handling": "lenient", "respond-async": ""}


def test_a_comma_in_quotes_ends_no_item() -> None:
    assert header_items(['a="b,c", d', "e"]) == ['a="b,c"', "d", "e"]


@pytest.mark.parametrize("part", ['"', "a,", '"a', '\\"', ";", '"\\'])
def test_a_head_full_of_separators_is_read_in_linear_time(part: str) -> None:
    head = part * (64_000 // len(part))

    def seconds() -> float:
        started = time.process_time()
        media_ranges([head])
        preferences([head])
        return time.process_time() - started

    # One of three may meet the garbage collection of a whole suite.
    assert min(seconds() for _ in range(3)) < 0.5

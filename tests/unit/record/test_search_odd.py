"""Odd queries and odd content break no search. Each is refused, or is not found."""

from __future__ import annotations

import contextlib
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onestory.record.read.store import CurrentEntry
from onestory.record.search.execute import decoded_resource
from onestory.record.search.include import Shape, apply_shape, included_targets, parse_include
from onestory.record.search.parameters import parse_search
from onestory.shared.errors import Malformed
from onestory.shared.fhir.definitions import search_parameters

FHIR = "https://care.example.org/fhir"
TYPES = ("AllergyIntolerance", "Condition", "Observation", "Patient", "MedicationRequest")
NAMES = sorted({name for kind in TYPES for name in search_parameters(kind)})
SHAPING = ["_sort", "_summary", "_elements", "_include", "_revinclude", "_count", "_cursor", "_lastUpdated", "_since"]
FULL_NAMES = st.one_of(
    st.text(max_size=20),
    st.sampled_from(SHAPING),
    st.builds(
        "{}{}".format,
        st.sampled_from(NAMES),
        st.sampled_from(["", ":not", ":missing", ":exact", ":identifier", ":Patient"]),
    ),
)
VALUES = st.one_of(
    st.text(max_size=30), st.sampled_from(["1", "a|b", "|", "ge2026", "true", "*", "-date", r"\,", "Encounter/1"])
)
ELEMENTS = [
    "coding",
    "code",
    "system",
    "value",
    "start",
    "end",
    "event",
    "repeat",
    "boundsPeriod",
    "reference",
    "identifier",
]
JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-9, 9),
        st.text(max_size=8),
        st.sampled_from(["2026", "2026-02-30", "a/b"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from([*ELEMENTS, "family", "given", "text"]), inner, max_size=3),
    ),
    max_leaves=12,
)
TOP = [
    "code",
    "status",
    "identifier",
    "encounter",
    "effectiveTiming",
    "effectivePeriod",
    "effectiveDateTime",
    "meta",
    "name",
]


@settings(deadline=None)
@given(st.sampled_from(TYPES), st.lists(st.tuples(FULL_NAMES, VALUES), max_size=4), st.booleans())
def test_a_question_is_read_or_refused(kind: str, parameters: list[tuple[str, str]], lenient: bool) -> None:
    with contextlib.suppress(Malformed):
        parse_search(parameters, kind, FHIR, lenient=lenient)


ASKED = [
    ("code", "1"),
    ("code:not", "1"),
    ("status", "final"),
    ("identifier", "a|b"),
    ("encounter", "1"),
    ("encounter:identifier", "1"),
    ("date", "ge2026"),
    ("_tag", "a"),
]


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(TOP), JSON))
def test_contents_that_are_not_fhir_are_searched_like_any_others(elements: dict[str, Any]) -> None:
    resource = {**elements, "resourceType": "Observation", "id": "1"}
    wanted = parse_include("*", "Observation")
    assert wanted

    for parameter in ASKED:
        parse_search([parameter], "Observation", FHIR, lenient=False).matches(resource)
    for name in ("date", "-code", "encounter", "_lastUpdated", "identifier"):
        asked = parse_search([("_sort", name)], "Observation", FHIR, lenient=False)
        assert asked.order
        asked.order.keys(resource)
    list(included_targets(resource, [wanted], FHIR))
    parse_search([("name", "Zoe")], "Patient", FHIR, lenient=False).matches({**resource, "resourceType": "Patient"})
    parse_search([("family:exact", "Zoe")], "Patient", FHIR, lenient=False).matches({"name": elements.get("name")})


@pytest.mark.parametrize("shape", [Shape("true"), Shape("text"), Shape("data"), Shape(elements=frozenset(["code"]))])
@settings(deadline=None)
@given(elements=st.dictionaries(st.sampled_from([*TOP, "text"]), JSON))
def test_contents_that_are_not_fhir_are_shown_in_part_like_any_others(shape: Shape, elements: dict[str, Any]) -> None:
    content = orjson.dumps(
        {"resourceType": "Observation", "id": "1", **elements, "meta": {"tag": elements.get("meta")}}
    )

    assert orjson.loads(apply_shape(content, shape))["id"] == "1"


@pytest.mark.parametrize("content", [b'{"code":"\\ud800"}', b"[]", b"", b"{", None])
def test_contents_that_cannot_be_read_say_nothing(content: bytes | None) -> None:
    entry = CurrentEntry("k", "Condition", "k-r", "1", 0, None, None, None, "A81001", "emis", b"", content)

    assert decoded_resource(entry) == {"resourceType": "Condition", "id": "k-r"}

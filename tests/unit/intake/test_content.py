"""A published resource keeps its bytes, except for its id, its references and its meta."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given as generated
from hypothesis import settings
from hypothesis import strategies as st
from tests.people import condition
from tests.unit.intake.door import AMINA, Json, decide, put, shared_id, statement

from onestory.intake.domain.request import Submission

OUR_TAG = {"system": "https://fhir.nhs.uk/Id/ods-organization-code", "code": "A81001"}
BEGINNING = f'{{"resourceType":"Observation","id":"{shared_id(AMINA, "Observation", "o1")}","meta":{{'.encode()


def published(body: str) -> bytes:
    """The content of the Observation o1 that was sent as these bytes."""
    (entry,) = statement(decide(Submission("PUT", body.encode(), "Observation", "o1"))).entries
    assert entry.content is not None
    return entry.content


def observation(members: str) -> str:
    head = '{"status": "final","id":"o1", "resourceType" : "Observation","code":{"text":"x"},'
    return f'{head}"subject":{{"identifier":{{"system":"https://fhir.nhs.uk/Id/nhs-number","value":"{AMINA}"}}}},{members}}}'


@pytest.mark.parametrize(
    "members",
    [
        '"valueQuantity":{"value":1.00,"unit":"kg"}',
        '"valueQuantity":{"value":-0.0}',
        '"valueQuantity":{"value":1.5e+3}',
        '"valueQuantity":{"value":0.1234567890123456789012345678901234567890}',
        '"issued":"2026-01-01T10:00:00.000+00:00"',
        '"effectiveDateTime":"2026"',
        '"valueString":"caf\\u00e9 \\ud83d\\ude00 \\/ \\" \\\\ \\n"',
        '"valueString":"\U0001f600 \u2028 \u00a0 e\u0301"',
        '"extension":[{"url":"urn:unknown","extension":[{"url":"a","valueDecimal":2.50},{"url":"b","valueBoolean":true}]}]',
        '"note" : [ { "text" : "spaces   stay" } ]',
        '"valueString":"{\\"reference\\": \\"Patient/p1\\"}"',
        '"text":{"status":"generated","div":"<div xmlns=\\"http://www.w3.org/1999/xhtml\\">a<br/>&lt;</div>"}',
        '"_status":{"extension":[{"url":"urn:x","valueString":"why"}]}',
    ],
)
def test_values_keep_their_bytes(members: str) -> None:
    content = published(observation(members))

    value = members.partition(":")[2].lstrip().encode()
    assert value in content
    assert content.startswith(BEGINNING)


def test_elements_keep_their_order() -> None:
    assert list(json.loads(published(observation('"valueInteger":1,"language":"en"')))) == [
        "resourceType",
        "id",
        "meta",
        "status",
        "code",
        "subject",
        "valueInteger",
        "language",
    ]


@pytest.mark.parametrize(
    ("given_meta", "kept"),
    [
        ({}, {"tag": [OUR_TAG]}),
        (
            {"versionId": "3", "lastUpdated": "2026-01-01T00:00:00Z", "profile": ["urn:p"], "source": "urn:s"},
            {"profile": ["urn:p"], "source": "urn:s", "tag": [OUR_TAG]},
        ),
        (
            {"tag": [{"system": "urn:t", "code": "1"}], "security": [{"code": "R"}]},
            {"tag": [{"system": "urn:t", "code": "1"}, OUR_TAG], "security": [{"code": "R"}]},
        ),
        ({"tag": [OUR_TAG, {"code": "x"}]}, {"tag": [OUR_TAG, {"code": "x"}]}),
        ({"_lastUpdated": {"id": "a"}, "lastUpdated": "2026-01-01T00:00:00Z"}, {"tag": [OUR_TAG]}),
    ],
)
def test_meta_keeps_what_the_publisher_said_and_names_the_source(given_meta: Json, kept: Json) -> None:
    given = {**condition(AMINA, "c1"), "meta": given_meta} if given_meta else condition(AMINA, "c1")

    (entry,) = statement(decide(put(given))).entries

    assert json.loads(entry.content or b"")["meta"] == kept


_TEXT = st.text(st.characters(blacklist_categories=["Cs"], min_codepoint=32), min_size=1, max_size=40).filter(str.strip)
_NUMBERS = st.from_regex(r"-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,17})?([eE][+-]?[0-9]{1,2})?", fullmatch=True)


@st.composite
def _values(draw: st.DrawFn) -> str:
    """An extension as JSON text, with escapes and white space that a publisher might write."""
    space = draw(st.sampled_from(["", " ", "\n  ", "\t"]))
    text = json.dumps(draw(_TEXT), ensure_ascii=draw(st.booleans()))
    kind = draw(st.sampled_from(["String", "Decimal", "Quantity", "Annotation"]))
    value = {
        "String": text,
        "Decimal": draw(_NUMBERS),
        "Quantity": f'{{"value":{space}{draw(_NUMBERS)}, "unit" : {text}}}',
        "Annotation": f'{{"text":{space}{text},"time":"2026-01-01T00:00:00.10+00:00"}}',
    }[kind]
    return f'{{{space}"url":{space}"urn:x" ,"value{kind}":{space}{value}{space}}}'


def as_written(text: str | bytes) -> Any:
    """Parsed JSON. Each number keeps the digits that were sent."""
    return json.loads(text, parse_float=str, parse_int=str)


@settings(max_examples=300, deadline=None)
@generated(st.lists(_values(), min_size=1, max_size=4))
def test_any_extension_comes_back_byte_by_byte(values: list[str]) -> None:
    body = observation(f'"extension":[{",".join(values)}],"valueString":"last"')

    content = published(body)

    assert f'"extension":[{",".join(values)}]'.encode() in content
    sent, stored = as_written(body), as_written(content)
    assert {**stored, "id": "o1", "meta": None} == {**sent, "meta": None}

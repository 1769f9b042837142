"""How much of a resource an answer shows. Elements that change its meaning are always there."""

from __future__ import annotations

import importlib
from typing import Any

import fhirkit
import orjson
import pytest

from onestory.record.search.include import WHOLE, Shape, apply_shape

PRESCRIPTION = {
    "resourceType": "MedicationRequest",
    "id": "m1",
    "meta": {"versionId": "1", "tag": [{"code": "A81001"}]},
    "text": {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">Warfarin</div>'},
    "contained": [{"resourceType": "Practitioner", "id": "p1"}],
    "modifierExtension": [{"url": "https://example.org/not-really", "valueBoolean": True}],
    "status": "active",
    "_status": {"id": "s"},
    "intent": "order",
    "doNotPerform": True,
    "medicationCodeableConcept": {"text": "Warfarin"},
    "subject": {"reference": "Patient/1"},
    "requester": {"reference": "#p1"},
    "dosageInstruction": [{"text": "one daily"}],
    "note": [{"text": "stopped after a bleed"}],
}


def shown(shape: Shape, resource: dict[str, Any] = PRESCRIPTION) -> dict[str, Any]:
    content = apply_shape(orjson.dumps(resource), shape)
    assert fhirkit.validate(content.decode()) == []
    found: dict[str, Any] = orjson.loads(content)
    return found


def test_what_is_shown_whole_keeps_its_bytes() -> None:
    content = b'{"resourceType": "Condition",  "id":"1"}'

    assert apply_shape(content, WHOLE) is content


@pytest.mark.parametrize(
    "shape",
    [Shape("true"), Shape("text"), Shape(elements=frozenset(["requester"])), Shape(elements=frozenset(["note"]))],
)
def test_what_changes_the_meaning_is_always_there(shape: Shape) -> None:
    found = shown(shape)

    for name in (
        "modifierExtension",
        "status",
        "_status",
        "intent",
        "doNotPerform",
        "medicationCodeableConcept",
        "subject",
    ):
        assert found[name] == PRESCRIPTION[name]
    assert [tag["code"] for tag in found["meta"]["tag"]] == ["A81001", "SUBSETTED"]
    assert found["meta"]["versionId"] == "1"


def test_elements_are_those_that_were_asked_for() -> None:
    found = shown(Shape(elements=frozenset(["note", "medication"])))

    assert "note" in found
    assert "medicationCodeableConcept" in found
    assert not {"dosageInstruction", "requester", "text", "contained"} & found.keys()


def test_what_is_contained_stays_where_something_refers_to_it() -> None:
    assert shown(Shape(elements=frozenset(["requester"])))["contained"] == PRESCRIPTION["contained"]


def test_data_is_all_but_the_narrative_and_text_is_the_narrative() -> None:
    assert shown(Shape("data")).keys() == PRESCRIPTION.keys() - {"text"}
    assert not {"note", "dosageInstruction"} & shown(Shape("text")).keys()


def test_of_a_type_whose_summary_is_not_known_everything_is_shown() -> None:
    unknown = {"resourceType": "SubstancePolymer", "id": "1", "class": {"text": "x"}, "modification": ["y"]}

    assert apply_shape(orjson.dumps(unknown), Shape("true")) == orjson.dumps(unknown)
    assert importlib.util.find_spec("fhir.resources.R4B.substancepolymer") is None

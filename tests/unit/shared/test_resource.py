"""A resource and its concepts keep what was read from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from onestory.shared.fhir.json import codes_of, concept_texts
from onestory.shared.fhir.resource import CodedConcept, Resource, concept_at, read_once

SNOMED = "http://snomed.info/sct"
ASTHMA = {"coding": [{"system": SNOMED, "code": "195967001", "display": "Asthma"}], "text": "Asthma, mild"}


def test_a_function_reads_a_resource_once() -> None:
    calls = []

    @read_once
    def status(content: Mapping[str, Any]) -> str:
        calls.append(content)
        return str(content["status"])

    resource = Resource({"status": "final"})
    assert [status(resource), status(resource)] == ["final", "final"]
    assert len(calls) == 1


def test_two_resources_keep_readings_of_their_own() -> None:
    @read_once
    def status(content: Mapping[str, Any]) -> str:
        return str(content["status"])

    assert [status(Resource({"status": each})) for each in ("final", "amended")] == ["final", "amended"]


def test_a_plain_dictionary_keeps_nothing_because_it_may_change() -> None:
    @read_once
    def status(content: Mapping[str, Any]) -> str:
        return str(content["status"])

    content = {"status": "final"}
    assert status(content) == "final"
    content["status"] = "amended"
    assert status(content) == "amended"


def test_the_same_short_concept_is_read_once_for_all_resources() -> None:
    calls = []

    @read_once
    def length(concept: CodedConcept) -> int:
        calls.append(concept)
        return len(concept.names)

    resources = [Resource({"id": name, "code": dict(ASTHMA)}) for name in "ab"]
    assert [length(concept_at(each, "code")) for each in resources] == [2, 2]
    assert len(calls) == 1


def test_a_long_concept_is_not_kept_for_other_resources() -> None:
    long = {"text": "x" * 1000}
    one, other = (concept_at(Resource({"code": long}), "code") for _ in range(2))
    assert one.texts == other.texts
    assert one is not other


def test_concepts_with_the_same_code_and_other_words_are_not_confused() -> None:
    other = {**ASTHMA, "text": "Asthma excluded"}
    assert concept_at(Resource({"code": other}), "code").texts == ("Asthma excluded",)
    assert concept_at(Resource({"code": ASTHMA}), "code").texts == ("Asthma, mild",)


def test_codes_and_texts_are_equal_for_a_resource_and_a_plain_dictionary() -> None:
    content = {
        "category": [
            ASTHMA,
            {"coding": {"code": "local", "display": ""}},
            {"text": 7},
            None,
            "wrong",
            {"coding": [{}]},
        ],
        "type": {"coding": [{"system": 5, "code": "x"}]},
    }
    for element in ("category", "type", "absent"):
        assert codes_of(Resource(content), element) == codes_of(content, element)
        assert concept_texts(Resource(content), element) == concept_texts(content, element)
    assert codes_of(content, "category") == {(SNOMED, "195967001"), ("", "local")}
    assert concept_texts(content, "category") == ["Asthma, mild", "local"]
    assert codes_of(content, "type") == {("", "x")}


def test_a_concept_that_cannot_be_written_as_json_is_read_all_the_same() -> None:
    assert concept_at(Resource({"code": {"text": "Gout", "id": 2**70}}), "code").texts == ("Gout",)

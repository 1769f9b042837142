"""The merged record as Parameters: each fact with its sources, rule and conflicts, and each resource byte for byte."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from onestory.record.merge.model import Certainty, Fact, FactConflict, Join, MergedRecord, Statement
from onestory.record.merge.view import changes, changes_view, merged_view
from onestory.shared.fhir.validate import validate

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)


def said(shared_id: str, organisation: str, content: dict[str, Any], heard: datetime = NOW) -> Statement:
    full = {"resourceType": "Observation", "id": shared_id, **content}
    return Statement(shared_id, "Observation", organisation, "system", UUID(int=1), NOW, heard, full)


def view(merged: MergedRecord, contents: dict[str, bytes]) -> dict[str, Any]:
    answer = merged_view(merged, contents)
    assert validate(answer) == []
    read: dict[str, Any] = json.loads(answer)
    return read


def parts(fact: dict[str, Any], name: str) -> list[dict[str, Any]]:
    return [part for part in fact["part"] if part["name"] == name]


WEIGHT = {"status": "final", "code": {"text": "Weight"}, "identifier": [{"system": "urn:one", "value": "7"}]}
STORED = (
    b'{"resourceType":"Observation","id":"a","status":"final","code":{"text":"Weight"},'
    b'"identifier":[{"system":"urn:one","value":"7"}],"valueQuantity":{"value":71.50}}'
)


def test_a_record_without_facts_has_no_parameters() -> None:
    assert view(MergedRecord(()), {}) == {"resourceType": "Parameters"}


def test_a_fact_shows_all_its_sources_and_the_rule_that_joined_them() -> None:
    one, other = said("a", "A81001", WEIGHT), said("b", "RZ3", {**WEIGHT, "code": {"text": "Body weight"}})
    fact = Fact("a", "Observation", (one, other), (Join("a", "b", "same-observation", Certainty.LIKELY),), ())

    (shown,) = view(MergedRecord((fact,)), {"a": STORED})["parameter"]

    assert [part["valueCode"] for part in parts(shown, "rule")] == ["same-observation"]
    assert [part["valueCode"] for part in parts(shown, "certainty")] == ["likely"]
    sources = [{part["name"]: part for part in source["part"]} for source in parts(shown, "source")]
    assert [source["organisation"]["valueIdentifier"]["value"] for source in sources] == ["A81001", "RZ3"]
    assert [source["text"]["valueString"] for source in sources] == ["Weight", "Body weight"]
    assert sources[0]["identifier"]["valueIdentifier"] == {"system": "urn:one", "value": "7"}


def test_the_resource_is_carried_byte_for_byte() -> None:
    fact = Fact("a", "Observation", (said("a", "A81001", WEIGHT),), (), ())

    assert STORED in merged_view(MergedRecord((fact,)), {"a": STORED})


def test_a_conflict_names_the_statements_on_each_side_and_what_is_withdrawn_is_said() -> None:
    one, other = said("a", "A81001", WEIGHT), said("b", "RZ3", WEIGHT)
    conflict = FactConflict("value", "The values differ.", (("a",), ("b",)))
    fact = Fact("a", "Observation", (one, other), (), (conflict,), related=("c",), withdrawn=("b",))

    (shown,) = view(MergedRecord((fact,)), {"a": STORED})["parameter"]

    (disagreement,) = parts(shown, "conflict")
    sides = [[each["valueReference"]["reference"] for each in side["part"]] for side in parts(disagreement, "side")]
    assert sides == [["Observation/a"], ["Observation/b"]]
    assert parts(shown, "beside") == [{"name": "beside", "valueId": "c"}]
    assert parts(shown, "withdrawn")[0]["valueReference"] == {"reference": "Observation/b"}


def test_the_directory_resources_that_a_shown_resource_refers_to_are_included_once() -> None:
    device, owner, other = "d" * 26, "e" * 26, "f" * 26
    stored = (
        b'{"resourceType":"Observation","id":"a","status":"final","code":{"text":"Weight"},"device":{"reference":"%b"}}'
    )
    referring = {"a": stored % f"Device/{device}".encode()}
    directory = {
        device: b'{"resourceType":"Device","id":"%b","owner":{"reference":"Organization/%b"}}'
        % (device.encode(), owner.encode()),
        owner: b'{"resourceType":"Organization","id":"%b","name":"Stores"}' % owner.encode(),
        other: b'{"resourceType":"Organization","id":"%b","name":"Elsewhere"}' % other.encode(),
    }
    fact = Fact("a", "Observation", (said("a", "A81001", WEIGHT),), (), ())

    answer = merged_view(MergedRecord((fact,)), referring, directory)
    since = changes_view(changes(MergedRecord(()), MergedRecord((fact,))), MergedRecord((fact,)), referring, directory)
    unchanged = changes_view(
        changes(MergedRecord((fact,)), MergedRecord((fact,))), MergedRecord((fact,)), referring, directory
    )

    assert validate(answer) == []
    for each in (answer, since):
        included = [part["resource"]["id"] for part in json.loads(each)["parameter"] if part["name"] == "included"]
        assert included == [device, owner]
    assert json.loads(unchanged) == {"resourceType": "Parameters"}


def test_since_a_look_it_says_what_is_new_changed_and_gone() -> None:
    gone, kept, grown, new = (Fact(name, "Observation", (said(name, "A81001", WEIGHT),), (), ()) for name in "abcd")
    more = Fact("c", "Observation", (*grown.members, said("e", "RZ3", WEIGHT)), (), ())
    before, now = MergedRecord((gone, kept, grown)), MergedRecord((kept, more, new))

    answer = changes_view(changes(before, now), now, {"c": STORED})

    assert validate(answer) == []
    told = [
        (each["name"], *[part["valueCode"] for part in parts(each, "change")])
        for each in json.loads(answer)["parameter"]
    ]
    assert told == [("fact", "new"), ("fact", "changed"), ("gone",)]

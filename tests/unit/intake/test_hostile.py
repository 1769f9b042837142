"""Hostile and broken input is refused with an expression and a reason.

The refusal never repeats the input, and intake never crashes.
"""

from __future__ import annotations

import copy
import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.people import condition, patient, transaction
from tests.unit.intake.door import AMINA, BEN, Json, decide, observation, place, posted, refused, statement

from onestory.intake.domain.request import RefusedEntry, Submission
from onestory.shared.errors import Malformed, OneStoryError
from onestory.shared.events import RecordChanged
from onestory.shared.fhir.outcome import operation_outcome

CONDITION = json.dumps(condition(AMINA, "c1"))


def put(body: str | bytes) -> Submission:
    return Submission("PUT", body.encode() if isinstance(body, str) else body, "Condition", "c1")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"Condition"',
        b"{",
        b"\xff\xfe",
        CONDITION.replace('"c1"', '"c1').encode(),
        CONDITION.replace('"c1"', "NaN").encode(),
        CONDITION.replace('"c1"', '"\\ud800"').encode(),
        CONDITION.encode() + b"{}",
        CONDITION.replace('"Heart', '"\xe9'.encode("latin-1").decode("latin-1") + "Heart").encode("latin-1"),
        b'{"resourceType":"Condition","extension":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    assert isinstance(refused(put(body)), OneStoryError)


def test_broken_json_says_where_and_not_what() -> None:
    error = refused(put(CONDITION.replace("Heart failure", 'Heart "failure')))

    assert isinstance(error, Malformed)
    assert "line 1, column" in error.issues[0].diagnostics
    assert "failure" not in error.issues[0].diagnostics


@pytest.mark.parametrize(
    ("change", "at"),
    [
        (('"id": "c1"', '"id": "c1", "id": "c1"'), "Condition.id"),
        (('"text": "Heart', '"text": "x", "t\\u0065xt": "Heart'), "Condition.code.text"),
        (('"code": {', '"colour": "red", "code": {'), "Condition.colour"),
        (('"text": "Heart failure"', '"text": ""'), "Condition.code.text"),
        (('"text": "Heart failure"', '"text": null'), "Condition.code.text"),
        (('"text": "Heart failure"', '"text": 5'), "Condition.code.text"),
        (('"text": "Heart failure"', '"text": "a\\u0000b"'), "Condition.code.text"),
        (('"code": {', '"onsetAge": {}, "code": {'), "Condition.onsetAge"),
        (('"code": {', '"onsetAge": {"value": 1e400}, "code": {'), "Condition.onsetAge.value"),
        (('"code": {', '"stage": [{"type": {"coding": []}}], "code": {'), "Condition.stage[0].type.coding"),
        (('"code": {', '"verificationStatus": {"text": "sure"}, "code": {'), "Condition.verificationStatus"),
        (('"code": {', '"identifier": [{"use": "mine"}], "code": {'), "Condition.identifier[0].use"),
        (('"code": {', '"onsetDateTime": "yesterday", "code": {'), "Condition.onsetDateTime"),
    ],
)
def test_what_fhir_forbids_is_refused_at_its_place(change: tuple[str, str], at: str) -> None:
    assert place(refused(put(CONDITION.replace(*change)))) == at


@pytest.mark.parametrize("name", ["fhir_comments", "fhir_c\\u006fmments"])
def test_comments_are_refused(name: str) -> None:
    assert place(refused(put(CONDITION.replace('"code": {', f'"{name}": ["x"], "code": {{')))) == "Condition"


@pytest.mark.parametrize("number", ["1e400", "-1e400", "9" * 5_000])
@pytest.mark.parametrize(
    "change",
    [
        ('"c1"', "{}"),
        ('"reference": "', '"x": {}, "reference": "'),
        ('"text": "Heart', '"text": "\\u0000", "onset": {}, "note": "'),
    ],
)
def test_a_number_that_nobody_can_hold_is_refused_wherever_it_stands(number: str, change: tuple[str, str]) -> None:
    old, new = change
    broken = CONDITION.replace(old, new.replace("{}", number), 1)
    entry = f'{{"resource": {broken}, "request": {{"method": "POST", "url": "Condition"}}}}'

    for kind in ("batch", "transaction"):
        bundle = f'{{"resourceType": "Bundle", "type": "{kind}", "entry": [{entry}]}}'
        assert _refusals(bundle.encode())


def test_of_a_batch_with_an_error_no_other_entry_is_taken_unread() -> None:
    hidden = [condition(AMINA, "c1", "a\0b"), condition(BEN, "c2"), {"resourceType": "Nonsense"}]
    batch = json.dumps(posted("batch", *hidden))

    refused_entries = _refusals(batch.encode())
    whole = refused(Submission("POST", batch.replace('"code"', '"c\\u006fde"').encode()))

    assert [bool(each) for each in refused_entries] == [True, False, True]
    assert "without escapes" in whole.issues[-1].diagnostics


def test_whose_a_refused_entry_is_may_be_beyond_telling() -> None:
    nobody = observation({"reference": "#d"}, "o1", contained=[{"id": "d"}])

    assert [bool(each) for each in _refusals(json.dumps(posted("batch", nobody, condition(BEN, "c2"))).encode())] == [
        True,
        False,
    ]


def _refusals(body: bytes) -> list[OneStoryError | None]:
    """The error of each entry; None for an accepted one. If no entry is accepted, one error stands for all."""
    try:
        outcomes = decide(Submission("POST", body)).outcomes
    except OneStoryError as error:
        return [error]
    return [each.error if isinstance(each, RefusedEntry) else None for each in outcomes]


def test_a_type_that_is_no_name_has_a_place_too() -> None:
    assert place(refused(put(CONDITION.replace('"Condition"', '"../.."')))) == "Resource"


@pytest.mark.parametrize("own", ["a b", "a|b", "a/b", "x" * 65, "é", "a_b"])
def test_an_id_that_fhir_forbids_is_refused(own: str) -> None:
    body = json.dumps(condition(AMINA, own)).encode()

    assert place(refused(Submission("POST", body, "Condition"))) == "Condition.id"


def test_a_contained_resource_must_have_an_id_and_contain_nothing() -> None:
    inner = {"resourceType": "Patient", "contained": [{"resourceType": "Patient", "id": "deep"}]}
    bundled = {"resourceType": "Bundle", "id": "b", "type": "collection"}
    body = json.dumps(condition(AMINA, "c1", contained=[inner, bundled]))

    places = [issue.expression for issue in refused(put(body)).issues]

    assert places == ["Condition.contained[0].id", "Condition.contained[0].contained", "Condition.contained[1]"]


def test_no_refusal_quotes_what_was_sent() -> None:
    secrets = ["Zebedee", "9990000019", "1851-02-30", "dragonfly"]
    wrong: Json = {
        "resourceType": "Patient",
        "id": "p 1",
        "name": [{"family": "Zebedee", "use": "Zebedee"}, {"Zebedee dragonfly": 1}],
        "identifier": [{"system": "https://fhir.nhs.uk/Id/nhs-number", "value": "9990000019"}],
        "birthDate": "1851-02-30",
        "gender": "dragonfly",
        "active": "dragonfly",
        "9990000019": "x",
        "x[dragonfly": "a\0b",
        "photo": [{"data": "Zebedee"}],
        "multipleBirthInteger": 9990000019,
        "generalPractitioner": [{"reference": "Zebedee"}],
    }
    for names in (list(wrong), ["resourceType", "id"], ["resourceType", "name"], ["resourceType", "identifier"]):
        body = json.dumps({name: wrong[name] for name in names}).encode()

        error = refused(Submission("POST", body, "Patient"))

        told = str(error) + "".join(f"{issue.diagnostics} {issue.expression}" for issue in error.issues)
        assert not [secret for secret in secrets if secret in told]


@pytest.mark.parametrize(("entry", "at"), [(b"{}", "Bundle.entry[0].request"), (b"null", "Bundle.entry[0]")])
def test_of_a_body_that_is_wrong_everywhere_the_first_places_are_told(entry: bytes, at: str) -> None:
    entries = b",".join([entry] * 100_000)

    error = refused(Submission("POST", b'{"resourceType":"Bundle","type":"batch","entry":[%b]}' % entries))

    told = json.loads(operation_outcome(error.issues))["issue"]
    assert told[0]["expression"] == [at]
    assert len(error.issues) == len(told) == 101
    assert "more issues than these 100" in told[100]["diagnostics"]


def test_an_unknown_type_is_not_quoted_either() -> None:
    error = refused(Submission("POST", b'{"resourceType":"Zebedee9990000019"}', "Patient"))

    assert "Zebedee" not in error.issues[0].diagnostics + error.issues[0].expression


def test_a_byte_order_mark_is_no_reason_to_refuse() -> None:
    assert statement(decide(put(b"\xef\xbb\xbf" + CONDITION.encode())))


@pytest.mark.parametrize("first", [None, [], 1, "x", {}, {"resourceType": []}])
def test_a_message_that_begins_with_no_resource_is_refused(first: Any) -> None:
    broken = {"resourceType": "Bundle", "type": "message", "entry": [{"resource": first}]}

    assert place(refused(Submission("POST", json.dumps(broken).encode()))).startswith("Bundle.entry[0].resource")


def sample(kind: str) -> Json:
    return posted(
        kind,
        patient(AMINA, "p1"),
        condition(AMINA, "c1"),
        observation({"reference": "urn:uuid:00000000-0000-4000-8000-000000000000"}, "o1", contained=[_device()]),
        condition(BEN if kind == "batch" else AMINA, "c2"),
        {
            "resourceType": "Organization",
            "id": "x",
            "name": "y",
            "partOf": {"reference": "Organization?identifier=a|b"},
        },
    )


def _device() -> Json:
    return {"resourceType": "Device", "id": "d"}


ODD: list[Any] = [
    None,
    True,
    0,
    -1,
    1e308,
    "",
    "Patient/1",
    "#d",
    "urn:uuid:1",
    AMINA,
    [],
    {},
    [[]],
    {"reference": "#"},
    "\u2028",
]


def mutate(value: Any, chance: random.Random) -> Any:
    """The value with one part changed, removed, moved or doubled."""
    places = list(_places(value))
    parent, key = chance.choice(places)
    match chance.randrange(4):
        case 0:
            parent[key] = copy.deepcopy(chance.choice(ODD))
        case 1:
            del parent[key]
        case 2:
            other, at = chance.choice(places)
            parent[key] = copy.deepcopy(other[at]) if at in other or isinstance(other, list) else None
        case _:
            parent[key] = [parent[key], copy.deepcopy(parent[key])]
    return value


def _places(value: Any) -> Any:
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from _places(value[key])


@settings(max_examples=400, deadline=None)
@given(st.randoms(use_true_random=False), st.sampled_from(["transaction", "batch", "collection"]))
def test_a_mutated_bundle_is_taken_or_refused_and_nothing_else(chance: random.Random, kind: str) -> None:
    mutated = sample(kind if kind != "collection" else "transaction")
    if kind == "collection":
        mutated["type"] = kind
        for entry in mutated["entry"]:
            del entry["request"]
    for _ in range(chance.randrange(1, 4)):
        mutated = mutate(mutated, chance)

    try:
        prepared = decide(Submission("POST", json.dumps(mutated).encode()))
    except OneStoryError:
        return  # refused on purpose: this result is correct
    else:
        people = [event.person for event in prepared.events if isinstance(event, RecordChanged)]
        assert len(set(people)) == len(people)
        assert len(people) <= 1 or kind == "batch"


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=40), st.integers(0, 2000), st.integers(0, 30))
def test_bytes_put_anywhere_are_taken_or_refused_and_nothing_else(junk: bytes, at: int, cut: int) -> None:
    body = json.dumps(transaction(patient(AMINA, "p1"), condition(AMINA, "c1"))).encode()
    at %= len(body)

    try:
        decide(Submission("POST", body[:at] + junk + body[at + cut :]))
    except OneStoryError:
        return  # refused on purpose: this result is correct

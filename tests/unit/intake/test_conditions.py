"""Conditions of writes: their forms, and what follows from what the record has."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from urllib.parse import quote
from uuid import UUID

import pytest
from tests.people import condition, transaction
from tests.unit.intake.door import (
    AMINA,
    BEN,
    DOOR,
    NOW,
    Json,
    contents,
    decide,
    directory_id,
    full_url,
    organization,
    person,
    place,
    post,
    posted,
    put,
    refused,
    shared_id,
    statement,
    unnumbered,
)

from onestory.intake.domain.conditions import (
    DecidedConditions,
    MatchedResource,
    Precondition,
    create_condition,
    failed_precondition,
    match_condition,
    plain_part,
    submission_precondition,
)
from onestory.intake.domain.request import AcceptedEntry, ExistingEntry, PublisherClaims, Submission
from onestory.shared.errors import Malformed, PreconditionFailed, Unprocessable
from onestory.shared.identity import PersonIdentifier

ONE, TWO = UUID(int=1), UUID(int=2)
PAIR = "https://gp.example/problem|17"


def create(header: str, resource: Json | None = None) -> Submission:
    body = json.dumps(resource or condition(AMINA, "tmp-1")).encode()
    return Submission("POST", body, "Condition", if_none_exist=header)


def matched(
    local_id: str = "c1",
    kind: str = "Condition",
    identifiers: Any = (),
    of: PersonIdentifier | None = person(AMINA),  # noqa: B008 - an immutable tuple
) -> MatchedResource:
    content = json.dumps({"resourceType": kind, "identifier": identifiers}).encode()
    own = shared_id(of.value, kind, local_id) if of else directory_id(kind, local_id)
    return MatchedResource(kind, local_id, own, ONE, content, NOW, of)


# The forms of If-None-Exist.


@pytest.mark.parametrize(
    "form",
    [
        f"identifier={PAIR}",
        f"?identifier={PAIR}",
        f"Condition?identifier={PAIR}",
        f"/Condition?identifier={PAIR}",
        f"http://door/fhir/Condition?identifier={PAIR}",
        f"identifier={quote(PAIR, safe='')}",
        f"Condition?identifier={quote(PAIR)}",
        f" identifier={PAIR} ",
    ],
)
def test_the_forms_of_a_conditional_create_name_one_identifier(form: str) -> None:
    assert create_condition(form, "Condition", DOOR.base_url, "") == PAIR
    (entry,) = statement(decide(create(form))).entries
    assert entry.local_id == PAIR


@pytest.mark.parametrize(
    ("form", "pair"),
    [
        ("identifier=http://x.example/?a=b|1", "http://x.example/?a=b|1"),
        ("?identifier=urn:s|a?b", "urn:s|a?b"),
        (r"identifier=urn:s|a\,b\|c", "urn:s|a,b|c"),
        ("identifier=urn:s|a+b", "urn:s|a+b"),
    ],
)
def test_an_identifier_may_hold_the_marks_of_a_search(form: str, pair: str) -> None:
    assert create_condition(form, "Condition", DOOR.base_url, "") == pair


@pytest.mark.parametrize(
    "form",
    [
        "",
        " ",
        "_id=c1",
        "code=1",
        "identifier=17",
        "identifier=|17",
        "identifier=urn:s|",
        "identifier=urn:s|1,urn:s|2",
        "identifier=urn:s|1&status=active",
        "identifier:exact=urn:s|1",
        "Observation?identifier=urn:s|1",
        "http://elsewhere.example/fhir/Condition?identifier=urn:s|1",
        "Condition/c1?identifier=urn:s|1",
    ],
)
def test_a_condition_that_cannot_be_checked_is_refused_with_400(form: str) -> None:
    error = refused(create(form))

    assert isinstance(error, Malformed)
    assert error.issues[0].code == "not-supported"
    assert "identifier=system|value" in error.issues[0].diagnostics


def test_a_refused_condition_of_an_entry_names_its_place() -> None:
    created = posted("transaction", condition(AMINA, "c1"))
    created["entry"][0]["request"]["ifNoneExist"] = "code=1"

    error = refused(post(created))

    assert isinstance(error, Malformed)
    assert place(error) == "Bundle.entry[0].request.ifNoneExist"


# A conditional create.


def test_the_identifier_names_the_resource_and_a_temporary_id_does_not() -> None:
    first, second = (
        statement(decide(create(f"identifier={PAIR}", condition(AMINA, name)))).entries[0]
        for name in ("tmp-a", "tmp-b")
    )

    assert first.shared_id == second.shared_id == shared_id(AMINA, "Condition", PAIR)


def test_a_resource_that_exists_is_not_published_again() -> None:
    prepared = decide(create(f"identifier={PAIR}"), conditions=DecidedConditions({0: matched()}))

    assert prepared.events == ()
    (entry,) = prepared.outcomes
    assert isinstance(entry, ExistingEntry)
    assert (entry.shared_id, entry.event_id) == (shared_id(AMINA, "Condition", "c1"), ONE)


@pytest.mark.parametrize("kind", ["transaction", "batch"])
def test_references_lead_to_the_resource_that_exists(kind: str) -> None:
    both = posted(kind, condition(AMINA, ""), condition(AMINA, "c2"))
    del both["entry"][0]["resource"]["id"]
    both["entry"][0]["request"]["ifNoneExist"] = f"identifier={PAIR}"
    both["entry"][1]["resource"]["evidence"] = [{"detail": [{"reference": full_url(0)}]}]

    prepared = decide(post(both), conditions=DecidedConditions({0: matched()}))

    (published,) = contents(prepared)
    assert published["evidence"][0]["detail"][0]["reference"] == f"Condition/{shared_id(AMINA, 'Condition', 'c1')}"
    assert [type(outcome) for outcome in prepared.outcomes] == [ExistingEntry, AcceptedEntry]


def test_a_statement_leads_to_the_organization_that_is_in_the_directory() -> None:
    both = posted("transaction", organization("tmp"), condition(AMINA, "c2"))
    both["entry"][0]["request"]["ifNoneExist"] = "identifier=urn:s|1"
    both["entry"][1]["resource"]["asserter"] = {"reference": full_url(0)}

    prepared = decide(post(both), conditions=DecidedConditions({0: matched("o1", "Organization", of=None)}))

    (published,) = contents(prepared)
    assert published["asserter"]["reference"] == f"Organization/{directory_id('Organization', 'o1')}"


def test_a_patient_that_exists_says_whom_the_other_entries_are_about() -> None:
    both = posted("transaction", unnumbered("tmp"), condition(AMINA, "c2"))
    both["entry"][0]["request"]["ifNoneExist"] = "identifier=urn:mrn|7"
    both["entry"][1]["resource"]["subject"] = {"reference": full_url(0)}

    prepared = decide(post(both), conditions=DecidedConditions({0: matched("p1", "Patient")}))

    assert statement(prepared).person == person(AMINA)
    assert [entry.resource_type for entry in statement(prepared).entries] == ["Condition"]


def test_a_create_for_another_person_than_the_resource_that_exists_is_refused() -> None:
    error = refused(create(f"identifier={PAIR}"), conditions=DecidedConditions({0: matched(of=person(BEN))}))

    assert isinstance(error, PreconditionFailed)
    assert "another person" in error.issues[0].diagnostics


def test_a_resource_under_a_linked_identity_of_the_person_exists() -> None:
    provisional = PersonIdentifier("https://onestory.nhs.uk/Id/provisional-person", "A81001|emis-web|p1")
    linked = replace(matched(of=provisional), is_same_person=True)

    prepared = decide(create(f"identifier={PAIR}"), conditions=DecidedConditions({0: linked}))

    assert prepared.events == ()


def test_two_entries_that_come_out_as_one_resource_are_refused() -> None:
    both = posted("transaction", condition(AMINA, "tmp"), condition(AMINA, "c1"))
    both["entry"][0]["request"]["ifNoneExist"] = f"identifier={PAIR}"

    error = refused(post(both), conditions=DecidedConditions({0: matched("c1")}))

    assert error.issues[0].code == "duplicate"


def test_a_conditional_update_changes_the_resource_that_has_the_identifier() -> None:
    update = Submission("PUT", json.dumps(condition(AMINA, "x")).encode(), "Condition", search=f"identifier={PAIR}")

    (entry,) = statement(decide(update, conditions=DecidedConditions({0: matched("c1")}))).entries

    assert entry.local_id == "c1"


@pytest.mark.parametrize(
    ("said", "options"),
    [
        (PublisherClaims(complete_types=("Condition",)), {}),
        (PublisherClaims(sequence="7"), {"organisation": "X26", "system": "pds"}),
    ],
)
def test_a_statement_that_must_be_whole_has_no_conditional_create(said: PublisherClaims, options: Json) -> None:
    error = refused(create(f"identifier={PAIR}"), said=said, **options)

    assert isinstance(error, Unprocessable)
    assert "conditional create" in error.issues[0].diagnostics


# The match of an identifier.


IDENTIFIED = [{"system": "https://gp.example/problem", "value": "17"}]


def test_a_resource_matches_by_its_local_id_or_by_an_identifier_in_its_content() -> None:
    by_name, by_content = matched(PAIR), matched("c1", identifiers=IDENTIFIED)
    single = matched("c2", identifiers=IDENTIFIED[0])
    others = [
        matched("c3"),
        matched("c4", identifiers=[{"system": "https://gp.example/problem", "value": "170"}]),
        matched("c5", identifiers=[{"value": "17"}]),
    ]

    for one in (by_name, by_content, single):
        assert match_condition(PAIR, [*others, one], "") == one
    assert match_condition(PAIR, others, "") is None


@pytest.mark.parametrize("use", ["old", "temp"])
def test_a_former_identifier_matches_no_resource(use: str) -> None:
    former = [{**IDENTIFIED[0], "use": use}]

    assert match_condition(PAIR, [matched("c1", identifiers=former)], "") is None
    assert match_condition(PAIR, [matched("c1", identifiers=[*former, *IDENTIFIED])], "") is not None
    # A new resource would get this local id.
    assert isinstance(match_condition(PAIR, [matched(PAIR, identifiers=former)], ""), PreconditionFailed)


def test_several_resources_with_the_identifier_are_refused() -> None:
    error = match_condition(PAIR, [matched("c1", identifiers=IDENTIFIED), matched(PAIR)], "the place")

    assert isinstance(error, PreconditionFailed)
    assert place(error) == "the place"


def test_one_resource_in_a_record_and_in_the_directory_is_one() -> None:
    in_record, in_directory = matched("urn:s|1", "Organization"), matched("urn:s|1", "Organization", of=None)

    assert match_condition("urn:s|1", [in_record, in_directory], "") == in_record


@pytest.mark.parametrize("value", ["17", "a/b", "Müller 7", 'a"b', "a<b", "漢字"])
def test_a_part_of_a_value_stands_in_every_spelling_of_the_json(value: str) -> None:
    identifier = {"identifier": [{"value": value}]}

    for spelled in (
        json.dumps(identifier),
        json.dumps(identifier, ensure_ascii=False),
        json.dumps(identifier).replace("/", r"\/"),
        json.dumps(identifier).replace("<", r"\u003c"),
    ):
        assert plain_part(value) in spelled.encode()


# If-Match and If-None-Match.


def header(method: str, **conditions: str) -> Precondition | None:
    names = {name.replace("_", "-"): value for name, value in conditions.items()}
    return submission_precondition(Submission(method, b"", "Condition", "c1", preconditions=names))


def test_if_match_names_the_versions_that_may_be_current() -> None:
    assert header("PUT", If_Match=f'W/"{ONE}"') == Precondition("", (str(ONE),))
    assert header("DELETE", If_Match=f'"{ONE}", W/"{TWO}"') == Precondition("", (str(ONE), str(TWO)))
    assert header("PUT", If_Match="*") == Precondition("", exists=True)
    assert header("PUT", If_None_Match="*") == Precondition("")
    assert header("PUT") is None


@pytest.mark.parametrize(
    ("method", "conditions"),
    [
        ("POST", {"If_Match": f'W/"{ONE}"'}),
        ("POST", {"If_None_Match": "*"}),
        ("PUT", {"If_None_Match": f'W/"{ONE}"'}),
        ("DELETE", {"If_None_Match": "*"}),
        ("PUT", {"If_Modified_Since": "Sun, 22 Nov 2026 12:00:00 GMT"}),
        ("PUT", {"If_Unmodified_Since": "Sun, 22 Nov 2026 12:00:00 GMT"}),
        ("PUT", {"If_Match": "1"}),
        ("PUT", {"If_Match": ""}),
        ("PUT", {"If_Match": "*", "If_None_Match": "*"}),
    ],
)
def test_a_precondition_that_cannot_be_checked_is_refused_with_400(method: str, conditions: dict[str, str]) -> None:
    with pytest.raises(Malformed) as raised:
        header(method, **conditions)

    assert raised.value.issues[0].code == "not-supported"
    assert "Send" in raised.value.issues[0].diagnostics or "Correct" in raised.value.issues[0].diagnostics


@pytest.mark.parametrize("name", ["ifNoneMatch", "ifModifiedSince", "ifNoneExist"])
def test_an_unsupported_precondition_of_an_entry_is_refused_with_its_place(name: str) -> None:
    conditional = transaction(condition(AMINA, "c1"))
    value = "2026-11-22T10:00:00Z" if name == "ifModifiedSince" else 'W/"1"'
    conditional["entry"][0]["request"][name] = value

    error = refused(post(conditional))

    assert isinstance(error, Malformed)
    assert place(error) == f"Bundle.entry[0].request.{name}"


def test_a_precondition_in_a_header_of_a_bundle_is_refused() -> None:
    bundle = replace(post(transaction(condition(AMINA, "c1"))), preconditions={"If-Match": f'W/"{ONE}"'})

    assert isinstance(refused(bundle), Malformed)
    assert isinstance(refused(replace(put(condition(AMINA, "c1")), if_none_exist="identifier=urn:s|1")), Malformed)


@pytest.mark.parametrize(
    ("precondition", "current", "holds"),
    [
        (Precondition("", (str(ONE),)), ONE, True),
        (Precondition("", (str(TWO), str(ONE))), ONE, True),
        (Precondition("", (str(TWO),)), ONE, False),
        (Precondition("", (str(ONE),)), None, False),
        (Precondition("", exists=True), ONE, True),
        (Precondition("", exists=True), None, False),
        (Precondition(""), None, True),
        (Precondition(""), ONE, False),
    ],
)
def test_a_precondition_is_compared_with_the_current_version(
    precondition: Precondition, current: UUID | None, holds: bool
) -> None:
    error = failed_precondition(precondition, "Condition", current, None)

    assert (error is None) is holds
    if error:
        assert error.headers.get("ETag") == (f'W/"{current}"' if current else None)


def test_the_repetition_of_a_request_that_succeeded_is_no_conflict() -> None:
    assert failed_precondition(Precondition("", (str(ONE),)), "Condition", TWO, own=TWO) is None
    assert failed_precondition(Precondition(""), "Condition", TWO, own=TWO) is None


def test_the_etag_of_a_shared_patient_is_explained() -> None:
    error = failed_precondition(Precondition("", ("merged",)), "Patient", None, None)

    assert error
    assert "all sources" in error.issues[0].diagnostics

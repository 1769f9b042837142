"""A clinician's judgements "same" and "keep apart": who may make them, and about which statements.

A judgement never joins two people.
"""

from __future__ import annotations

from typing import Any

import pytest
from tests.people import condition
from tests.unit.intake.door import (
    AMINA,
    BEN,
    KEYS,
    SOURCE,
    Json,
    content,
    decide,
    person,
    place,
    post,
    posted,
    put,
    refused,
    shared_id,
    statement,
)

from onestory.intake.domain.judgement import JUDGEMENT_SYSTEM, KEPT_APART_EXTENSION
from onestory.intake.domain.request import KnownResource, PublisherClaims, Submission
from onestory.shared.errors import Forbidden, Unprocessable
from onestory.shared.events import Operation, Source
from onestory.shared.identity import PersonIdentifier, provisional_identity

CLINICIAN, RECEPTIONIST = "R8000", "R8010"
OTHERS = Source("RX001", "epr")
AUTHOR = {"identifier": {"system": "https://fhir.nhs.uk/Id/sds-user-id", "value": "555021935107"}}


def known_as(who: PersonIdentifier, local_id: str, source: Source = SOURCE) -> dict[str, KnownResource]:
    """A Condition of this person, as the record knows it."""
    name = (source.organisation, source.system, "Condition", local_id)
    return {KEYS.shared_id(KEYS.person_key(who), *name): KnownResource(who, source, "Condition", local_id)}


KNOWN = {**known_as(person(AMINA), "c1"), **known_as(person(AMINA), "c2", OTHERS), **known_as(person(BEN), "c3")}
OURS, THEIRS, BENS = KNOWN


def same(*named: str, **elements: Any) -> Json:
    items = [{"type": "source", "resource": {"reference": each}} for each in named]
    return {"resourceType": "Linkage", "id": "j1", "author": AUTHOR, "item": items, **elements}


def apart(*named: str, **elements: Any) -> Json:
    return {
        "resourceType": "Basic",
        "id": "j1",
        "extension": [{"url": KEPT_APART_EXTENSION, "valueReference": {"reference": each}} for each in named],
        "code": {"coding": [{"system": JUDGEMENT_SYSTEM, "code": "keep-apart"}]},
        "subject": {"reference": f"Patient/{AMINA}"},
        "author": AUTHOR,
        **elements,
    }


BOTH = (f"Condition/{OURS}", f"Condition/{THEIRS}")
JUDGEMENTS = [same, apart]


@pytest.mark.parametrize("judgement", JUDGEMENTS)
def test_a_clinician_judges_what_several_sources_said_of_one_person(judgement: Any) -> None:
    said = statement(decide(put(judgement(*BOTH)), role=CLINICIAN, known=KNOWN))

    (entry,) = said.entries
    assert said.person == person(AMINA)
    assert said.source == SOURCE
    assert content(entry)["author"] == AUTHOR
    assert all(each in str(content(entry)) for each in BOTH)


@pytest.mark.parametrize("judgement", JUDGEMENTS)
def test_what_is_named_by_url_or_version_is_kept_as_what_stands(judgement: Any) -> None:
    named = (f"http://door/fhir/{BOTH[0]}/_history/1", BOTH[1])

    (entry,) = statement(decide(put(judgement(*named)), role=CLINICIAN, known=KNOWN)).entries

    assert f"'{BOTH[0]}'" in str(content(entry))


@pytest.mark.parametrize("judgement", JUDGEMENTS)
@pytest.mark.parametrize("role", ["", RECEPTIONIST, "R800"])
def test_nobody_but_a_clinician_judges(judgement: Any, role: str) -> None:
    error = refused(put(judgement(*BOTH)), role=role, known=KNOWN)

    assert isinstance(error, Forbidden)
    assert "R8000, R8001, R8003" in error.issues[0].diagnostics


def test_a_role_may_stand_behind_what_it_is_part_of() -> None:
    assert decide(put(same(*BOTH)), role="S8000:G8000:R8001", known=KNOWN).events


@pytest.mark.parametrize("kind", ["Linkage", "Basic"])
def test_nobody_but_a_clinician_takes_a_judgement_back(kind: str) -> None:
    undo = Submission("DELETE", b"", kind, "j1", f"patient={AMINA}")

    assert isinstance(refused(undo, role=RECEPTIONIST), Forbidden)

    (entry,) = statement(decide(undo, role=CLINICIAN)).entries
    assert entry.operation is Operation.RETRACT
    assert entry.shared_id == shared_id(AMINA, kind, "j1")


@pytest.mark.parametrize("kind", ["Linkage", "Basic"])
def test_nobody_but_a_clinician_retires_judgements_by_a_whole_list(kind: str) -> None:
    listed = post(posted("transaction", condition(AMINA, "c9")))

    assert isinstance(refused(listed, said=PublisherClaims(complete_types=(kind,)), role=RECEPTIONIST), Forbidden)
    assert decide(listed, said=PublisherClaims(complete_types=(kind,)), role=CLINICIAN).events


def test_a_basic_that_is_no_judgement_needs_no_clinician() -> None:
    likes = [{"url": "http://example.org/likes", "valueString": "Gardening"}]

    about_me = decide(put(apart(code={"text": "What matters to me"}, extension=likes)))

    assert statement(about_me).person == person(AMINA)


@pytest.mark.parametrize("judgement", JUDGEMENTS)
@pytest.mark.parametrize(
    ("named", "code"),
    [
        ((BOTH[0], f"Condition/{BENS}"), "business-rule"),
        ((BOTH[0], BOTH[0]), "required"),
        ((BOTH[0],), "required"),
        ((BOTH[0], "Condition/c2"), "value"),
        ((BOTH[0], "urn:uuid:00000000-0000-4000-8000-000000000001"), "value"),
        ((BOTH[0], f"Observation/{THEIRS}"), "not-found"),
        ((BOTH[0], f"Condition/{OURS[:27]}{'a' * 26}"), "not-found"),
        ((f"Patient/{OURS}", f"Patient/{BENS}"), "business-rule"),
    ],
)
def test_a_judgement_of_anything_but_statements_of_one_person_is_refused(
    judgement: Any, named: tuple[str, ...], code: str
) -> None:
    error = refused(put(judgement(*named)), role=CLINICIAN, known=KNOWN)

    assert isinstance(error, Unprocessable)
    assert error.issues[0].code == code


def test_a_keep_apart_of_somebody_else_than_its_subject_is_refused() -> None:
    error = refused(put(apart(*BOTH, subject={"reference": f"Patient/{BEN}"})), role=CLINICIAN, known=KNOWN)

    assert (error.issues[0].code, place(error)) == ("business-rule", "Basic.extension[0].valueReference")


def test_a_same_does_not_join_two_nhs_numbers_even_with_a_third_statement_between() -> None:
    named = (*BOTH, f"Condition/{BENS}")

    error = refused(put(same(*named)), role=CLINICIAN, known=KNOWN)

    assert place(error) == "Linkage.item[2].resource"
    assert "demographic authority" in error.issues[0].diagnostics


@pytest.mark.parametrize("judgement", JUDGEMENTS)
def test_identities_that_the_record_has_as_one_person_are_one_person(judgement: Any) -> None:
    before = provisional_identity(OTHERS.organisation, OTHERS.system, "p7")
    keys = frozenset({KEYS.person_key(before), KEYS.person_key(person(AMINA))})
    both = {**known_as(before, "c7", OTHERS), **known_as(person(AMINA), "c1")}
    joined = {each: KnownResource(*_parts(known), linked_person_keys=keys) for each, known in both.items()}
    named = [f"Condition/{each}" for each in both]

    assert statement(decide(put(judgement(*named)), role=CLINICIAN, known=joined)).person == person(AMINA)
    assert isinstance(refused(put(judgement(*named)), role=CLINICIAN, known=both), Unprocessable)


@pytest.mark.parametrize("judgement", JUDGEMENTS)
@pytest.mark.parametrize("author", [None, {"reference": "Practitioner/1"}, {"identifier": {"system": "http://x"}}])
def test_a_judgement_that_does_not_say_who_judges_is_refused(judgement: Any, author: Json | None) -> None:
    unsigned = {name: part for name, part in judgement(*BOTH, author=author).items() if part is not None}

    error = refused(put(unsigned), role=CLINICIAN, known=KNOWN)

    assert isinstance(error, Unprocessable)
    assert place(error) == f"{unsigned['resourceType']}.author"


def test_a_code_of_ours_that_there_is_not_is_refused() -> None:
    wrong = apart(*BOTH, code={"coding": [{"system": JUDGEMENT_SYSTEM, "code": "same"}]})

    assert place(refused(put(wrong), role=CLINICIAN, known=KNOWN)) == "Basic.code"


def _parts(known: KnownResource) -> tuple[PersonIdentifier, Source, str, str]:
    return known.person, known.source, known.resource_type, known.local_id

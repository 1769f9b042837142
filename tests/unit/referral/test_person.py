"""The statements of an authority about a person, and the differences between them that are news."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from prometheus_client import CollectorRegistry

from onestory.referral.metrics import ReferralMetrics
from onestory.referral.person_news.death_words import DeathWord, death_words, greatest_words
from onestory.referral.person_news.domain import (
    CurrentPersonStatement,
    KnownPerson,
    News,
    PersonStatement,
    news,
    person_statements,
    update_known,
)
from onestory.referral.person_news.handler import PersonNewsProjection
from onestory.shared.errors import Unprocessable
from onestory.shared.events import ConsumedMessage, Entry, Operation, OrderKey, RecordChanged, Source
from onestory.shared.identity import NHS_NUMBER_SYSTEM, ODS_CODE_SYSTEM, Keys, PersonIdentifier
from onestory.shared.kafka.codec import create_codec
from onestory.shared.kafka.consumer import LogRecord
from onestory.shared.kafka.schemas import RECORD_TOPIC

KEYS = Keys(b"a secret for tests, long enough!")
PERSON = PersonIdentifier(NHS_NUMBER_SYSTEM, "9990000018")
KEY = KEYS.person_key(PERSON)
AT = datetime(2026, 1, 1, tzinfo=UTC)
PDS = Source("X26", "pds")
PRACTICE = Source("A81001", "emis")


def entry(kind: str, local_id: str, **elements: Any) -> Entry:
    """An entry with a resource of the authority."""
    shared_id = KEYS.shared_id(KEY, PDS.organisation, PDS.system, kind, local_id)
    content = json.dumps({"resourceType": kind, "id": shared_id, "meta": {}, **elements}).encode()
    return Entry(kind, local_id, shared_id, AT, Operation.ASSERT, content)


def read(*entries: Entry, source: Source = PDS, key: str = KEY) -> list[PersonStatement]:
    """The person statements in a message with these entries."""
    event = RecordChanged(UUID(int=1), source, PERSON, None, AT, AT, "test", (), entries)
    return list(person_statements(ConsumedMessage(RECORD_TOPIC, 0, 0, AT, key.encode(), b"", event), KEYS, {"X26"}))


def words(*entries: Entry, source: Source = PRACTICE, key: str = KEY) -> list[DeathWord]:
    """The words about deaths in a message with these entries."""
    event = RecordChanged(UUID(int=1), source, PERSON, None, AT, AT, "test", (), entries)
    return list(death_words(ConsumedMessage(RECORD_TOPIC, 0, 0, AT, key.encode(), b"", event), {"X26"}))


def named(code: str, **period: str) -> dict[str, Any]:
    """A practice as PDS names it."""
    return {"identifier": {"system": ODS_CODE_SYSTEM, "value": code, **({"period": period} if period else {})}}


def stood(rank: int, deceased: bool | None, practice: str) -> CurrentPersonStatement:
    """A current statement with this rank."""
    return CurrentPersonStatement(OrderKey(rank, AT, UUID(int=rank)), deceased, practice)


@pytest.mark.parametrize(
    ("elements", "deceased"),
    [
        ({"deceasedDateTime": "2026-03-01"}, True),
        ({"deceasedBoolean": True}, True),
        ({"deceasedBoolean": False}, False),
        ({}, None),
    ],
)
def test_an_authority_says_that_a_person_died_or_did_not_or_nothing(
    elements: dict[str, Any], deceased: bool | None
) -> None:
    (said,) = read(entry("Patient", "p", **elements))

    assert said.deceased is deceased
    assert said.person_key == KEY


def test_a_superseded_number_is_the_same_person_unless_the_person_is_protected() -> None:
    link = [{"type": "replaces", "other": {"reference": "Patient/9990000026"}}]
    other = KEYS.person_key(PersonIdentifier(NHS_NUMBER_SYSTEM, "9990000026"))
    protected = {"security": [{"code": "V"}]}

    (said,) = read(entry("Patient", "p", link=link))
    (of_protected,) = read(entry("Patient", "p", link=link, meta=protected))

    assert said.links == ((other, "replaces"),)
    assert of_protected.links == ()


def test_nobody_elses_patient_counts() -> None:
    assert read(entry("Patient", "p", deceasedBoolean=True), source=Source("A81001", "emis")) == []


def test_of_several_practices_the_one_that_goes_on_counts() -> None:
    listed = [named("A81001", start="2020-01-01", end="2025-12-31"), named("A81002", start="2026-01-01")]

    (said,) = read(entry("Patient", "p", generalPractitioner=listed))

    assert said.practice == "A81002"


def test_a_practice_may_come_along_or_be_in_the_directory() -> None:
    practice = entry("Organization", "o", identifier=[{"system": ODS_CODE_SYSTEM, "value": "a81003"}])
    came = [{"reference": f"Organization/{practice.shared_id}"}]
    elsewhere = KEYS.resource_hash("X26", "pds", "Organization", "o")

    (with_it,) = read(practice, entry("Patient", "p", generalPractitioner=came))
    (without,) = read(entry("Patient", "p", generalPractitioner=[{"reference": f"Organization/{elsewhere}"}]))

    assert (with_it.practice, with_it.organisation_id) == ("A81003", "")
    assert (without.practice, without.organisation_id) == ("", elsewhere)


@pytest.mark.parametrize(
    ("said", "key", "reason"),
    [
        (entry("Patient", "p", gender=7), KEY, "content-form"),
        (entry("Patient", "p"), "a" * 26, "wrong-key"),
    ],
)
def test_what_cannot_be_read_says_why(said: Entry, key: str, reason: str) -> None:
    with pytest.raises(Unprocessable) as caught:
        read(said, key=key)

    assert caught.value.issues[0].code == reason


def test_the_newest_who_says_anything_is_believed() -> None:
    standing = [stood(1, True, "A81001"), stood(3, None, ""), stood(2, False, "A81002")]

    assert update_known(KnownPerson(), standing) == KnownPerson(False, "A81002")


def test_a_death_that_nobody_states_any_more_is_taken_back_and_a_practice_is_remembered() -> None:
    assert update_known(KnownPerson(True, "A81001"), []) == KnownPerson(False, "A81001")


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (KnownPerson(), KnownPerson(False, "A81001"), []),
        (KnownPerson(False, "A81001"), KnownPerson(False, "A81001"), []),
        (KnownPerson(False, "A81001"), KnownPerson(False, "A81002"), [News.MOVED]),
        (KnownPerson(), KnownPerson(True), [News.DECEASED]),
        (KnownPerson(True), KnownPerson(False), [News.NOT_DECEASED]),
        (KnownPerson(False, "A81001"), KnownPerson(True, "A81002"), [News.DECEASED, News.MOVED]),
    ],
)
def test_what_is_news(before: KnownPerson, after: KnownPerson, told: list[News]) -> None:
    assert news(before, after) == told


@pytest.mark.parametrize(
    ("elements", "died"),
    [
        ({"deceasedDateTime": "2026-03-01"}, True),
        ({"deceasedBoolean": True}, True),
        ({"deceasedBoolean": False}, False),
        ({}, False),
    ],
)
def test_the_word_of_another_source_about_a_death_is_read(elements: dict[str, Any], died: bool) -> None:
    (word,) = words(entry("Patient", "p", **elements), entry("Condition", "c"))

    assert (word.person_key, word.organisation, word.asserted, word.died) == (KEY, "A81001", True, died)
    assert words(entry("Patient", "p", **elements), source=PDS) == []


def test_a_retracted_patient_says_nothing_of_a_death() -> None:
    taken_back = replace(entry("Patient", "p"), operation=Operation.RETRACT, content=None)

    (word,) = words(taken_back)

    assert (word.asserted, word.died) == (False, False)


@pytest.mark.parametrize(
    ("said", "key", "reason"),
    [
        (replace(entry("Patient", "p"), content=b"[]"), KEY, "content-form"),
        (replace(entry("Patient", "p"), content=None), KEY, "content-form"),
        (entry("Patient", "p"), "a" * 26, "wrong-key"),
    ],
)
def test_a_word_that_cannot_be_read_says_why(said: Entry, key: str, reason: str) -> None:
    with pytest.raises(Unprocessable) as caught:
        words(said, key=key)

    assert caught.value.issues[0].code == reason


def test_the_greatest_word_of_a_patient_counts() -> None:
    (one,) = words(entry("Patient", "p", deceasedBoolean=True))
    later, elsewhere = one._replace(rank=one.rank + 1, died=False), one._replace(person_key="b" * 26)

    assert greatest_words([one, later, elsewhere]) == greatest_words([elsewhere, later, one])
    assert set(greatest_words([one, later, elsewhere])) == {later, elsewhere}


def encoded(*entries: Entry) -> bytes:
    """The bytes of a message of a source that is no authority."""
    event = RecordChanged(UUID(int=1), PRACTICE, PERSON, None, AT, AT, "test", (), entries)
    return create_codec().encode(event)


PATIENT = encoded(entry("Condition", "c"), entry("Patient", "p"))
RETRACTION = encoded(replace(entry("Patient", "p"), operation=Operation.RETRACT, content=None))
NO_PATIENT = encoded(entry("Condition", "c", subject={"reference": "Patient/1"}))


@pytest.mark.parametrize(
    ("topic", "headers", "value", "skips"),
    [
        ("care.record", [("ce_source", b"/organisations/A81001/systems/emis")], NO_PATIENT, True),
        ("care.record", [("ce_source", b"/organisations/A81001/systems/emis")], PATIENT, False),
        ("care.record", [("ce_source", b"/organisations/A81001/systems/emis")], RETRACTION, False),
        ("care.record", [("ce_source", b"/organisations/X26/systems/pds")], NO_PATIENT, False),
        ("care.record", [("ce_source", b"something else")], NO_PATIENT, False),
        ("care.record", [], NO_PATIENT, False),
        ("care.directory", [("ce_source", b"/organisations/A81001/systems/emis")], NO_PATIENT, False),
    ],
)
def test_only_messages_of_other_sources_without_a_patient_are_skipped(
    topic: str, headers: list[tuple[str, bytes]], value: bytes, skips: bool
) -> None:
    persons = PersonNewsProjection(KEYS, ["X26"], ReferralMetrics(CollectorRegistry()))

    assert persons.can_skip(topic, LogRecord(0, AT, b"", value, headers)) is skips

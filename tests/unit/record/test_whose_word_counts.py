"""The shared Patient takes facts from the authority and the registered practice; others are shown as their word."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import Any

import fhirkit
import orjson
import pytest
from tests.unit.record.test_patient_composition import HOSPITAL, NUMBER, PDS, PRACTICE, TRUST, practice, said

from onestory.record.person.composition import NhsNumbers, compose
from onestory.record.person.labels import (
    PatientLabel,
    is_restricted,
    lasting_labels,
    redacted_version,
    stored_version,
    without_contact_details,
)
from onestory.record.person.load import PersonRecord
from onestory.record.person.sources_words import STATED_BY_SOURCE, words_in
from onestory.record.person.statements import DISAGREEMENT, PatientStatement, Trust
from onestory.record.read.access import RecordView, visible_entries
from onestory.record.read.store import CurrentEntry
from onestory.record.summary.service import SummaryPatient, summary_key
from onestory.shared.identity import NHS_NUMBER_SYSTEM
from onestory.shared.policy import Decision, Visibility

STRANGER = "RZ9"
PHONE = [{"system": "phone", "value": "07700900999"}]
OTHER_PHONE = [{"system": "phone", "value": "07700900111"}]
ADDRESS = [{"line": ["1 Some Street"], "postalCode": "ZZ99 9ZZ"}]
LABEL = {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"}
DEATH_STATUS = "https://fhir.hl7.org.uk/StructureDefinition/Extension-UKCore-DeathNotificationStatus"
EVERYTHING = {
    "active": False,
    "deceasedDateTime": "2026-11-01T00:00:00Z",
    "telecom": PHONE,
    "address": ADDRESS,
    "contact": [{"name": {"family": "Stranger"}, "telecom": OTHER_PHONE, "relationship": [{"text": "friend"}]}],
    "communication": [{"language": {"text": "Welsh"}, "preferred": True}],
    "photo": [{"url": "https://example.org/x.png"}],
    "generalPractitioner": practice("B1"),
    "managingOrganization": practice("B1")[0],
    "identifier": [{"system": "https://hospital.example.org/mrn", "value": "777"}],
    "extension": [{"url": DEATH_STATUS, "extension": [{"url": "deathNotificationStatus", "valueString": "formal"}]}],
    "modifierExtension": [{"url": "https://example.org/x", "valueString": "y"}],
    "meta": {"security": [LABEL]},
}


def shared(*statements: PatientStatement, trust: Trust = TRUST, withhold_contact: bool = False) -> dict[str, Any]:
    content = compose(NhsNumbers(NUMBER), statements, trust, withhold_contact=withhold_contact).content
    assert fhirkit.validate(content.decode()) == []
    body: dict[str, Any] = orjson.loads(content)
    return body


def words(body: dict[str, Any]) -> list[tuple[str, str]]:
    return [(word.element, word.organisation) for word in words_in(body)]


def disagreeing(body: dict[str, Any]) -> list[str]:
    found = [each for each in body.get("extension", ()) if each["url"] == DISAGREEMENT]
    return [each["extension"][0]["valueCode"] for each in found]


def test_a_stranger_makes_no_fact_but_is_shown_as_the_one_who_says_so() -> None:
    body = shared(said(PDS, 1, gender="female"), said(STRANGER, 9, **EVERYTHING))

    assert set(body) == {"resourceType", "id", "meta", "extension", "identifier", "gender", "link"}
    assert body["identifier"] == [{"system": NHS_NUMBER_SYSTEM, "value": NUMBER}]
    assert "security" not in body["meta"]
    assert {each["url"] for each in body["extension"]} == {STATED_BY_SOURCE}
    stated = dict(EVERYTHING, **{"meta.security": None})
    expected = {"deceased" if name == "deceasedDateTime" else name for name in stated} - {"meta"}
    assert set(words(body)) == {(name, STRANGER) for name in expected}


def test_the_word_of_a_source_has_its_values_and_its_statement() -> None:
    body = shared(said(STRANGER, 9, telecom=PHONE, contact=EVERYTHING["contact"], deceasedDateTime="2026-11-01"))

    by_element = {each["extension"][0]["valueCode"]: each["extension"] for each in body["extension"]}
    assert by_element["telecom"][1]["valueReference"]["identifier"]["value"] == STRANGER
    assert by_element["telecom"][2] == {"url": "statement", "valueReference": {"reference": "Patient/p-rz9-9"}}
    assert by_element["telecom"][3] == {"url": "value", "valueContactPoint": PHONE[0]}
    assert by_element["deceased"][3] == {"url": "value", "valueDateTime": "2026-11-01"}
    assert by_element["contact"][3]["extension"] == [
        {"url": "name", "valueHumanName": {"family": "Stranger"}},
        {"url": "telecom", "valueContactPoint": OTHER_PHONE[0]},
        {"url": "relationship", "valueCodeableConcept": {"text": "friend"}},
    ]


@pytest.mark.parametrize("source", [PDS, PRACTICE])
def test_contact_details_come_from_the_authority_or_the_practice_with_the_disagreement(source: str) -> None:
    body = shared(said(source, 1, telecom=PHONE, address=ADDRESS), said(STRANGER, 9, telecom=OTHER_PHONE))

    assert (body["telecom"], body["address"]) == (PHONE, ADDRESS)
    assert words(body) == []
    assert disagreeing(body) == ["telecom"]


def test_the_authority_goes_before_the_practice() -> None:
    body = shared(said(PRACTICE, 9, telecom=OTHER_PHONE, address=ADDRESS), said(PDS, 1, telecom=PHONE))

    assert (body["telecom"], body["address"]) == (PHONE, ADDRESS)


def test_two_strangers_who_disagree_are_both_shown_and_neither_wins() -> None:
    body = shared(said(STRANGER, 9, telecom=PHONE), said(HOSPITAL, 8, telecom=OTHER_PHONE))

    assert "telecom" not in body
    assert words(body) == [("telecom", STRANGER), ("telecom", HOSPITAL)]
    assert disagreeing(body) == ["telecom"]


@pytest.mark.parametrize("died", [{"deceasedBoolean": True}, {"deceasedDateTime": "2026-11-01"}])
def test_not_even_the_practice_makes_a_death_a_fact(died: dict[str, Any]) -> None:
    body = shared(said(PDS, 1, gender="female"), said(PRACTICE, 9, **died))

    assert not body.keys() & {"deceasedBoolean", "deceasedDateTime"}
    assert words(body) == [("deceased", PRACTICE)]


def test_the_authoritys_not_deceased_stands_and_the_other_word_is_still_shown() -> None:
    body = shared(said(PDS, 1, deceasedBoolean=False), said(PRACTICE, 9, deceasedBoolean=True))

    assert body["deceasedBoolean"] is False
    assert words(body) == [("deceased", PRACTICE)]
    assert disagreeing(body) == ["deceased"]


def test_where_the_authority_says_that_the_person_died_no_word_is_needed() -> None:
    body = shared(said(PDS, 1, deceasedDateTime="2026-11-01"), said(PRACTICE, 9, deceasedBoolean=True))

    assert body["deceasedDateTime"] == "2026-11-01"
    assert words(body) == []


def test_a_source_that_says_alive_is_shown_only_against_one_that_says_died() -> None:
    alive, died = said(HOSPITAL, 8, deceasedBoolean=False), said(STRANGER, 9, deceasedBoolean=True)

    assert words(shared(alive)) == []
    assert words(shared(alive, died)) == [("deceased", STRANGER), ("deceased", HOSPITAL)]


def test_without_any_authority_no_death_is_a_fact_and_the_practice_gives_contact_details() -> None:
    trust = Trust(frozenset(), PRACTICE)
    body = shared(
        said(PRACTICE, 1, deceasedBoolean=True, telecom=PHONE), said(STRANGER, 9, address=ADDRESS), trust=trust
    )

    assert "deceasedBoolean" not in body
    assert body["telecom"] == PHONE
    assert words(body) == [("deceased", PRACTICE), ("address", STRANGER)]


def test_a_stranger_does_not_verify_the_nhs_number() -> None:
    number = {"system": NHS_NUMBER_SYSTEM, "value": NUMBER}
    verified = {**number, "extension": [{"url": "https://example.org/verified", "valueCode": "01"}]}

    assert shared(said(STRANGER, 9, identifier=[verified]))["identifier"] == [number]
    assert shared(said(PRACTICE, 9, identifier=[verified]))["identifier"] == [verified]


def test_the_newest_patients_of_a_stranger_count_and_all_of_the_practice() -> None:
    body = shared(*[said(STRANGER, at, telecom=PHONE) for at in range(100)], *[said(PRACTICE, at) for at in range(30)])

    linked = [link["other"]["reference"] for link in body["link"]]
    assert len([each for each in linked if "rz9" in each]) == len(words(body)) == 20
    assert "Patient/p-rz9-99" in linked
    assert len([each for each in linked if "a81001" in each]) == 30


def test_a_new_practice_is_a_new_version() -> None:
    statement = said(HOSPITAL, 1, telecom=PHONE)
    one, two = (compose(NhsNumbers(NUMBER), [statement], Trust(frozenset({PDS}), code)) for code in (None, HOSPITAL))

    assert one.version_id != two.version_id


def test_the_order_of_arrival_changes_nothing() -> None:
    statements = [said(PDS, 1, gender="female"), said(PRACTICE, 2, telecom=PHONE), said(STRANGER, 9, **EVERYTHING)]
    first = compose(NhsNumbers(NUMBER), statements, TRUST)

    for seed in range(5):
        random.Random(seed).shuffle(statements)
        assert compose(NhsNumbers(NUMBER), statements, TRUST) == first


def test_withheld_contact_details_are_nowhere_in_the_patient() -> None:
    statements = [said(PDS, 1, telecom=PHONE, address=ADDRESS, gender="female"), said(STRANGER, 9, **EVERYTHING)]
    body = shared(*statements, withhold_contact=True)

    text = orjson.dumps(body)
    assert all(secret not in text for secret in (b"07700900", b"Some Street"))
    assert body["gender"] == "female"
    assert body["meta"]["security"][0]["code"] == "REDACTED"
    assert "contact" in dict(words(body))


def test_a_statement_without_contact_details_keeps_all_else() -> None:
    statement = {"resourceType": "Patient", "id": "p", "meta": {"versionId": "1", "security": [LABEL]}, **EVERYTHING}
    statement |= {"text": {"status": "generated", "div": "<div>1 Some Street</div>"}, "gender": "female"}

    kept = orjson.loads(without_contact_details(orjson.dumps(statement)))

    assert statement.keys() - kept.keys() == {"text", "telecom", "address"}
    assert kept["contact"] == [{"name": {"family": "Stranger"}, "relationship": [{"text": "friend"}]}]
    assert b"07700900" not in orjson.dumps(kept)
    assert kept["meta"]["security"][-1]["code"] == "REDACTED"
    assert without_contact_details(b'{"resourceType":"Patient","id":"p"}') == b'{"resourceType":"Patient","id":"p"}'


@pytest.mark.parametrize("kind", ["RelatedPerson", "Condition", "Observation"])
def test_a_label_is_read_on_any_statement(kind: str) -> None:
    assert is_restricted(orjson.dumps({"resourceType": kind, "meta": {"security": [{**LABEL, "code": "V"}]}}))
    assert not is_restricted(orjson.dumps({"resourceType": kind, "meta": {"security": [{**LABEL, "code": "N"}]}}))
    assert is_restricted(b'{"meta":{"\\u0073ecurity":[{"code":"R"}]}}')


@pytest.mark.parametrize(
    "label",
    [
        {"system": "urn:oid:2.16.840.1.113883.5.25", "code": "R"},
        {"system": "2.16.840.1.113883.5.25", "code": "V"},
        {"system": "URN:OID:2.16.840.1.113883.5.25", "code": "v"},
        {"system": LABEL["system"], "code": "r"},
        {"system": f" {LABEL['system']}", "code": "R "},
        {"code": "R"},
    ],
)
def test_every_spelling_of_a_label_restricts(label: dict[str, str]) -> None:
    assert is_restricted(orjson.dumps({"meta": {"security": [label]}}))


@pytest.mark.parametrize(
    "system", ["urn:oid:2.16.840.1.113883.5.2", "http://terminology.hl7.org/CodeSystem/v3-ActCode"]
)
def test_a_code_of_another_system_restricts_nothing(system: str) -> None:
    assert not is_restricted(orjson.dumps({"meta": {"security": [{"system": system, "code": "R"}]}}))


def test_only_another_label_of_the_practice_takes_a_former_label_off() -> None:
    def stated(organisation: str, day: int, *codes: str) -> PatientLabel:
        security = [{**LABEL, "code": code} for code in codes]
        content = orjson.dumps({"meta": {"security": security}}) if codes else b'{"meta":{}}'
        return PatientLabel(organisation, datetime(2026, 1, day, tzinfo=UTC), content)

    former = stated("B1", 2, "R")

    def lasting(*others: PatientLabel) -> frozenset[str]:
        return lasting_labels([former], PRACTICE, [former, *others])

    assert lasting() == lasting(stated(PRACTICE, 3)) == lasting(stated(PRACTICE, 1, "N")) == {"B1"}
    assert lasting(stated(HOSPITAL, 3, "N")) == lasting(stated(PRACTICE, 3, "N", "R")) == {"B1"}
    assert lasting(stated(PRACTICE, 3, "N")) == frozenset()


SECRET_PHONE, SECRET_ADDRESS = {"value": "07700900999"}, {"text": "1 Some Street"}
NESTED: list[dict[str, Any]] = [
    {"url": "https://example.org/a", "valueAddress": SECRET_ADDRESS},
    {"url": "https://example.org/b", "valueContactPoint": SECRET_PHONE},
    {
        "url": "https://example.org/c",
        "extension": [{"url": "d", "extension": [{"url": "e", "valueAddress": SECRET_ADDRESS}]}],
    },
    {"url": "https://example.org/f", "valueContactDetail": {"telecom": [SECRET_PHONE]}},
]
KEPT = [{"url": "https://example.org/g", "valueString": "kept"}]
HIDDEN_CONTACTS: dict[str, Any] = {
    "extension": [*NESTED, *KEPT],
    "modifierExtension": [NESTED[0]],
    "name": [{"family": "Kept", "_given": [{"extension": NESTED}, {"extension": KEPT}], "extension": NESTED}],
    "_birthDate": {"extension": NESTED},
    "contact": [{"name": {"family": "Friend"}, "extension": NESTED, "telecom": [SECRET_PHONE]}],
    "contained": [
        {
            "resourceType": kind,
            "id": kind,
            "telecom": [SECRET_PHONE],
            "address": address,
            "text": {"div": "07700900999"},
        }
        for kind, address in (("RelatedPerson", [SECRET_ADDRESS]), ("Patient", [SECRET_ADDRESS]), ("Person", []))
    ],
}


@pytest.mark.parametrize("kind", ["Patient", "RelatedPerson"])
def test_contact_details_are_withheld_wherever_they_are(kind: str) -> None:
    kept = orjson.loads(without_contact_details(orjson.dumps({"resourceType": kind, "id": "p", **HIDDEN_CONTACTS})))

    assert all(secret not in orjson.dumps(kept) for secret in (b"07700900", b"Some Street"))
    assert kept["extension"] == KEPT
    assert kept["name"] == [{"family": "Kept", "_given": [None, {"extension": KEPT}]}]
    assert kept["contact"] == [{"name": {"family": "Friend"}}]
    assert [each["id"] for each in kept["contained"]] == ["RelatedPerson", "Patient", "Person"]
    assert kept["modifierExtension"][0]["url"] == NESTED[0]["url"]


def test_the_shared_patient_withholds_contact_details_wherever_they_are() -> None:
    trusted = {name: part for name, part in HIDDEN_CONTACTS.items() if name != "contained"}
    content = compose(NhsNumbers(NUMBER), [said(PRACTICE, 1, **trusted)], TRUST, withhold_contact=True).content

    assert all(secret not in content for secret in (b"07700900", b"Some Street"))
    assert b"Kept" in content


def test_a_version_that_lost_contact_details_has_an_id_of_its_own() -> None:
    whole = b'{"resourceType":"Patient","id":"p","meta":{"versionId":"1"},"telecom":[{"value":"1"}]}'

    assert orjson.loads(without_contact_details(whole))["meta"]["versionId"] == redacted_version("1") != "1"
    assert stored_version(redacted_version("1")) == stored_version("1") == "1"


def test_a_decimal_keeps_its_digits_where_contact_details_go() -> None:
    part = b'{"resourceType":"Patient","id":"p","name":[{"family":"A","extension":[{"url":"a","valueDecimal":1.10},'
    content = part + b'{"url":"b","valueAddress":{"text":"x"}}]}]}'

    assert b'"valueDecimal":1.10' in without_contact_details(content)


def test_what_is_withheld_is_part_of_the_version_of_an_answer_and_of_a_summary() -> None:
    person = PersonRecord(["k"], {"k": 1}, {}, (), ())
    views = [
        RecordView(person, decision, (), (), contact, withheld)
        for decision in (
            Decision(Visibility.ALL, "network"),
            Decision(Visibility.ALL, "referral", sees_restricted=False),
        )
        for contact, withheld in ((False, False), (False, True), (True, True))
    ]

    patient = SummaryPatient("k", "v", b"{}")
    assert len({view.version for view in views}) == 3
    assert len({summary_key(view, patient, "RZ1") for view in views}) == 6


def test_a_referral_shows_no_restricted_statement_except_the_callers_own() -> None:
    def entry(organisation: str, *, restricted: bool) -> CurrentEntry:
        stated = (
            "k",
            "Condition",
            f"{'k' * 26}-{organisation}{restricted}",
            "1",
            0,
            None,
            None,
            None,
            organisation,
            "s",
            b"",
            b"{}",
        )
        return CurrentEntry(*stated, restricted=restricted)

    plain, hidden, own = (
        entry("A81001", restricted=False),
        entry("A81001", restricted=True),
        entry("RZ1", restricted=True),
    )
    by_referral = Decision(Visibility.ALL, "open-referral", sees_restricted=False)

    assert visible_entries([plain, hidden, own], by_referral, "RZ1") == [plain, own]
    labelled = {plain.resource_hash, own.resource_hash}
    assert visible_entries([plain, own], by_referral, "RZ1", labelled) == [own]
    assert visible_entries([plain, own], Decision(Visibility.ALL, "network"), "RZ1", labelled) == [plain, own]
    assert visible_entries([plain, hidden, own], Decision(Visibility.ALL, "network"), "RZ1") == [plain, hidden, own]
    assert visible_entries([plain, hidden, own], Decision(Visibility.OWN, "own"), "RZ1") == [own]

"""The problems stand under what they are: active, suspected, ruled out, past, at a visit, or of the family."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.clinical_cases import needs_clinical_cases, shown_case
from tests.unit.record.summary.written import GP, HOSPITAL, NOW, code, known, said, term, told

from onestory.record.merge.model import Statement
from onestory.record.summary.document import summarise

ACTIVE = term("condition-clinical", "active")
REFUTED = term("condition-ver-status", "refuted")
VISIT = [term("condition-category", "encounter-diagnosis")]


def condition(local_id: str, words: str, organisation: str = GP, **elements: Any) -> Statement:
    return said("Condition", local_id, organisation, **{"code": {"text": words}, "clinicalStatus": ACTIVE, **elements})


def groups(problems: str, *captions: str) -> list[str]:
    """The text between the captions."""
    places = [problems.index(f"{caption}\n") for caption in captions]
    assert places == sorted(places)
    return [problems[start:end] for start, end in zip(places, [*places[1:], None], strict=True)]


@needs_clinical_cases
@pytest.mark.parametrize("number", ["43", "107"])
def test_her_own_cancer_leads_and_the_family_stands_apart(number: str) -> None:
    shown = shown_case(number)

    assert "FH" not in shown["Problems"]
    assert "20 Sep 2026" in shown["Problems"]
    assert "FH: Breast cancer (mother, age 52)" in shown["Family history"]


@needs_clinical_cases
def test_coded_family_history_and_relatives_are_shown_together() -> None:
    shown = shown_case("44")

    assert "Family history" not in shown["Problems"]
    assert all(words in shown["Family history"] for words in ("Mother", "Suicide", "Diabetes mellitus", "breast"))
    assert "Also held" not in shown


@needs_clinical_cases
def test_a_suspicion_that_was_ruled_out_is_answered() -> None:
    problems = shown_case("42")["Problems"]

    assert "Active" not in problems
    assert "Ruled out by RZ3, sent 25 Sep 2026: “Primary malignant neoplasm of lung”" in problems


@needs_clinical_cases
def test_an_older_stage_is_told_as_older() -> None:
    problems = shown_case("41")["Problems"]

    assert problems.index("stage 4") < problems.index("stage 3B") < problems.index("stage 3Older")
    assert problems.count("Older stage: now “Chronic kidney disease stage 4”") == 2


@needs_clinical_cases
def test_the_names_of_one_disease_stand_together() -> None:
    problems = shown_case("50")["Problems"]

    assert problems.index("Heart failureSince") < problems.index("Gout") < problems.index("Hypertension")


@needs_clinical_cases
def test_a_heart_attack_of_2019_is_a_past_event_with_its_date_first() -> None:
    (past,) = groups(shown_case("49")["Problems"], "Past events")

    assert past.index("2 Apr 2019: Myocardial infarction") < past.index("Date not stated: History of myocardial")
    assert "Sources disagree" not in past


@needs_clinical_cases
def test_a_pregnancy_of_2019_reads_as_no_present_problem() -> None:
    problems = shown_case("51")["Problems"]

    assert "Since 6 Jul 2026" in problems
    assert "2019" not in problems.partition("Past events")[0]


def test_an_illness_that_nobody_closed_is_a_past_event() -> None:
    pneumonia = condition("a", "", code=code("233604007", "Pneumonia"), onsetDateTime="2019-04-01")
    problems = told(pneumonia, condition("b", "Gout"))["Problems"]

    assert "1 Apr 2019: Pneumonia" in problems.partition("Past events")[2]


@needs_clinical_cases
def test_an_impossible_onset_has_a_sign_and_does_not_lead() -> None:
    problems = shown_case("90")["Problems"]

    assert problems.index("Essential hypertension") < problems.index("Gout")
    assert "1 Mar 2062, is in the future: check it" in problems
    assert "Since 1 Mar 2062" not in problems


@needs_clinical_cases
def test_old_diagnoses_at_visits_do_not_bury_the_problem_list() -> None:
    active, visits = groups(
        shown_case("100")["Problems"], "Active", "Diagnoses at visits more than a year ago, never closed"
    )

    assert "Type 2 diabetes" in active
    assert "Headache" not in active
    assert visits.index("Headache") < visits.index("Laceration of finger")


@needs_clinical_cases
def test_remission_is_not_told_as_ruled_out() -> None:
    problems = shown_case("101")["Problems"]

    assert "One says that this is active, another that it is in remission." in problems
    assert "Ruled out" not in problems


@needs_clinical_cases
def test_resolved_by_a_code_contradicts_the_active_disease() -> None:
    shown = shown_case("47")

    assert "Asthma resolved" in shown["Past illness"]
    assert "another that it has resolved" in shown["Problems"]
    assert "Asthma resolvedSince" not in shown["Problems"]


@pytest.mark.parametrize(
    ("words", "caption"),
    [
        ("?Lymphoma", "Suspected, not confirmed"),
        ("Lymphoma excluded", "Ruled out"),
        ("H/O lymphoma", "Past events"),
        ("Lymphoma", "Active"),
        ("Lymphoma, metastases excluded", "Active"),
    ],
)
def test_words_put_a_problem_in_its_group(words: str, caption: str) -> None:
    problems = told(condition("a", words))["Problems"]

    assert problems.startswith(caption)
    assert words in problems


def test_a_suspicion_names_its_confirmation_and_an_earlier_exclusion_is_no_answer() -> None:
    suspected = condition("a", "?Lymphoma", recordedDate="2026-10-01")
    confirmed = condition("b", "Lymphoma", HOSPITAL, recordedDate="2026-11-01")
    earlier = condition("b", "Lymphoma", HOSPITAL, recordedDate="2020-11-01", verificationStatus=REFUTED)

    assert "Confirmed by Vale Royal Hospital, recorded 1 Nov 2026" in told(suspected, confirmed)["Problems"]
    assert "Ruled out by" not in told(suspected, earlier)["Problems"]
    assert "Suspected, not confirmed" in told(suspected, earlier)["Problems"]


def test_a_recent_or_a_lasting_diagnosis_at_a_visit_stays_active() -> None:
    recent = condition("a", "Abscess", category=VISIT, onsetDateTime="2026-10-01")
    old = condition("b", "Sprain", category=VISIT, onsetDateTime="2020-10-01")
    lasting = condition("c", "", code=code("84757009", "Epilepsy"), category=VISIT, onsetDateTime="2020-10-01")
    active, visits = groups(
        told(recent, old, lasting)["Problems"], "Active", "Diagnoses at visits more than a year ago, never closed"
    )

    assert "Abscess" in active
    assert "Epilepsy" in active
    assert "Sprain" in visits


def test_an_onset_before_birth_has_a_sign() -> None:
    problems = told(condition("a", "Gout", onsetDateTime="1900-01-01"))["Problems"]

    assert "The stated onset, 1 Jan 1900, is before the person's birth: check it" in problems


def test_what_words_rule_out_or_tell_of_the_family_is_no_entry() -> None:
    statements = [condition("a", "Lymphoma excluded"), condition("b", "FH: lymphoma"), condition("c", "Gout")]
    document = json.loads(summarise(known(*statements), NOW).document)
    sections = {each["title"]: each for each in document["entry"][0]["resource"]["section"]}

    assert [each["reference"].rpartition("/")[2] for each in sections["Problems"]["entry"]] == ["c-a81001"]
    assert "entry" not in sections["Family history"]
    assert "emptyReason" not in sections["Family history"]


def test_a_relative_is_shown_with_each_illness() -> None:
    relative = said(
        "FamilyMemberHistory",
        "f",
        status="completed",
        relationship=code("FTH", "father"),
        condition=[
            {"code": {"text": "Stroke"}, "onsetAge": {"value": 61, "unit": "years"}, "contributedToDeath": True}
        ],
        deceasedBoolean=True,
    )

    family = told(relative)["Family history"]
    assert "FatherStroke, at age 61 years, died of it" in family
    assert "Has died" in family

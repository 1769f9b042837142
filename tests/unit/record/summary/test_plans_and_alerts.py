"""Plans, alerts, objections and confidential marks stand where a reader looks for them, each once."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.clinical_cases import needs_clinical_cases, shown_case
from tests.unit.record.summary.written import GP, HOSPITAL, NOW, code, known, said, term

from onestory.record.merge.model import Statement
from onestory.record.summary.confidentiality import hide_access_codes
from onestory.record.summary.document import summarise
from onestory.record.summary.narrative import plain_text

PLANS = "Plans for emergency care, and advance decisions"
ACTIVE = term("condition-clinical", "active")


def told(*statements: Statement) -> dict[str, str]:
    """The plain text of each section by its title."""
    composition = json.loads(summarise(known(*statements), NOW).document)["entry"][0]["resource"]
    return {each["title"]: plain_text(each["text"]["div"]) for each in composition["section"]}


def label(code: str, system: str = "v3-Confidentiality") -> dict[str, Any]:
    return {"security": [{"system": f"http://terminology.hl7.org/CodeSystem/{system}", "code": code}]}


@needs_clinical_cases
def test_plans_that_disagree_are_told_once_newest_first_with_their_words() -> None:
    shown = shown_case("68")

    notice = shown["Please note"]
    assert notice.index("12 Nov 2026: ReSPECT form. CPR attempts recommended") < notice.index("1 Feb 2024")
    assert sum(text.count("Plans for emergency care disagree") for text in shown.values()) == 1
    assert "Not for attempted" not in shown["Problems"]


@needs_clinical_cases
def test_the_revocation_stands_beside_the_line_in_force_and_at_the_top() -> None:
    shown = shown_case("69")

    for section in ("Please note", PLANS):
        assert "14 Nov 2026: ENDED: Not for attempted" in shown[section]
        assert "wishes CPR to be attempted" in shown[section]


@needs_clinical_cases
def test_an_order_not_to_perform_and_a_form_with_a_local_type_are_plans() -> None:
    plans = shown_case("70")[PLANS]

    assert "DO NOT PERFORM: Cardiopulmonary resuscitation" in plans
    assert "DNACPR form" in plans


@pytest.mark.parametrize("title", ["Advance decision to refuse treatment", "Ceiling of care: ward", "Living will"])
def test_a_document_with_the_title_of_a_plan_is_a_plan(title: str) -> None:
    document = said("DocumentReference", "d", status="current", content=[{"attachment": {"title": title}}])

    assert title in told(document)[PLANS]


@needs_clinical_cases
def test_what_social_care_closed_is_told_beside_what_others_still_hold() -> None:
    shown = shown_case("71")

    assert shown["Alerts"].count("CLOSED by 990, 15 Sep 2026") == 2
    assert "No longer in force: Subject to child protection plan, until 15 Sep 2026 (990)" in shown["Alerts"]
    assert "child protection" not in shown["Problems"]


@needs_clinical_cases
def test_adjustments_are_alerts_and_no_results() -> None:
    shown = shown_case("73")

    for words in ("Requires reasonable adjustment", "hearing aid", "Easy Read"):
        assert words in shown["Alerts"]
        assert words not in shown.get("Results", "")


@pytest.mark.parametrize(("name", "is_alert"), [("Risk of violence", True), ("No safeguarding concerns", False)])
def test_a_problem_in_words_is_an_alert_unless_it_is_denied(name: str, is_alert: bool) -> None:
    problem = said("Condition", "c", clinicalStatus=ACTIVE, code={"text": name})

    assert ("Alerts" in told(problem)) == is_alert


@needs_clinical_cases
def test_an_objection_to_sharing_is_told_at_the_top_and_is_no_result() -> None:
    shown = shown_case("80")

    assert "Has objected to sharing" in shown["Please note"]
    assert "A81001, 1 Feb 2026: Express dissent" in shown["Please note"]
    assert "Results" not in shown


@needs_clinical_cases
def test_restricted_lines_are_marked_in_every_section() -> None:
    shown = shown_case("67")

    assert "RESTRICTED: do not discuss in front of others." in shown["Problems"]
    assert "SENSITIVE (HIV)" in shown["Results"]


def test_a_line_without_a_label_has_no_mark() -> None:
    normal = said("Condition", "c", clinicalStatus=ACTIVE, code={"text": "Asthma"}, meta=label("N"))

    assert "do not discuss" not in told(normal)["Problems"]


@needs_clinical_cases
def test_ended_care_plans_are_named_and_the_access_code_is_not_shown() -> None:
    plan = shown_case("76")["Plan of care"]

    assert "Key safe (access code held in the record)" in plan
    assert "01632 960555" in plan
    assert "4471" not in plan
    assert "No longer in force: Reablement, until 12 Sep 2026 (990)" in plan
    assert "social prescribing" in plan


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("Keysafe number is C1234Y by the door", "Keysafe number is (access code held in the record) by the door"),
        ("Door code: 12-34#", "Door code: (access code held in the record)"),
        ("Key safe: ring 01632 960555", "Key safe: ring 01632 960555"),
        ("Weight 4471 g", "Weight 4471 g"),
    ],
)
def test_only_numbers_beside_words_for_a_key_safe_or_door_are_hidden(written: str, shown: str) -> None:
    assert hide_access_codes(written) == shown


@needs_clinical_cases
def test_an_activity_of_a_plan_is_told_once() -> None:
    shown = shown_case("77")

    assert shown[PLANS].count("Ring sister first") == 1
    assert "Ring sister first" not in shown["Plan of care"]
    assert "crisis plan Sept 2026" in shown[PLANS]


def test_other_types_are_named_where_they_are_counted() -> None:
    goal = said("Goal", "g", lifecycleStatus="active", description={"text": "Walk to the shop"})
    hidden = said("Goal", "h", HOSPITAL, lifecycleStatus="active", description={"text": "Secret"}, meta=label("R"))

    held = told(goal, hidden)["Also held"]

    assert "Goal: 2" in held
    assert "Walk to the shop, active" in held
    assert "Secret" not in held


def test_the_resource_of_a_plan_stays_in_the_document() -> None:
    decision = said("Condition", "d", GP, clinicalStatus=ACTIVE, code=code("450476008", "Not for CPR"))

    assert decision.shared_id.encode() in summarise(known(decision), NOW).document


def test_a_category_without_words_is_not_shown_as_its_code() -> None:
    category = [
        {"coding": [{"system": "https://fhir.nhs.uk/flag-category", "code": "national-reasonable-adjustment-flag"}]},
        {"coding": [{"system": "https://fhir.nhs.uk/flag-ra", "code": "cs", "display": "Communication support"}]},
    ]
    alert = said("Flag", "f1", GP, status="active", category=category, code={"text": "Allow a double appointment"})

    alerts = told(alert)["Alerts"]

    assert "Communication support" in alerts
    assert "national-reasonable-adjustment-flag" not in alerts

"""The rules that decide where a fact appears in a summary, in clinical words."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from tests.unit.record.summary.written import (
    GP,
    HOSPITAL,
    NOW,
    code,
    entries,
    former,
    known,
    said,
    sections,
    term,
    texts,
    told,
)

from onestory.record.merge.model import Statement
from onestory.record.summary.document import summarise
from onestory.shared.events import REFERRAL_SYSTEM
from onestory.shared.fhir.references import ADVICE_CATEGORY

LONG_AGO = datetime(2019, 3, 1, tzinfo=UTC)


def medicine(name: str, organisation: str = GP, *, course: str = "continuous", **elements: Any) -> Statement:
    elements = {"status": "active", "intent": "order", "authoredOn": "2019-03-01", **elements}
    return said(
        "MedicationRequest",
        name.lower(),
        organisation,
        recorded=elements.pop("recorded", LONG_AGO),
        medicationCodeableConcept={"text": name},
        courseOfTherapyType=term("medicationrequest-course-of-therapy", course),
        **elements,
    )


def result(name: str, day: str, *, category: str = "laboratory", test: str = "HbA1c", **elements: Any) -> Statement:
    return said(
        "Observation",
        name,
        status="final",
        category=[term("observation-category", category)],
        code={"text": test},
        effectiveDateTime=day,
        **{"valueString": f"value {name}", **elements},
    )


def nil_known(code_of_list: str, recorded: datetime = NOW) -> Statement:
    return said(
        "List",
        "list",
        recorded=recorded,
        status="current",
        mode="snapshot",
        code=code(code_of_list, "Allergies and adverse reactions"),
        emptyReason=term("list-empty-reason", "nilknown"),
    )


def under(section: str, caption: str) -> str:
    """The text of a section after this caption."""
    return section.partition(caption)[2]


# Medicines


def test_a_repeat_is_current_however_long_ago_it_began() -> None:
    assert "Ramipril" in under(told(medicine("Ramipril"))["Medicines"], "Regular")


@pytest.mark.parametrize(("ended", "shown"), [("2026-05-23", True), ("2026-05-21", False)])
def test_a_stopped_repeat_is_shown_for_six_months(ended: str, shown: bool) -> None:
    stopped = medicine("Ramipril", status="stopped", dispenseRequest={"validityPeriod": {"end": ended}})

    medicines = told(stopped)["Medicines"]

    assert ("Ramipril" in medicines.partition("More is held")[0]) is shown
    assert ("More is held: 1" in medicines) is not shown


@pytest.mark.parametrize(("authored", "shown"), [("2025-11-23", True), ("2025-11-20", False)])
def test_an_acute_medicine_is_shown_for_a_year(authored: str, shown: bool) -> None:
    medicines = told(medicine("Amoxicillin", course="acute", authoredOn=authored))["Medicines"]

    assert ("Amoxicillin" in medicines.partition("More is held")[0]) is shown


def test_a_date_without_a_day_counts_as_late_as_it_can_have_been() -> None:
    assert "Amoxicillin" in told(medicine("Amoxicillin", course="acute", authoredOn="2025-11"))["Medicines"]


def test_a_medicine_that_was_stopped_on_no_stated_day_counts_from_when_that_was_recorded() -> None:
    stopped = medicine("Ramipril", status="stopped", recorded=NOW - timedelta(days=90))

    assert "Ramipril" in under(told(stopped)["Medicines"], "Stopped")


def test_a_repeat_of_a_former_practice_is_not_current_and_not_for_ever() -> None:
    ramipril = medicine("Ramipril")
    left = [former(date(2026, 10, 1))]

    now = told(ramipril, freshness=left)["Medicines"]
    after_six_months = told(ramipril, at=datetime(2027, 4, 3, tzinfo=UTC), freshness=left)["Medicines"]

    assert "not known to be current" in now
    assert "former practice, until 1 Oct 2026" in now
    assert "Ramipril" not in after_six_months.partition("More is held: 1")[0]
    assert "Ramipril" in after_six_months


def test_what_a_former_practice_and_the_new_one_repeat_is_current() -> None:
    number = [{"system": "https://fhir.nhs.uk/Id/prescription-line-id", "value": "1"}]
    old, new = medicine("Ramipril", GP, identifier=number), medicine("Ramipril", HOSPITAL, identifier=number)

    assert "Ramipril" in under(told(old, new, freshness=[former(date(2026, 10, 1))])["Medicines"], "Regular")


def test_a_medicine_not_to_be_given_stands_first() -> None:
    medicines = told(medicine("Aspirin"), medicine("Warfarin", doNotPerform=True))["Medicines"]

    assert medicines.index("DO NOT GIVE") < medicines.index("Warfarin") < medicines.index("Aspirin")


def test_a_request_and_what_is_taken_of_it_are_told_apart() -> None:
    taken = said(
        "MedicationStatement", "taken", HOSPITAL, status="active", medicationCodeableConcept={"text": "Ramipril"}
    )

    medicines = told(medicine("Ramipril"), taken)["Medicines"]

    assert "Prescribed" in medicines
    assert "Reported as taken" in medicines


def test_a_medicine_that_was_only_proposed_is_not_current() -> None:
    medicines = told(medicine("Ramipril", intent="proposal", authoredOn="2026-11-01"))["Medicines"]

    assert "proposal" in under(medicines, "Planned, or not known if taken")
    assert "Regular" not in medicines


@pytest.mark.parametrize(
    ("status", "label"), [("not-taken", "Not taken, as reported"), ("unknown", "not known if taken")]
)
def test_what_is_not_taken_is_not_labelled_as_taken(status: str, label: str) -> None:
    denied = said("MedicationStatement", "denied", status=status, medicationCodeableConcept={"text": "Ramipril"})

    medicines = told(denied)["Medicines"]

    assert label in medicines
    assert "Reported as taken" not in medicines


def test_an_order_not_to_give_is_not_labelled_as_prescribed() -> None:
    medicines = told(medicine("Warfarin", doNotPerform=True))["Medicines"]

    assert "DO NOT GIVE by order of Harbour Street Surgery" in medicines
    assert "Prescribed" not in medicines.replace("Prescribed 1 Mar 2019", "")


@pytest.mark.parametrize("denial", ["787481004", "1234391000168107"])
def test_that_no_medicine_is_known_is_not_labelled_as_taken(denial: str) -> None:
    none = said(
        "MedicationStatement", "none", status="active", medicationCodeableConcept=code(denial, "No known medicines")
    )

    assert "Reported as taken" not in told(none)["Medicines"]


@pytest.mark.parametrize("status", ["stopped", "cancelled"])
def test_an_acute_medicine_that_was_stopped_is_not_among_the_acute_ones(status: str) -> None:
    medicines = told(medicine("Amoxicillin", course="acute", status=status, authoredOn="2026-10-01"))["Medicines"]

    assert "Amoxicillin" in under(medicines, "Stopped or ended")
    assert "Courses (acute)" not in medicines


def test_sides_of_a_dose_conflict_show_what_differs_also_where_the_words_are_the_same() -> None:
    def prescribed(organisation: str, milligrams: int) -> Statement:
        dose = {"text": "As directed", "doseAndRate": [{"doseQuantity": {"value": milligrams, "unit": "mg"}}]}
        warfarin = code("48603004", "Warfarin")
        return said(
            "MedicationRequest",
            "warfarin",
            organisation,
            status="active",
            intent="order",
            medicationCodeableConcept=warfarin,
            dosageInstruction=[dose],
        )

    medicines = told(prescribed(GP, 3), prescribed(HOSPITAL, 4))["Medicines"]

    assert "DOSES DIFFER:" in medicines
    assert "3 mg" in medicines
    assert "4 mg" in medicines


def test_a_dose_that_the_newest_source_does_not_say_is_told_by_who_does() -> None:
    def prescribed(organisation: str, recorded: datetime, **dose: Any) -> Statement:
        warfarin = code("48603004", "Warfarin")
        elements = {"status": "active", "intent": "order", "medicationCodeableConcept": warfarin, **dose}
        return said("MedicationRequest", "warfarin", organisation, recorded=recorded, **elements)

    newest = prescribed(HOSPITAL, NOW)
    before = prescribed(GP, LONG_AGO, dosageInstruction=[{"text": "Take 3 mg"}])

    assert "Take 3 mg (by Harbour Street Surgery)" in told(newest, before)["Medicines"]


# Allergies


def test_an_allergy_without_a_status_is_active() -> None:
    assert "Nuts" in under(
        told(said("AllergyIntolerance", "nuts", code={"text": "Nuts"}))["Allergies and intolerances"], "Active"
    )


def test_a_resolved_allergy_is_shown_with_its_dates() -> None:
    abated = {
        "url": "http://hl7.org/fhir/StructureDefinition/allergyintolerance-abatement",
        "valueDateTime": "2021-06",
    }
    egg = said(
        "AllergyIntolerance",
        "egg",
        code={"text": "Egg"},
        clinicalStatus=term("allergyintolerance-clinical", "resolved"),
        onsetDateTime="2003",
        extension=[abated],
    )

    resolved = under(told(egg)["Allergies and intolerances"], "Inactive or resolved")

    for part in ("Egg", "Since 2003", "Ended Jun 2021"):
        assert part in resolved


def test_none_known_is_said_only_when_a_source_says_it() -> None:
    stated = summarise(known(nil_known("886921000000105")), NOW)

    allergies = sections(stated)["48765-2"]
    assert allergies["emptyReason"]["coding"][0]["code"] == "nilknown"
    assert "Harbour Street Surgery" in texts(stated)["Allergies and intolerances"]
    for other in ("10160-0", "11450-4"):
        assert sections(stated)[other]["emptyReason"]["coding"][0]["code"] == "unavailable"


def test_where_an_allergy_is_known_nil_known_is_no_reason_but_is_still_shown() -> None:
    nuts = said("AllergyIntolerance", "nuts", HOSPITAL, code={"text": "Nuts"})
    stated = summarise(known(nil_known("886921000000105"), nuts), NOW)

    assert "emptyReason" not in sections(stated)["48765-2"]
    shown = under(texts(stated)["Allergies and intolerances"], "None known, as stated")
    assert "Sources disagree: Nuts is recorded above (Vale Royal Hospital, sent 22 Nov 2026)" in shown


def test_a_list_that_names_nothing_does_not_disagree_with_a_statement_that_there_is_nothing() -> None:
    none_known = said("AllergyIntolerance", "none", code=code("716186003", "No known allergy"))

    shown = told(nil_known("886921000000105"), none_known)["Allergies and intolerances"]

    assert "None known (an empty list of allergies)" in under(shown, "None known, as stated")
    assert "Sources disagree" not in shown


def test_a_statement_that_there_is_no_allergy_is_an_entry_with_its_source() -> None:
    none_known = said("AllergyIntolerance", "none", code=code("716186003", "No known allergy"))
    summary = summarise(known(none_known), NOW)

    assert entries(sections(summary)["48765-2"]) == [none_known.shared_id]


# Problems


def test_active_problems_come_newest_first_and_resolved_ones_are_past_illness() -> None:
    active = term("condition-clinical", "active")
    old = said("Condition", "old", code={"text": "Asthma"}, clinicalStatus=active, onsetDateTime="2001")
    new = said("Condition", "new", code={"text": "Gout"}, clinicalStatus=active, onsetDateTime="2024-02")
    past = said("Condition", "past", code={"text": "Pneumonia"}, clinicalStatus=term("condition-clinical", "resolved"))

    summary = told(old, new, past)

    assert summary["Problems"].index("Gout") < summary["Problems"].index("Asthma")
    assert "Pneumonia" not in summary["Problems"]
    assert "Pneumonia" in summary["Past illness"]


# Results


def test_of_one_test_the_last_five_are_shown_and_it_is_said_that_more_is_held() -> None:
    every = [result(f"r{month}", f"2026-{month:02}-01") for month in range(6, 12)]
    every.append(result("other", "2026-06-02", test="Sodium"))

    results = told(*every)["Results"]

    assert "value r6" not in results
    assert all(f"value r{month}" in results for month in range(7, 12))
    assert "value other" in results
    assert "More is held: 1" in results


@pytest.mark.parametrize(
    ("day", "specialty", "shown"),
    [
        ("2026-05-23", "CH", True),
        ("2026-05-21", "CH", False),
        ("2025-11-23", "MB", True),
        ("2025-11-23", "VR", True),
        ("2025-11-20", "MB", False),
    ],
)
def test_results_count_for_six_months_and_those_of_microbiology_and_the_like_for_twelve(
    day: str, specialty: str, shown: bool
) -> None:
    category = [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0074", "code": specialty}]}]

    section = told(result("one", day) if specialty == "CH" else _of(category, day))["Results"]

    assert "value one" in section
    assert ("Older:" not in section) is shown


def _of(category: list[Any], day: str) -> Statement:
    return said(
        "Observation",
        "one",
        status="final",
        category=category,
        code={"text": "Culture"},
        effectiveDateTime=day,
        valueString="value one",
    )


def test_a_result_that_was_cancelled_is_none() -> None:
    section = told(said("Observation", "one", status="cancelled", code={"text": "HbA1c"}))["Results"]

    assert "1 that have no result: they were ordered or cancelled: HbA1c, cancelled, date not stated" in section


@pytest.mark.parametrize(
    ("limits", "shown"),
    [
        ({"low": {"value": 60, "unit": "mL/min"}}, "60 mL/min or more"),
        ({"high": {"value": 0.21, "unit": "10*9/L"}}, "0.21 10*9/L or less"),
        ({"low": {"value": 3.5}, "high": {"value": 5.3, "unit": "mmol/L"}}, "3.5 to 5.3 mmol/L"),
        ({"low": {"value": 3.5}, "text": "not in pregnancy"}, "not in pregnancy"),
        ({"low": {"value": 3.5}, "appliesTo": [{"text": "Women"}]}, "Women: 3.5 or more"),
    ],
)
def test_a_reference_range_with_one_limit_says_on_which_side_it_is(limits: dict[str, Any], shown: str) -> None:
    assert f"Reference range: {shown}" in told(measured(GP, referenceRange=[limits]))["Results"]


def test_a_value_or_dose_with_one_limit_says_on_which_side_it_is() -> None:
    value = said("Observation", "o", status="final", code={"text": "Leucocytes"}, valueRange={"low": {"value": 5}})
    dose = {"doseAndRate": [{"doseRange": {"high": {"value": 2, "unit": "tablet"}}}]}

    assert "5 or more" in told(value)["Results"]
    assert "2 tablets or less" in told(medicine("Codeine", dosageInstruction=[dose]))["Medicines"]


def test_a_dose_that_has_a_reason_to_be_taken_is_as_needed() -> None:
    dose = {"timing": {"repeat": {"frequency": 1, "period": 6, "periodUnit": "h"}}}
    reason = {"asNeededCodeableConcept": {"text": "Pain"}}

    section = told(medicine("Codeine", dosageInstruction=[dose | reason]))["Medicines"]

    assert "once every 6 hours, when required for Pain" in section


def undated(local_id: str) -> Statement:
    return said("Observation", local_id, status="final", code={"text": f"Result {local_id}"}, valueString="60 g/L")


def report_of(result: Statement, day: str) -> Statement:
    return said(
        "DiagnosticReport",
        f"report-{day}",
        status="final",
        code={"text": "Full blood count"},
        effectiveDateTime=day,
        result=[{"reference": f"Observation/{result.shared_id}"}],
    )


def test_a_result_without_a_date_has_the_date_of_its_report() -> None:
    old, recent, alone = undated("old"), undated("recent"), undated("alone")

    section = told(old, report_of(old, "2011-03-04"), recent, report_of(recent, "2026-11-01"), alone)["Results"]

    assert "Older: Result old 60 g/L (4 Mar 2011, the date of its report)." in section
    assert "1 Nov 2026" in section
    assert "Result recent60 g/L the date of its report" in section
    assert "Result alone\ndate not stated" in section
    assert "More is held" not in section, section


def test_a_procedure_or_immunisation_without_a_date_says_so() -> None:
    vaccine = said("Immunization", "i", status="completed", vaccineCode={"text": "MMR"})
    operation = said("Procedure", "p", status="completed", code={"text": "Hysterectomy"})
    sections_told = told(vaccine, operation)

    assert "MMR\ndate not stated" in sections_told["Immunisations"]
    assert "Hysterectomy\ndate not stated" in sections_told["Procedures"]


@pytest.mark.parametrize(
    ("resource_type", "elements", "section", "shown"),
    [
        ("Flag", {"status": "inactive"}, "Alerts", "No longer in force"),
        ("Flag", {"status": "active", "period": {"end": "2021-10-11"}}, "Alerts", "No longer in force"),
        ("CarePlan", {"status": "active", "period": {"end": "2017-06-01"}}, "Plan of care", "No longer in force"),
        ("Immunization", {"status": "not-done"}, "Immunisations", "Declined or not given"),
        ("Procedure", {"status": "not-done"}, "Procedures", "Declined or not done"),
        ("Device", {"status": "inactive", "patient": {}}, "Devices", "No longer in use"),
        ("Coverage", {"status": "active"}, "Also held", "Coverage: 1"),
        ("Specimen", {}, "Also held", "Specimen: 1"),
        ("List", {"status": "current", "title": "Care coordination"}, "Also held", "List: 1"),
    ],
)
def test_what_a_section_leaves_out_is_counted(
    resource_type: str, elements: dict[str, Any], section: str, shown: str
) -> None:
    assert shown in told(said(resource_type, "one", **elements))[section]


def test_lists_of_problems_and_message_headers_are_not_counted() -> None:
    problems = said("List", "l", status="current", code=code("717711000000103", "Problems"))

    assert "Also held" not in told(problems, said("MessageHeader", "m"))


def test_the_details_that_change_a_decision_are_shown() -> None:
    allergy = said("AllergyIntolerance", "a", code={"text": "Nuts"}, reaction=[{"note": [{"text": "Needed ITU"}]}])
    problem = said("Condition", "c", code={"text": "Cancer"}, stage=[{"summary": {"text": "III"}}])
    operation = said("Procedure", "p", code={"text": "Hernia repair"}, complication=[{"text": "Bleeding"}])
    sections_told = told(allergy, problem, operation)

    assert "Needed ITU" in sections_told["Allergies and intolerances"]
    assert "Stage: III" in sections_told["Problems"]
    assert "Complication: Bleeding" in sections_told["Procedures"]


def test_vital_signs_social_history_and_pregnancy_have_sections_of_their_own() -> None:
    summary = told(
        result("pulse", "2026-11-01", category="vital-signs", test="Heart rate"),
        result("smokes", "2011-11-01", category="social-history", test="Smoking"),
        said(
            "Observation",
            "due",
            status="final",
            code=code("11778-8", "Due date", "http://loinc.org"),
            valueDateTime="2027-01-02",
        ),
    )

    assert "value pulse" in summary["Vital signs"]
    assert "value smokes" in summary["Social history and other facts"]
    assert "2 Jan 2027" in summary["Pregnancy"]
    assert "Results" not in summary


def test_a_code_of_the_source_beside_that_of_fhir_does_not_make_an_active_problem_past() -> None:
    fhir = term("condition-clinical", "active")["coding"]
    both = said(
        "Condition",
        "both",
        code={"text": "Epilepsy"},
        clinicalStatus={"coding": [{"system": "urn:x", "code": "A"}, *fhir]},
    )

    summary = told(both)

    assert "Epilepsy" in summary["Problems"]
    assert "Past illness" not in summary


def test_an_allergy_that_is_refuted_by_the_second_coding_is_refuted() -> None:
    refuted = term("allergyintolerance-verification", "refuted")["coding"]
    both = said(
        "AllergyIntolerance",
        "both",
        code={"text": "Nuts"},
        verificationStatus={"coding": [{"system": "urn:x", "code": "R"}, *refuted]},
    )

    assert "Nuts" in under(told(both)["Allergies and intolerances"], "Ruled out")


# Immunisations


def test_an_immunisation_without_a_status_is_not_hidden() -> None:
    unstated = said("Immunization", "unstated", vaccineCode={"text": "MMR"}, occurrenceString="as a child")

    assert "MMR" in told(unstated)["Immunisations"]


def test_immunisations_that_were_given_come_before_those_that_were_not() -> None:
    given = said(
        "Immunization", "given", status="completed", vaccineCode={"text": "MMR"}, occurrenceDateTime="2001-02-03"
    )
    refused = said(
        "Immunization", "refused", status="not-done", vaccineCode={"text": "Flu"}, occurrenceDateTime="2025-10-01"
    )

    immunisations = told(given, refused)["Immunisations"]

    assert immunisations.index("MMR") < immunisations.index("Declined or not given") < immunisations.index("Flu")


# Alerts, plans and other content at the head of a summary


def flag(name: str, category: dict[str, Any], **elements: Any) -> Statement:
    return said(
        "Flag", name, **{"status": "active", "category": [category], "code": {"text": f"Flag {name}"}, **elements}
    )


RA = {"coding": [{"system": "https://fhir.nhs.uk/CodeSystem/flag-categories-bars", "code": "RA"}]}
SG = {"coding": [{"system": "https://fhir.nhs.uk/CodeSystem/flag-categories-bars", "code": "SG"}]}
RT = {"coding": [{"system": "https://fhir.nhs.uk/CodeSystem/flag-categories-bars", "code": "RT"}]}


def respect(name: str, decision: str, organisation: str = GP, **elements: Any) -> Statement:
    return said(
        "DocumentReference",
        name,
        organisation,
        **{
            "status": "current",
            "type": code("1382601000000107", "ReSPECT form"),
            "description": decision,
            "content": [{"attachment": {"title": "Form"}}],
            **elements,
        },
    )


def about_me() -> Statement:
    words = '<div xmlns="http://www.w3.org/1999/xhtml"><p>My dog <b>Bryn</b></p><script>x()</script></div>'
    return said(
        "Composition",
        "story",
        status="final",
        type=code("81338-6", "About Me", "http://loinc.org"),
        section=[{"title": "What matters to me", "text": {"status": "additional", "div": words}}],
    )


def test_the_persons_own_words_come_first_then_alerts_then_plans() -> None:
    nuts = said("AllergyIntolerance", "nuts", code={"text": "Nuts"})
    summary = summarise(known(nuts, flag("a", RA), respect("form", "CPR not recommended"), about_me()), NOW)

    assert list(sections(summary))[:4] == ["81338-6", "104605-1", "42348-3", "48765-2"]
    assert texts(summary)["About Me"].splitlines()[:2] == ["What matters to me", "My dog Bryn"]


def test_no_composition_but_its_own_is_in_the_document() -> None:
    assert summarise(known(about_me()), NOW).document.count(b'"resourceType":"Composition"') == 1


def test_alerts_come_in_the_order_of_what_they_change() -> None:
    summary = told(flag("a", RA), flag("b", SG), flag("c", RT), flag("d", {"text": "Other"}))

    assert re.findall("Flag [abcd]", summary["Alerts"]) == ["Flag b", "Flag a", "Flag d"]
    assert "Flag c" in summary["Plans for emergency care, and advance decisions"]


def test_an_alert_is_shown_until_its_period_ends() -> None:
    ends = flag("a", RA, period={"start": "2026-01-01", "end": "2026-11-24"})
    over = flag("b", RA, period={"end": "2026-11-01"})
    inactive = flag("c", RA, status="inactive")
    summary = summarise(known(ends, over, inactive), NOW)

    assert entries(sections(summary)["104605-1"]) == [ends.shared_id]
    assert summary.valid_until == datetime(2026, 11, 25, tzinfo=UTC)


def test_every_plan_is_shown_newest_first_and_none_is_hidden_by_another() -> None:
    old = respect("old", "CPR recommended", GP, date="2024-01-01T09:00:00Z")
    new = respect("new", "CPR not recommended", HOSPITAL, date="2026-01-01T09:00:00Z")

    plans = told(old, new)["Plans for emergency care, and advance decisions"]

    assert plans.index("CPR not recommended") < plans.index("CPR recommended")


def test_plans_that_disagree_head_the_summary() -> None:
    summary = summarise(
        known(respect("old", "CPR recommended", GP), respect("new", "CPR not recommended", HOSPITAL)), NOW
    )

    assert next(iter(sections(summary))) == "notices"
    notice = texts(summary)["Please note"]
    for part in ("Plans for emergency care disagree", "CPR recommended", "CPR not recommended"):
        assert part in notice


@pytest.mark.parametrize(
    ("kind", "elements"),
    [
        ("Goal", {"lifecycleStatus": "entered-in-error", "description": code("450476008", "Not for CPR")}),
        (
            "DocumentReference",
            {"status": "current", "docStatus": "entered-in-error", "type": code("1382601000000107", "ReSPECT form")},
        ),
    ],
)
def test_a_plan_that_was_entered_in_error_is_no_plan(kind: str, elements: dict[str, Any]) -> None:
    assert "Plans for emergency care, and advance decisions" not in told(said(kind, "wrong", **elements))


def test_a_decision_that_is_recorded_as_a_procedure_stands_once_it_was_made() -> None:
    made = said("Procedure", "made", status="completed", code=code("450476008", "Not for CPR"))

    plans = told(made)["Plans for emergency care, and advance decisions"]

    assert "Not for CPR" in under(plans, "In force")
    assert "More is held" not in plans


def test_what_a_modifier_extension_may_turn_round_says_so() -> None:
    negated = said(
        "AllergyIntolerance",
        "negated",
        code={"text": "Nuts"},
        modifierExtension=[{"url": "https://example.org/negated", "valueBoolean": True}],
    )

    assert "a modifier that OneStory does not know" in told(negated)["Allergies and intolerances"]


def test_what_has_no_section_is_counted() -> None:
    event = said("AdverseEvent", "event", actuality="actual", event={"text": "Fall on the ward"})
    letter = said("DocumentReference", "letter", status="current", type={"text": "Clinic letter"})
    plan = respect("plan", "For full treatment")

    also = told(event, letter, plan)["Also held"]

    assert "AdverseEvent: 1" in also
    assert "DocumentReference" not in also


def measured(organisation: str, **elements: Any) -> Statement:
    potassium = code("6298-4", "Potassium", "http://loinc.org")
    value = {"value": 6.9, "unit": "mmol/L"}
    when = "2026-11-01T10:00:00Z"
    return said(
        "Observation",
        "k",
        organisation,
        status="final",
        code=potassium,
        valueQuantity=value,
        effectiveDateTime=when,
        **elements,
    )


def test_what_the_laboratory_makes_of_a_result_is_shown_beside_a_copy_of_its_value() -> None:
    laboratory = measured(GP, interpretation=[{"text": "Critical"}], note=[{"text": "Telephoned"}])

    results = told(measured(HOSPITAL), laboratory)["Results"]

    assert results.count("Potassium") == 1
    assert "Critical" in results
    assert "Telephoned" in results


def test_of_two_severities_of_one_problem_none_hides_the_other() -> None:
    def asthma(organisation: str, severity: str) -> Statement:
        elements: dict[str, Any] = {"code": code("195967001", "Asthma"), "severity": {"text": severity}}
        return said("Condition", "asthma", organisation, onsetDateTime="2020-01-01", **elements)

    problems = told(asthma(GP, "Severe"), asthma(HOSPITAL, "Mild"))["Problems"]

    assert "Severity: Severe" in problems
    assert "Severity: Mild" in problems


def test_why_another_source_stopped_a_medicine_stands_beside_the_conflict() -> None:
    def prescribed(organisation: str, **elements: Any) -> Statement:
        warfarin = code("48603004", "Warfarin")
        elements = {"intent": "order", "authoredOn": "2026-06-01", **elements}
        return said("MedicationRequest", "w", organisation, medicationCodeableConcept=warfarin, **elements)

    stopped = prescribed(HOSPITAL, status="stopped", statusReason={"text": "Anaphylaxis"})

    medicines = told(prescribed(GP, status="active"), stopped)["Medicines"]
    assert "STOPPED by Vale Royal Hospital, 22 Nov 2026 (Anaphylaxis)." in medicines


def test_what_a_decision_refuses_is_told() -> None:
    refused = said(
        "Consent",
        "adrt",
        status="active",
        category=[code("816301000000100", "Has advance decision to refuse treatment")],
        provision={"type": "deny", "code": [{"text": "Blood transfusion"}]},
    )

    assert "deny: Blood transfusion" in told(refused)["Plans for emergency care, and advance decisions"]


def test_a_text_cannot_turn_round_the_direction_in_which_it_is_read() -> None:
    turned = said("Condition", "turned", code={"text": "\u202egm 5"})

    assert "\u202e" not in told(turned)["Problems"]


def test_a_time_is_shown_by_the_clock_of_the_uk() -> None:
    results = told(result("late", "2026-11-01T23:30:00Z"), result("later", "2026-06-30T23:30:00Z"))["Results"]

    assert "Kind1 Nov 20261 Jul 2026" in results
    assert "value late 23:30" in results
    assert "value later 00:30" in results


def test_a_plan_that_was_superseded_is_only_counted() -> None:
    plans = told(respect("old", "CPR recommended", status="superseded"))[
        "Plans for emergency care, and advance decisions"
    ]

    assert "CPR recommended" not in plans
    assert "No longer in force: ReSPECT form, superseded" in plans


def test_a_decision_that_is_coded_as_a_problem_is_among_the_plans() -> None:
    not_for_cpr = said("Condition", "dnacpr", code=code("450476008", "Not for attempted cardiopulmonary resuscitation"))

    summary = told(not_for_cpr)

    assert "Not for attempted" in summary["Plans for emergency care, and advance decisions"]
    assert "Not for attempted" not in summary["Problems"]


def test_a_crisis_plan_is_among_the_plans_and_its_resource_in_the_plan_of_care() -> None:
    crisis = said(
        "CarePlan",
        "crisis",
        status="active",
        intent="plan",
        category=[code("736253002", "Mental health crisis plan")],
        description="Call the line first.",
    )
    summary = summarise(known(crisis), NOW)

    assert "Call the line first." in texts(summary)["Plans for emergency care, and advance decisions"]
    assert entries(sections(summary)["18776-5"]) == [crisis.shared_id]


def test_a_plan_that_is_a_document_of_its_own_is_among_the_plans_in_its_own_words() -> None:
    div = '<div xmlns="http://www.w3.org/1999/xhtml"><p>CPR not recommended</p></div>'
    form = said(
        "Composition",
        "form",
        status="final",
        type=code("1382601000000107", "ReSPECT form"),
        title="ReSPECT",
        section=[{"title": "Decision", "text": {"status": "generated", "div": div}}],
    )

    assert "Decision: CPR not recommended" in told(form)["Plans for emergency care, and advance decisions"]


# Procedures, devices, assessments and referrals


def test_of_many_procedures_the_newest_fifty_are_shown_and_what_was_not_done_apart() -> None:
    done = [
        said(
            "Procedure",
            f"p{place}",
            status="completed",
            code={"text": f"Done-{place:02}"},
            performedDateTime=f"{1960 + place}",
        )
        for place in range(52)
    ]
    not_done = said("Procedure", "never", status="not-done", code={"text": "Never"}, performedDateTime="2026")

    procedures = told(*done, not_done)["Procedures"]

    assert "Done-51" in procedures
    assert "Done-02" in procedures
    assert "Done-01" not in procedures
    assert procedures.index("Declined or not done") < procedures.index("Never")
    assert "More is held: 2" in procedures


def test_what_was_done_a_hundred_times_does_not_hide_what_was_done_once() -> None:
    transplant = said("Procedure", "once", code={"text": "Transplant"}, status="completed", performedDateTime="2009-05")
    dialyses = [
        said(
            "Procedure", f"d{n:02}", code={"text": "Dialysis"}, status="completed", performedDateTime=f"20{n % 14 + 10}"
        )
        for n in range(100)
    ]

    procedures = told(transplant, *dialyses)["Procedures"]

    assert "Transplant" in procedures
    assert "More is held: 51 " in procedures


def test_many_past_illnesses_of_one_name_do_not_hide_another() -> None:
    resolved = term("condition-clinical", "resolved")
    cancer = said("Condition", "c", code={"text": "Cancer"}, clinicalStatus=resolved, onsetDateTime="2001")
    colds = [
        said("Condition", f"c{n}", code={"text": "Cold"}, clinicalStatus=resolved, onsetDateTime=f"20{n % 14 + 10}")
        for n in range(100)
    ]

    assert "Cancer" in told(cancer, *colds)["Past illness"]


def test_a_device_is_named_by_what_it_is_and_shown_while_it_is_used() -> None:
    pacemaker = said("Device", "pacemaker", deviceName=[{"name": "Azure S DR", "type": "model-name"}], patient={})
    used = said(
        "DeviceUseStatement",
        "use",
        status="active",
        timingDateTime="2020-02-03",
        device={"reference": f"Device/{pacemaker.shared_id}"},
    )
    removed = said(
        "DeviceUseStatement", "removed", status="active", timingPeriod={"end": "2020-01-01"}, device={"display": "Old"}
    )
    summary = summarise(known(pacemaker, used, removed), NOW)

    assert entries(sections(summary)["46264-8"]) == [used.shared_id]
    devices = texts(summary)["Devices"]
    assert devices.count("Azure S DR") == 1
    assert "No longer in use: Old" in devices


def test_a_device_of_which_nobody_says_that_it_is_used_is_told_of() -> None:
    assert (
        "Azure S DR"
        in told(said("Device", "d", deviceName=[{"name": "Azure S DR"}], patient={"display": "Amina"}))["Devices"]
    )


def test_a_clinical_assessment_has_a_section() -> None:
    seen = said(
        "ClinicalImpression",
        "seen",
        status="completed",
        code={"text": "Falls assessment"},
        summary="Walks with a frame",
    )

    assert "Walks with a frame" in told(seen)["Functional status and clinical assessments"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({"valueQuantity": {"value": 5.5, "comparator": "<", "unit": "mmol/L"}}, "< 5.5 mmol/L"),
        ({"valueRange": {"low": {"value": 1, "unit": "h"}, "high": {"value": 2, "unit": "h"}}}, "1 hour to 2 hours"),
        ({"valueRatio": {"numerator": {"value": 1}, "denominator": {"value": 128}}}, "1 / 128"),
        ({"valueBoolean": False}, "no"),
        ({"valueString": "1205-12"}, "1205-12"),
        ({"valueInteger": 7}, "7"),
        ({"valueCodeableConcept": {"text": "Positive"}}, "Positive"),
        ({"valuePeriod": {"start": "2026-01", "end": "2026-03-04"}}, "from Jan 2026 until 4 Mar 2026"),
        ({"dataAbsentReason": {"text": "Sample clotted"}}, "no value: Sample clotted"),
        (
            {"component": [{"code": {"text": "Systolic"}, "valueQuantity": {"value": 120, "unit": "mmHg"}}]},
            "Systolic: 120 mmHg",
        ),
    ],
)
def test_a_value_is_told_as_its_source_gives_it(value: dict[str, Any], shown: str) -> None:
    test: dict[str, Any] = {"code": {"text": "Test"}, "category": [code("laboratory", "Laboratory")]}
    observation = said("Observation", "o", status="final", effectiveDateTime="2026-11-01", **test, **value)

    assert shown in told(observation)["Results"]


@pytest.mark.parametrize(
    ("dosage", "shown"),
    [
        ({"text": "One at night"}, "One at night"),
        (
            {
                "doseAndRate": [{"doseQuantity": {"value": 2.50, "unit": "mg"}}],
                "timing": {"repeat": {"frequency": 2, "period": 1, "periodUnit": "d"}},
                "asNeededBoolean": True,
            },
            "2.5 mg, twice a day, when required",
        ),
        (
            {"doseAndRate": [{"doseRange": {"low": {"value": 1, "unit": "tablet"}, "high": {"value": 2}}}]},
            "1 tablet to 2",
        ),
        (
            {
                "text": "As directed",
                "doseAndRate": [{"doseQuantity": {"value": 10, "unit": "mg"}}],
                "timing": {"repeat": {"period": 1, "periodUnit": "wk", "dayOfWeek": ["mon"]}},
            },
            "As directed (10 mg, ONCE A WEEK, on Monday)",
        ),
        ({"timing": {"repeat": {"frequency": 1, "period": 1.0, "periodUnit": "d"}}}, "once a day"),
        (
            {
                "timing": {
                    "repeat": {"frequency": 1, "frequencyMax": 2, "period": 4, "periodMax": 6, "periodUnit": "h"}
                },
                "maxDosePerPeriod": {
                    "numerator": {"value": 4, "unit": "g"},
                    "denominator": {"value": 1, "unit": "day"},
                },
            },
            "1 to 2 times every 4 to 6 hours, at most 4 g in 1 day",
        ),
        (
            {
                "doseAndRate": [{"rateQuantity": {"value": 2, "unit": "L/min"}}],
                "timing": {"repeat": {"when": ["NIGHT"], "boundsDuration": {"value": 7, "unit": "days"}}},
                "additionalInstruction": [{"text": "with food"}],
            },
            "2 L/min, at night, for 7 days, with food",
        ),
        ({"text": "One at night", "patientInstruction": "Not with grapefruit"}, "One at night; Not with grapefruit"),
    ],
)
def test_a_dose_is_told_as_its_source_gives_it(dosage: dict[str, Any], shown: str) -> None:
    assert shown in told(medicine("Ramipril", dosageInstruction=[dosage]))["Medicines"]


def test_an_attorney_is_named_with_the_decision() -> None:
    daughter = said("RelatedPerson", "daughter", name=[{"given": ["Chidi"], "family": "Okafor"}], patient={})
    attorney = said(
        "Consent",
        "lpa",
        status="active",
        scope={"text": "Advance decision"},
        category=[code("816361000000101", "Has lasting power of attorney, personal welfare")],
        provision={
            "actor": [{"role": {"text": "Attorney"}, "reference": {"reference": f"RelatedPerson/{daughter.shared_id}"}}]
        },
    )
    summary = summarise(known(attorney, daughter), NOW)

    assert "Attorney: Chidi Okafor" in texts(summary)["Plans for emergency care, and advance decisions"]
    assert daughter.shared_id.encode() in summary.document


def referral(name: str, status: str, task: str, **elements: Any) -> list[Statement]:
    """A referral that was made here, and its Task."""
    request = said("ServiceRequest", name, status=status, code={"text": name}, authoredOn="2026-05-01", **elements)
    focus = {"reference": f"ServiceRequest/{request.shared_id}"}
    of_request = said("Task", f"task-of-{name}", status=task, focus=focus, lastModified="2026-05-02T09:00:00Z")
    return [replace(each, system=REFERRAL_SYSTEM) for each in (request, of_request)]


def test_referrals_that_are_open_stand_in_the_plan_of_care_with_how_far_they_are() -> None:
    nursing = referral("Nursing", "active", "accepted", priority="urgent", reasonCode=[{"text": "Leg ulcer"}])
    sections_told = told(*nursing, *referral("Physiotherapy", "on-hold", "on-hold"))

    plan = sections_told["Plan of care"]
    for words in ("Nursing", "Referral accepted", "urgent", "Leg ulcer", "Dated 1 May 2026", "Referral on-hold"):
        assert words in plan
    assert "Also held" not in sections_told


def test_advice_that_was_asked_for_is_told_apart_from_a_referral() -> None:
    category = [{"coding": [{"system": ADVICE_CATEGORY[0], "code": ADVICE_CATEGORY[1]}]}]

    plan = told(*referral("Dermatology", "active", "received", category=category))["Plan of care"]

    assert "Advice asked for" in plan
    assert "Request for advice received" in plan
    assert "Referr" not in plan


def test_of_several_tasks_the_one_that_changed_last_tells_how_far_a_referral_is() -> None:
    request, first = referral("Nursing", "active", "rejected")
    later = {**first.content, "status": "requested", "lastModified": "2026-05-03T09:00:00Z"}
    second = replace(first, shared_id="another", content=later)

    plan = told(request, second, first)["Plan of care"]

    assert "Referral requested" in plan
    assert "rejected" not in plan


@pytest.mark.parametrize(("status", "task"), [("draft", "draft"), ("revoked", "cancelled")])
def test_what_was_not_sent_or_has_ended_is_no_open_referral(status: str, task: str) -> None:
    sections_told = told(*referral("Nursing", status, task))

    assert "Plan of care" not in sections_told
    assert "ServiceRequest: 1" in sections_told["Also held"]
    assert "Task" not in sections_told["Also held"]


def test_a_request_that_somebody_published_is_no_referral() -> None:
    sections_told = told(said("ServiceRequest", "order", status="active", code={"text": "Full blood count"}))

    assert "Full blood count" in sections_told["Plan of care"]
    assert "Referred" not in sections_told["Plan of care"]

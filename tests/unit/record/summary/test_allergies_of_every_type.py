"""An allergy that any type of resource tells stands among the allergies, and warnings against medicines after them."""

from __future__ import annotations

import pytest
from tests.unit.record.summary.written import GP, HOSPITAL, Json, code, said, told

from onestory.record.merge.model import Statement

SECTION = "Allergies and intolerances"
NONE = "No allergies received"
WARNINGS = "Not allergies: medicines to avoid"
PENICILLIN = code("91936005", "Allergy to penicillin")


def shown(*statements: Statement) -> str:
    return told(*statements)[SECTION]


def concept(text: str) -> Json:
    return {"text": text}


@pytest.mark.parametrize(
    ("kind", "elements", "words"),
    [
        ("Procedure", {"status": "completed", "code": PENICILLIN}, "Allergy to penicillin"),
        ("ClinicalImpression", {"summary": "Anaphylaxis to co-amoxiclav. Given adrenaline."}, "Anaphylaxis to co-amox"),
        ("ClinicalImpression", {"summary": "Treated for anaphylaxis, cause unknown"}, "Treated for anaphylaxis"),
        (
            "ClinicalImpression",
            {"summary": "PMH asthma. Allergies: penicillin (rash)."},
            "Allergies: penicillin (rash)",
        ),
        ("ClinicalImpression", {"finding": [{"itemCodeableConcept": concept("Latex allergy")}]}, "Latex allergy"),
        ("DiagnosticReport", {"conclusion": "IgE mediated allergy to amoxicillin confirmed"}, "allergy to amoxicillin"),
        ("DocumentReference", {"description": "Letter: allergic to trimethoprim"}, "allergic to trimethoprim"),
        ("Communication", {"payload": [{"contentString": "Pt allergic to codeine"}]}, "Pt allergic to codeine"),
        ("CarePlan", {"title": "Peanut allergy plan", "status": "active"}, "Peanut allergy plan"),
        ("Encounter", {"reasonCode": [concept("Anaphylaxis due to prawns")]}, "Anaphylaxis due to prawns"),
        ("RiskAssessment", {"prediction": [{"outcome": concept("Anaphylaxis caused by wasp venom")}]}, "wasp venom"),
        ("ServiceRequest", {"reasonCode": [concept("Allergic reaction to ibuprofen")]}, "ibuprofen"),
        ("Immunization", {"statusReason": concept("Anaphylaxis to influenza vaccine")}, "influenza vaccine"),
        ("Appointment", {"comment": "Latex allergy, use theatre 2"}, "Latex allergy"),
        ("Condition", {"code": concept("Asthma"), "note": [{"text": "Allergic to cats"}]}, "Allergic to cats"),
        ("Procedure", {"code": concept("CT"), "note": [{"text": "Urticaria after IV contrast"}]}, "Urticaria after IV"),
        (
            "Composition",
            {"section": [{"title": "Allergies", "text": {"div": "<div><p>Septrin - collapse</p></div>"}}]},
            "Allergies: Septrin - collapse",
        ),
        (
            "MedicationStatement",
            {
                "status": "stopped",
                "medicationCodeableConcept": concept("Cefalexin 500mg capsules"),
                "statusReason": [concept("Allergic reaction - rash")],
            },
            "Cefalexin 500mg capsules: Allergic reaction - rash",
        ),
    ],
)
def test_an_allergy_in_any_type_is_listed(kind: str, elements: Json, words: str) -> None:
    text = shown(said(kind, "x", **elements))

    assert text.startswith("Active")
    assert words in text
    assert NONE not in text


def test_an_aside_stays_in_the_section_of_its_type() -> None:
    text = told(said("Condition", "c", code=concept("Asthma"), note=[{"text": "Allergic to cats"}]))

    assert "Asthma" in text["Problems"]


@pytest.mark.parametrize(
    ("kind", "elements"),
    [
        ("DocumentReference", {"description": "Allergy clinic letter"}),
        ("Procedure", {"status": "completed", "code": concept("Allergies reviewed")}),
        ("Procedure", {"status": "completed", "code": concept("Allergy testing")}),
        ("Procedure", {"status": "not-done", "code": concept("Penicillin allergy challenge")}),
        ("Communication", {"payload": [{"contentString": "Please update allergy status"}]}),
        ("ClinicalImpression", {"summary": "If allergic to penicillin give clarithromycin."}),
        ("ClinicalImpression", {"summary": "Reviewed. No new allergies."}),
        ("ClinicalImpression", {"summary": "Mother allergic to penicillin."}),
        ("ClinicalImpression", {"summary": "Rash likely viral, not due to amoxicillin."}),
        ("ClinicalImpression", {"summary": "No signs of anaphylaxis after amoxicillin."}),
        ("Immunization", {"note": [{"text": "No allergies, well today"}]}),
        ("AdverseEvent", {"event": concept("Fall from bed")}),
    ],
)
def test_words_that_name_no_allergy_of_the_person_list_none(kind: str, elements: Json) -> None:
    assert NONE in shown(said(kind, "x", **elements))


def test_answers_tell_of_allergies_by_their_question() -> None:
    def answered(*pairs: tuple[str, Json]) -> Statement:
        items = [{"linkId": str(place), "text": asked, "answer": [value]} for place, (asked, value) in enumerate(pairs)]
        return said("QuestionnaireResponse", "q", status="completed", item=items)

    assert "Active" in shown(answered(("Do you have any allergies?", {"valueString": "Plasters"})))
    assert "None known, as stated" in shown(answered(("Any known allergies?", {"valueBoolean": False})))
    assert "Ruled out" in shown(answered(("Are you allergic to latex?", {"valueBoolean": False})))
    assert NONE in shown(answered(("Does your mother have any allergies?", {"valueString": "Penicillin"})))
    details = shown(
        answered(("Any allergies?", {"valueBoolean": True}), ("Please give details", {"valueString": "Kiwi"}))
    )
    assert "Any allergies?: yes; Please give details: Kiwi" in details


def test_an_aside_stands_at_the_line_of_its_allergy() -> None:
    text = shown(
        said("AllergyIntolerance", "a", code=PENICILLIN),
        said("Communication", "m", HOSPITAL, status="completed", payload=[{"contentString": "allergic to penicillin"}]),
    )

    assert text.count("Active") == 1
    assert "Also: “allergic to penicillin” (told in a message, Vale Royal Hospital" in text
    assert "See also" not in text


def test_an_aside_with_a_more_dangerous_reaction_has_a_line_of_its_own() -> None:
    text = shown(
        said("AllergyIntolerance", "a", code=PENICILLIN),
        said("ClinicalImpression", "m", HOSPITAL, status="completed", summary="Anaphylaxis to penicillin"),
    )

    assert text.index("Anaphylaxis to penicillin") < text.index("Allergy to penicillin")


def test_an_assessment_that_rules_an_allergy_out_contradicts_it() -> None:
    text = shown(
        said("AllergyIntolerance", "a", code=PENICILLIN),
        said(
            "ClinicalImpression",
            "i",
            HOSPITAL,
            status="completed",
            summary="Penicillin allergy excluded, label removed",
        ),
    )

    assert "Vale Royal Hospital says it was ruled out (“Penicillin allergy excluded" in text


@pytest.mark.parametrize(
    "words",
    [
        "Avoid NSAIDs",
        "ACE inhibitors contraindicated",
        "No aspirin - previous GI bleed",
        "Not to have gentamicin",
        "Metoclopramide - avoid (dystonia)",
        "Do not prescribe opioids",
        "Refuses blood products",
    ],
)
def test_a_rule_not_to_give_something_stands_with_the_allergies_and_is_none(words: str) -> None:
    sections = told(said("Condition", "c", GP, code=concept(words)))

    assert sections[SECTION].startswith(WARNINGS)
    assert NONE in sections[SECTION]
    assert "Active" not in sections["Problems"]
    assert "Ruled out" not in sections["Problems"]


@pytest.mark.parametrize(
    "words", ["Malignant hyperthermia", "Suxamethonium apnoea", "G6PD deficiency", "Difficult airway"]
)
def test_a_condition_that_every_anaesthetist_must_know_stands_in_both_places(words: str) -> None:
    sections = told(said("Condition", "c", GP, code=concept(words)))

    assert sections[SECTION].startswith(WARNINGS)
    assert words in sections["Problems"]


def test_a_warning_is_no_conflict_with_none_known_and_stands_at_the_medicine() -> None:
    sections = told(
        said("Condition", "c", GP, code=concept("Avoid NSAIDs")),
        said("AllergyIntolerance", "n", HOSPITAL, code=code("409137002", "No known drug allergy")),
        said(
            "MedicationRequest",
            "m",
            GP,
            status="active",
            intent="order",
            medicationCodeableConcept=concept("Naproxen 500mg tablets"),
        ),
    )

    assert "disagree" not in sections[SECTION]
    assert "Warning recorded: Avoid NSAIDs" in sections["Medicines"]


@pytest.mark.parametrize(
    "words", ["No malignant hyperthermia", "Avoid stairs", "Not for resuscitation", "No fixed abode"]
)
def test_other_words_are_no_warning(words: str) -> None:
    assert WARNINGS not in shown(said("Condition", "c", GP, code=concept(words)))


def test_an_empty_list_says_why_and_its_note_counts() -> None:
    def listed(reason: str, *notes: str) -> Statement:
        lists = code("886921000000105", "Allergies and adverse reactions")
        empty = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/list-empty-reason", "code": reason}]}
        return said(
            "List", "l", status="current", code=lists, emptyReason=empty, note=[{"text": each} for each in notes]
        )

    assert "Allergies: not asked" in shown(listed("notasked"))
    assert shown(listed("unavailable", "Allergic to Septrin")).startswith("Active")
    assert "Active" not in shown(listed("nilknown", "Confirmed with patient"))


def test_a_problem_and_an_alert_stand_at_the_entry_of_the_same_allergy() -> None:
    statements = [
        said("AllergyIntolerance", "a", code=PENICILLIN),
        said("Condition", "c", HOSPITAL, code=concept("Penicillin allergy")),
        said("Flag", "f", HOSPITAL, status="active", code=concept("ALLERGY: penicillin")),
    ]
    sections = told(*statements)

    assert sections[SECTION].count("What") == 1
    assert "Also: “Penicillin allergy” (recorded as a problem, Vale Royal Hospital)" in sections[SECTION]
    assert "See also" not in sections[SECTION]
    assert "ALLERGY: penicillin" in sections["Alerts"]


def test_a_problem_that_is_contradicted_or_names_another_allergen_keeps_its_line() -> None:
    amoxicillin = shown(
        said("AllergyIntolerance", "a", code=PENICILLIN), said("Condition", "c", code=concept("Amoxicillin allergy"))
    )

    assert "Also:" not in amoxicillin
    assert "Amoxicillin allergyRecorded" in amoxicillin.replace("\n", "")


def test_an_entry_of_a_list_that_denies_is_no_allergy() -> None:
    lists = code("886921000000105", "Allergies and adverse reactions")
    text = shown(said("List", "l", status="current", code=lists, entry=[{"item": {"display": "No known allergies"}}]))

    assert text.startswith("None known, as stated")
    assert "Active" not in text


def test_a_word_after_a_medicine_that_forbids_something_else_is_no_warning() -> None:
    assert WARNINGS not in shown(said("Condition", "c", code=concept("Give paracetamol, avoid overheating")))
    assert WARNINGS not in shown(
        said("Condition", "c", code=concept("Malignant hyperthermia excluded by muscle biopsy"))
    )


@pytest.mark.parametrize("words", ["Allergies - nil known", "Drug allergy status: NKDA", "Allergies: none"])
def test_a_heading_with_a_denial_denies(words: str) -> None:
    assert shown(said("Condition", "c", code=concept(words))).startswith("None known, as stated")


def test_a_problem_with_a_rule_stays_a_problem() -> None:
    sections = told(said("Condition", "c", code=concept("Asthma - avoid beta-blockers")))

    assert "Asthma - avoid beta-blockers" in sections["Problems"]
    assert sections[SECTION].startswith(WARNINGS)


@pytest.mark.parametrize(
    "words", ["No IM injections - on warfarin", "No BP left arm - lymphoedema", "Avoid live vaccines"]
)
def test_a_rule_that_is_the_name_of_a_problem_is_not_ruled_out(words: str) -> None:
    sections = told(said("Condition", "c", code=concept(words)))

    assert words in sections[SECTION]
    assert "Ruled out" not in sections["Problems"]


def test_an_allergy_that_is_a_code_without_words_has_a_name() -> None:
    bare = {"coding": [{"system": "http://snomed.info/sct", "code": "294505008"}]}

    assert "Amoxicillin (code 294505008)" in shown(said("AllergyIntolerance", "a", code=bare))


def test_a_condition_to_know_of_counts_in_answers_and_letters() -> None:
    asked = {"linkId": "1", "text": "Any problems with anaesthetics?", "answer": [{"valueBoolean": True}]}
    letter = said("DocumentReference", "d", status="current", description="Anaesthetic alert: suxamethonium apnoea")

    assert shown(said("QuestionnaireResponse", "q", status="completed", item=[asked])).startswith(WARNINGS)
    assert shown(letter).startswith(WARNINGS)


def ordered(name: str) -> Statement:
    return said(
        "MedicationRequest", "m", HOSPITAL, status="active", intent="order", medicationCodeableConcept=concept(name)
    )


def test_what_was_given_instead_or_tolerated_is_no_allergen() -> None:
    note = said(
        "MedicationRequest",
        "m",
        status="active",
        intent="order",
        medicationCodeableConcept=concept("Clarithromycin 500mg tablets"),
        note=[{"text": "Allergic to penicillin so clarithromycin given"}],
    )
    tolerates = said("AllergyIntolerance", "a", code=concept("Penicillin - tolerates cefalexin"))

    assert "Allergy recorded" not in told(note)["Medicines"]
    assert "Allergy recorded" not in told(tolerates, ordered("Cefalexin 500mg capsules"))["Medicines"]


def test_the_note_of_an_adverse_reaction_names_its_drug() -> None:
    reaction = said(
        "Condition",
        "c",
        code=code("62014003", "Adverse reaction to drug"),
        note=[{"text": "ramipril - angioedema 2019"}],
    )

    assert "Allergy recorded: Adverse reaction to drug" in told(reaction, ordered("Ramipril 5mg capsules"))["Medicines"]


@pytest.mark.parametrize("words", ["Flucloxacillin-induced hepatitis", "Cholestatic jaundice due to flucloxacillin"])
def test_a_serious_illness_that_a_medicine_caused_is_a_warning_and_a_problem(words: str) -> None:
    sections = told(said("Condition", "c", code=concept(words)), ordered("Flucloxacillin 500mg capsules"))

    assert sections[SECTION].startswith(WARNINGS)
    assert words in sections["Problems"]
    assert f"Warning recorded: {words}" in sections["Medicines"]


def test_a_slip_of_the_pen_still_meets_the_medicine() -> None:
    assert (
        "Allergy recorded: pencillin"
        in told(said("AllergyIntolerance", "a", code=concept("pencillin")), ordered("Amoxicillin 500mg capsules"))[
            "Medicines"
        ]
    )


def test_a_long_text_as_a_name_is_read_sentence_by_sentence_and_stays_a_problem() -> None:
    filler = "No change of the treatment is needed now. " * 5
    long_text = f"Seen in clinic with pain. {filler} Allergic to penicillin. Review in May."
    sections = told(said("Condition", "c", code=concept(long_text)))

    assert "Allergic to penicillinRecorded" in sections[SECTION].replace("\t", "")
    assert "Seen in clinic" not in sections[SECTION]
    assert "Seen in clinic" in sections["Problems"]


def test_a_note_on_a_vaccination_names_the_vaccine() -> None:
    given = said(
        "Immunization",
        "i",
        status="completed",
        vaccineCode=concept("COVID-19 vaccine"),
        occurrenceDateTime="2021-02-02",
        note=[{"text": "Anaphylaxis after dose"}],
    )

    assert "COVID-19 vaccine: Anaphylaxis after dose" in shown(given)


def test_a_task_to_check_an_allergy_is_not_sure() -> None:
    assert "Not confirmed" in shown(
        said("Task", "t", status="requested", description="Check penicillin allergy with GP")
    )


def test_an_alert_in_the_category_of_allergies_names_the_allergen() -> None:
    assert "Bananas" in shown(
        said("Flag", "f", status="active", code=concept("Bananas"), category=[concept("Allergy")])
    )


def test_a_part_that_is_named_allergen_is_one() -> None:
    def observed(value: str) -> Statement:
        parts = [
            {"code": concept("Allergen"), "valueString": value},
            {"code": concept("Reaction"), "valueString": "Rash"},
        ]
        return said("Observation", "o", status="final", code=concept("Allergy assessment"), component=parts)

    assert shown(observed("Penicillin")).startswith("Active")
    assert shown(observed("None")).startswith("None known")


def test_what_anaesthetists_must_know_of_a_relative_is_a_warning_and_a_relatives_allergy_is_none() -> None:
    def history(words: str) -> Statement:
        illness = {"code": concept(words)}
        return said("FamilyMemberHistory", "f", relationship=concept("Brother"), condition=[illness])

    assert "Family history, Brother: Malignant hyperthermia" in shown(history("Malignant hyperthermia"))
    assert NONE in shown(history("Penicillin allergy"))

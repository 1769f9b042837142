"""The page keeps its order, repeats nothing, compares doses line by line, and tells a copy for the person apart."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from tests.unit.record.summary.written import GP, HOSPITAL, NOW, known, said, term, told

from onestory.record.merge.model import Statement
from onestory.record.summary.document import summarise
from onestory.record.summary.narrative import plain_text
from onestory.record.summary.page import summary_page
from onestory.record.summary.person_copy import copy_for_person

ACTIVE = term("condition-clinical", "active")
WEIGHT: dict[str, Any] = {"code": {"text": "Body weight"}, "category": [{"coding": [{"code": "vital-signs"}]}]}


def jab(place: str, day: str, vaccine: str = "Influenza vaccine", **more: Any) -> Statement:
    return said("Immunization", place, vaccineCode={"text": vaccine}, occurrenceDateTime=day, **more)


def letter() -> Statement:
    return said("DocumentReference", "letter", status="current", description="Letter", date="2026-11-20T10:00:00Z")


def no_resuscitation() -> Statement:
    code = {"coding": [{"system": "http://snomed.info/sct", "code": "450476008"}], "text": "Not for resuscitation"}
    return said("Condition", "dnacpr", clinicalStatus=ACTIVE, code=code)


def test_the_order_stays_where_a_plan_stands_elsewhere() -> None:
    weight = said(
        "Observation", "w", effectiveDateTime="2026-11-20", valueQuantity={"value": 80, "unit": "kg"}, **WEIGHT
    )
    sections = list(told(no_resuscitation(), letter(), weight))

    assert sections.index("Last letters and documents") < sections.index("Vital signs")


def test_a_usual_status_is_not_told_and_an_unusual_one_is() -> None:
    plans = told(no_resuscitation())["Plans for emergency care, and advance decisions"]
    paused = said("Procedure", "p", status="on-hold", code={"text": "Dialysis"})

    assert "active" not in plans
    assert "On hold" in told(paused)["Procedures"]


def test_vaccinations_that_differ_in_their_day_only_are_one_line() -> None:
    shown = told(jab("a", "2026-10-04"), jab("b", "2025-10-04"), jab("c", "2024-10-04", lotNumber="X1"))[
        "Immunisations"
    ]

    assert "4 Oct 2026; 4 Oct 2025" in shown
    assert shown.count("Influenza vaccine") == 2
    assert "Batch X1" in shown
    assert "More is held" not in shown


def test_doses_that_differ_stand_one_below_the_other_in_the_notice() -> None:
    weekly = {"text": "4 tablets ONCE A WEEK"}
    daily = {"text": "4 tablets once a day"}
    code = {"coding": [{"system": "http://snomed.info/sct", "code": "326874007"}], "text": "Methotrexate 2.5mg tablets"}
    common: dict[str, Any] = {"status": "active", "intent": "order", "medicationCodeableConcept": code}
    one = said("MedicationRequest", "a", authoredOn="2026-09-14", dosageInstruction=[weekly], **common)
    other = said("MedicationRequest", "b", HOSPITAL, authoredOn="2026-11-20", dosageInstruction=[daily], **common)
    page = summary_page(summarise(known(one, other), NOW).document).decode()
    notice = page.partition('id="s-notices"')[2].partition("</section>")[0]

    assert notice.index("Methotrexate") < notice.index("DOSES DIFFER:")
    dated = (
        r"br\"></span>Harbour Street Surgery, <span class=\"whole\">14 Sep 2026</span>: <strong>4 tablets ONCE A WEEK"
    )
    assert re.search(dated, notice)


def test_the_page_links_to_the_copy_for_the_person_and_the_copy_says_what_it_is() -> None:
    asthma = said("Condition", "asthma", clinicalStatus=ACTIVE, code={"text": "Asthma"})
    whole = summary_page(summarise(known(asthma), NOW).document, links_to_copy=True).decode()
    copy = summary_page(summarise(copy_for_person(known(asthma)), NOW).document).decode()

    assert '<a href="?copy=person">' in whole
    assert ".copy{display:none}" in whole.partition("@media print")[2]
    assert "href" not in copy
    assert "<h1>Patient summary: copy for the person</h1>" in copy
    assert '@bottom-left{content:"Copy for the person' in copy
    assert "Copy for the person\\" not in whole


def test_a_grid_keeps_its_heads_on_paper_and_on_a_phone() -> None:
    weight = said(
        "Observation", "w", effectiveDateTime="2026-11-20", valueQuantity={"value": 80, "unit": "kg"}, **WEIGHT
    )
    page = summary_page(summarise(known(weight), NOW).document).decode()

    assert '<table class="grid">' in page
    assert '<th scope="col"><span class="whole">20 Nov 2026</span></th>' in page
    assert '<thead class="said"' not in page.partition('<table class="grid">')[2].partition("</table>")[0]


def test_heads_that_say_nothing_are_not_seen_and_those_of_medicines_are_once() -> None:
    def medicine(place: str, text: str, status: str) -> Statement:
        return said(
            "MedicationRequest",
            place,
            status=status,
            intent="order",
            authoredOn="2026-11-01",
            medicationCodeableConcept={"text": text},
        )

    asthma = said("Condition", "asthma", clinicalStatus=ACTIVE, code={"text": "Asthma"})
    statements = (asthma, medicine("a", "Ramipril", "active"), medicine("b", "Codeine", "stopped"))
    page = summary_page(summarise(known(*statements), NOW).document).decode()
    heads = re.findall(r"<caption[^>]*>([^<]*)</caption><thead( class=\"said\")?>", page)

    assert {caption: bool(hidden) for caption, hidden in heads} == {
        "Regular": False,
        "Stopped or ended, or not taken": True,
        "Active": True,
    }
    assert ".said,.said th{display:none}" in page.partition("@media print")[2]


def test_the_first_caption_of_a_section_stands_in_its_heading() -> None:
    asthma = said("Condition", "asthma", clinicalStatus=ACTIVE, code={"text": "Asthma"})
    page = summary_page(summarise(known(asthma), NOW).document).decode()

    assert 'Problems<span aria-hidden="true">: active</span></h2>' in page
    assert '<caption class="said">Active</caption>' in page


def test_no_line_ends_inside_a_date_or_between_a_result_and_its_unit() -> None:
    weight = said(
        "Observation", "w", effectiveDateTime="2026-11-20", valueQuantity={"value": 80, "unit": "kg"}, **WEIGHT
    )
    asthma = said("Condition", "a", clinicalStatus=ACTIVE, code={"text": "Asthma"}, onsetDateTime="2001-02-03")
    page = summary_page(summarise(known(weight, asthma), NOW).document).decode()

    assert '<span class="whole">3 Feb 2001</span>' in page
    assert '<span class="whole">80 kg</span>' in page
    assert ".whole{white-space:nowrap}" in page


def test_a_join_is_an_asterisk_on_paper_that_the_foot_explains() -> None:
    code = {"coding": [{"system": "http://snomed.info/sct", "code": "195967001"}], "text": "Asthma"}
    asthma = [
        said("Condition", place, organisation, clinicalStatus=ACTIVE, code=code)
        for place, organisation in (("a", GP), ("b", HOSPITAL))
    ]
    joined = summary_page(summarise(known(*asthma), NOW).document).decode()
    alone = summary_page(summarise(known(asthma[0]), NOW).document).decode()

    assert 'details class="evidence matched"' in joined
    assert "look at the record again\\00002E  \\00002A  matched by computer" in joined
    assert "matched by computer" not in alone


def test_a_stop_stands_before_the_dose_that_it_stops() -> None:
    def ramipril(place: str, organisation: str, status: str) -> Statement:
        return said(
            "MedicationRequest",
            place,
            organisation,
            status=status,
            intent="order",
            authoredOn="2026-11-01",
            medicationCodeableConcept={"text": "Ramipril"},
            dosageInstruction=[{"text": "One at night"}],
        )

    shown = told(ramipril("a", GP, "active"), ramipril("b", HOSPITAL, "stopped"))["Medicines"]

    assert shown.index("STOPPED by") < shown.index("One at night")


def test_a_kind_that_the_name_says_already_is_not_repeated() -> None:
    flag = said(
        "Flag",
        "f",
        status="active",
        code={"text": "Adult safeguarding concern"},
        category=[{"text": "Safeguarding"}, {"text": "Social care"}],
    )
    lines = told(flag)["Alerts"].split("\n")

    assert "Safeguarding" not in lines
    assert "Social care" in lines


def test_the_line_that_goes_on_does_not_repeat_itself_below_a_stop() -> None:
    def ramipril(place: str, organisation: str, status: str, name: str) -> Statement:
        return said(
            "MedicationRequest",
            place,
            organisation,
            status=status,
            intent="order",
            authoredOn="2026-11-01",
            medicationCodeableConcept={"text": name},
            dosageInstruction=[{"text": "One a day"}],
        )

    going_on = ramipril("a", GP, "active", "Ramipril 5mg capsules")
    shown = told(going_on, ramipril("b", HOSPITAL, "stopped", "Ramipril"))

    assert shown["Medicines"].count("STOPPED by") == 2
    assert shown["Medicines"].count("Still on the list of") == 1
    assert "Still on the list of Harbour Street Surgery" in shown["Please note"]


def test_a_plan_tells_its_day_once() -> None:
    plan = said("CarePlan", "p", status="active", intent="plan", title="Care", period={"start": "2026-10-01"})

    assert told(plan)["Plan of care"].count("1 Oct 2026") == 1


def furosemide(place: str, organisation: str, dose: str, day: str) -> Statement:
    code = {"coding": [{"system": "http://snomed.info/sct", "code": "317972001"}], "text": "Furosemide 40mg tablets"}
    return said(
        "MedicationRequest",
        place,
        organisation,
        status="active",
        intent="order",
        authoredOn=day,
        medicationCodeableConcept={"text": code["text"]} if place == "other" else code,
        dosageInstruction=[{"text": dose}],
    )


def test_a_conflict_of_doses_is_told_once_among_the_medicines() -> None:
    shown = told(
        furosemide("one", GP, "One Each Morning", "2026-10-01"),
        furosemide("other", HOSPITAL, "80 mg OM", "2026-11-18"),
    )["Medicines"]

    assert shown.count("DOSES DIFFER:") == 1
    assert shown.count("DOSES DIFFER, see above: One Each Morning") == 1
    assert shown.count("80 mg every morning") == 1


def test_how_to_read_lines_together_comes_after_the_dose() -> None:
    shown = told(
        furosemide("one", GP, "One Each Morning", "2026-10-01"),
        furosemide("other", HOSPITAL, "40 mg OM", "2026-11-18"),
    )["Medicines"]

    assert shown.index("40 mg every morning") < shown.index("not two medicines to give")


def test_the_note_that_is_the_reason_of_an_order_not_to_give_is_told_once() -> None:
    order = said(
        "MedicationRequest",
        "k",
        status="active",
        intent="order",
        doNotPerform=True,
        medicationCodeableConcept={"text": "Phytomenadione"},
        note=[{"text": "Parents declined vitamin K"}],
    )

    assert told(order)["Medicines"].count("Parents declined vitamin K") == 1


def test_a_supply_of_a_paused_medicine_says_so() -> None:
    code = {"text": "Methadone 1mg/ml oral solution"}
    paused = said(
        "MedicationRequest", "p", HOSPITAL, status="on-hold", intent="order", medicationCodeableConcept=code,
        authoredOn="2026-11-02", dosageInstruction=[{"text": "60 ml once a day"}],
    )  # fmt: skip
    supply = said(
        "MedicationDispense", "s", GP, status="completed", medicationCodeableConcept=code,
        whenHandedOver="2026-11-20T10:00:00Z", dosageInstruction=[{"text": "50 ml once a day"}],
    )  # fmt: skip
    supplied = told(paused, supply)["Medicines"].partition("Supplied or given")[2].partition("Paused\n")[0]

    assert "PAUSED: see “Paused”." in supplied


def test_alerts_that_stand_among_the_plans_come_right_after_them() -> None:
    flag = said("Flag", "f", status="active", code={"text": "Not for attempted cardiopulmonary resuscitation"})
    shown = told(flag, said("Condition", "a", clinicalStatus=ACTIVE, code={"text": "Asthma"}))

    assert shown["Alerts"] == "1 more stands in the plans or alerts above."
    assert list(shown).index("Alerts") == list(shown).index("Plans for emergency care, and advance decisions") + 1


def test_a_team_that_a_contact_tells_of_in_full_is_not_told_again() -> None:
    def team(*more: dict[str, Any]) -> Statement:
        worker = {"role": [{"text": "Key worker"}], "member": {"display": "Nurse Joy Adeyemi"}}
        phone = {"system": "phone", "value": "01632 555001"}
        return said(
            "CareTeam", "t", status="active", name="District nursing", telecom=[phone], participant=[worker, *more]
        )

    physiotherapist = {"role": [{"text": "Physiotherapist"}], "member": {"display": "Tom Lee"}}

    assert told(team())["Contacts and teams"].count("District nursing") == 1
    assert "Tom Lee" in told(team(physiotherapist))["Contacts and teams"]


def test_the_page_says_what_the_document_says() -> None:
    asthma = said("Condition", "a", clinicalStatus=ACTIVE, code={"text": "Asthma"}, onsetDateTime="2001-02-03")
    document = summarise(known(asthma, letter(), furosemide("one", GP, "One Each Morning", "2026-10-01")), NOW).document
    page = plain_text(summary_page(document).decode().partition("<main>")[2])

    for part in json.loads(document)["entry"][0]["resource"]["section"]:
        for line in plain_text(part["text"]["div"]).split("\n"):
            assert line in page.split("\n"), line


def test_what_a_note_stops_is_read_after_the_dose_of_its_own_medicine() -> None:
    def medicine(place: str, organisation: str, name: str, **more: Any) -> Statement:
        return said(
            "MedicationRequest",
            place,
            organisation,
            status="active",
            intent="order",
            authoredOn="2026-11-10",
            medicationCodeableConcept={"text": name},
            dosageInstruction=[{"text": f"{name.split()[0]} at night"}],
            **more,
        )

    note = [{"text": "Changed from rivaroxaban - STOP rivaroxaban"}]
    shown = told(
        medicine("a", GP, "Rivaroxaban 20mg tablets"), medicine("b", HOSPITAL, "Edoxaban 60mg tablets", note=note)
    )["Medicines"]

    assert shown.index("Edoxaban at night") < shown.index("Stops another medicine?")
    assert shown.index("Stopped by a note?") < shown.index("Rivaroxaban at night")


@pytest.mark.parametrize(
    ("own", "words"),
    [
        ("ASTHMA", None),
        ("Asthma (PMH)", ", as “… (PMH)”"),
        ("ASTHMA (patient reported)", ", as “… (patient reported)”"),
        ("Asthmatic bronchitis", ", as “Asthmatic bronchitis”"),
        ("Bronchial asthma", ", as “Bronchial asthma”"),
    ],
)
def test_a_source_that_only_adds_to_a_name_shows_what_it_adds(own: str, words: str | None) -> None:
    def asthma(place: str, organisation: str, name: str, day: str) -> Statement:
        code = {"coding": [{"system": "http://snomed.info/sct", "code": "195967001"}], "text": name}
        return said("Condition", place, organisation, clinicalStatus=ACTIVE, code=code, recordedDate=day)

    shown = told(asthma("a", GP, "Asthma", "2026-11-20"), asthma("b", HOSPITAL, own, "2020-01-01"))["Problems"]

    assert shown.count("matched by computer") == 1
    assert (words in shown) if words else (", as “" not in shown)


def test_a_caption_that_says_what_its_lines_are_not_stays_above_them() -> None:
    warning = said("Flag", "w", status="active", code={"text": "Avoid NSAIDs"})
    page = summary_page(summarise(known(warning), NOW).document).decode()

    assert "Allergies and intolerances</h2>" in page
    assert "<caption>Not allergies: medicines to avoid" in page

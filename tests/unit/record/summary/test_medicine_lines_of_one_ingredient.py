"""Lines of one ingredient say how they belong together, and which of them a note, a stop or a dose is about."""

from __future__ import annotations

from typing import Any

from tests.clinical_cases import needs_clinical_cases, shown_case
from tests.unit.record.summary.written import GP, HOSPITAL, said, told

NOT_TWO = "not two medicines to give"


def ordered(local_id: str, organisation: str, name: str, words: str = "", **more: Any) -> Any:
    stated = {"status": "active", "intent": "order", "authoredOn": "2026-11-01", **more}
    if words:
        stated["dosageInstruction"] = [{"text": words}]
    return said("MedicationRequest", local_id, organisation, medicationCodeableConcept={"text": name}, **stated)


def test_a_note_that_stops_another_medicine_does_not_stop_its_own() -> None:
    note = [{"text": "Lithium withheld, level 1.8"}]
    furosemide = ordered("f", HOSPITAL, "Furosemide 40mg tablets", "One daily", note=note)
    lithium = ordered("l", GP, "Priadel 400mg modified-release tablets", "Two at night", note=[{"text": "Shared care"}])
    shown = told(furosemide, lithium)
    own_line = shown["Medicines"].split("Priadel")[0]
    assert shown["Please note"].startswith("Priadel 400mg modified-release tablets: Stopped by a note?")
    assert "Stopped by a note?" not in own_line
    assert "Stops another medicine?" in own_line


@needs_clinical_cases
def test_a_stop_with_a_note_on_its_class_is_told_once() -> None:
    assert shown_case("3")["Please note"].count("20 Nov 2026") == 1


@needs_clinical_cases
def test_two_strengths_of_one_source_and_a_third_entry_may_both_be_meant() -> None:
    assert NOT_TWO not in shown_case("8")["Medicines"]


def test_two_products_of_one_source_are_read_together() -> None:
    brand = ordered("a", GP, "Elantan 20mg tablets", "One twice a day")
    generic = ordered("b", GP, "Isosorbide mononitrate 20mg tablets", "One at noon")
    assert NOT_TWO not in told(brand, generic)["Medicines"]


def test_another_route_is_asked_about() -> None:
    patch = ordered("a", HOSPITAL, "Rivastigmine 4.6mg/24hours transdermal patches", "Apply one daily")
    capsule = ordered("b", GP, "Rivastigmine 3mg capsules", "One twice a day")
    assert "Same medicine by several routes" in told(patch, capsule)["Medicines"]


def test_patches_of_two_strengths_differ_in_dose_and_are_named() -> None:
    weaker = ordered("a", GP, "Fentanyl 25micrograms/hour transdermal patches", "One every 72 hours")
    stronger = ordered("b", HOSPITAL, "Fentanyl 50micrograms/hour transdermal patches", "One every 72 hours")
    notice = told(weaker, stronger)["Please note"]
    assert "DOSES DIFFER" in notice
    assert "Fentanyl 25micrograms/hour transdermal patches: One every 72 hours" in notice


def test_a_product_that_two_sources_name_in_words_has_a_hint() -> None:
    names = [
        ordered(str(n), source, "Methotrexate 2.5mg tablets", "Six weekly") for n, source in ((1, GP), (2, HOSPITAL))
    ]
    assert NOT_TWO in told(*names)["Medicines"]


def test_an_order_that_was_cancelled_and_written_again_is_no_stop() -> None:
    listed = ordered("a", GP, "Amlodipine 10mg tablets", "One daily")
    again = [
        ordered(f"b{n}", HOSPITAL, "Amlodipine 10mg tablets", status=s) for n, s in enumerate(("cancelled", "active"))
    ]
    assert "Please note" not in told(listed, *again)
    assert "CANCELLED" in told(listed, again[0])["Please note"]


def test_a_depot_that_was_refused_is_not_given() -> None:
    refused = said(
        "MedicationAdministration",
        "d",
        HOSPITAL,
        status="not-done",
        statusReason=[{"text": "Refused"}],
        medicationCodeableConcept={"text": "Zuclopenthixol decanoate 200mg/1ml solution for injection ampoules"},
        effectiveDateTime="2026-11-03",
    )
    medicines = told(refused)["Medicines"]
    assert "NOT GIVEN on 3 Nov 2026" in medicines
    assert "Not given" in medicines


def test_a_statement_that_is_on_hold_is_not_reported_as_taken() -> None:
    paused = said("MedicationStatement", "p", status="on-hold", medicationCodeableConcept={"text": "Apixaban"})
    assert "Reported as taken" not in told(paused)["Medicines"]

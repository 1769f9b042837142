"""A medicine whose own words stop or pause it does not go on, although its status is active."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.unit.record.summary.medicines import listed, order, use
from tests.unit.record.summary.written import GP, HOSPITAL, NOW, told

from onestory.record.medicines.own_stops import own_stop, stated_status

NAME = "Bisoprolol 2.5mg tablets"


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ("STOPPED 12/11/26 - dizzy", "stopped"),
        ("Discontinued on admission - AKI", "stopped"),
        ("2.5 mg OD. Stopped 20/11", "stopped"),
        ("DO NOT TAKE", "stopped"),
        ("Patient has stopped taking", "not-taken"),
        ("Not taking - stopped herself 3 weeks ago", "not-taken"),
        ("Bisoprolol was discontinued by the GP", "stopped"),
        ("WITHHELD - INR 8.2", "on-hold"),
        ("10 mg OD. WITHHELD until renal review", "on-hold"),
        ("Stopped for surgery, restart 3 Dec", "on-hold"),
        ("Hold", "on-hold"),
        ("D/C'd 24/11 - hyponatraemia", "stopped"),
        ("W/H - K+ 6.1", "on-hold"),
        ("STOP TAKING this medicine", "stopped"),
        ("Do not take until your clinic appointment", "on-hold"),
        ("Course completed 14 Nov", "completed"),
        ("HOLD BISOPROLOL - heart rate 38", "on-hold"),
        ("Not currently taking", "not-taken"),
        ("Hasn't been taking this for 2 months", "not-taken"),
        ("Not for continuation by GP", "active"),
    ],
)
def test_directions_stop_or_pause_their_own_medicine(words: str, status: str) -> None:
    assert stated_status(use("a", HOSPITAL, NAME, words).content) == status


@pytest.mark.parametrize(
    "words",
    [
        "One twice a day. Stop if diarrhoea or vomiting",
        "One daily, stop on 14 Dec 2026",
        "Stop 3 days before surgery",
        "Withhold if systolic below 100",
        "Do not take with grapefruit juice",
        "One daily. Do not stop suddenly",
        "Stopped 2019, restarted 2020. One daily",
        "Hold breath for 10 seconds after each puff",
        "Not taking regularly",
        "Start this. STOPPED WARFARIN",
        "One daily when aspirin stopped",
        "Do not take until 2 hours after antacids",
        "Omitted 29/11 NBM for theatre",
        "Completed 3 of 6 cycles",
        "Withheld 2 doses",
        "Stopped for 3 days in October, then carried on",
        "Supply discontinued by manufacturer, use alternative",
        "Stopped in 2019 for 6 months due to rash",
        "Stopped 3/4/19, rash",
        "Stopped before 2020, tolerates now",
    ],
)
def test_conditions_and_other_medicines_do_not_stop_it(words: str) -> None:
    assert own_stop(use("a", HOSPITAL, NAME, words, note=[{"text": words}]).content) is None


@pytest.mark.parametrize(
    ("note", "stops"),
    [
        ("Stopped by cardiology clinic 20/11/2026", True),
        ("Bisoprolol stopped - bradycardia", True),
        ("Stopped smoking last year", False),
        ("Stopped on admission: ramipril", False),
        ("Aspirin stopped by GP", False),
        ("Capsules stopped (nausea)", False),
    ],
)
def test_a_note_stops_its_own_medicine_only_if_it_is_about_it(note: str, *, stops: bool) -> None:
    assert (own_stop(use("a", HOSPITAL, NAME, note=[{"text": note}]).content) is not None) is stops


@pytest.mark.parametrize(
    ("name", "stops"),
    [
        ("Naproxen 500mg tablets - STOPPED (GI bleed)", True),
        ("STOPPED: Naproxen 500mg tablets", True),
        ("STOPPED Naproxen 500mg tablets", True),
        ("Stop Smoking lozenges 2mg", False),
        ("Naproxen 500mg tablets (on hold)", True),
        ("NiQuitin 21mg patches (stop smoking aid)", False),
        ("Paracetamol 500mg tablets [discontinued]", False),
    ],
)
def test_a_name_may_say_that_the_medicine_was_stopped(name: str, *, stops: bool) -> None:
    assert (own_stop(use("a", HOSPITAL, name).content) is not None) is stops


def test_the_line_leaves_the_regular_ones_and_the_stop_is_told_at_the_other_source() -> None:
    shown = told(listed(NAME), order("b", HOSPITAL, NAME, "Discontinued on admission - AKI"))
    assert shown["Please note"].startswith(
        f"{NAME}: STOPPED by Vale Royal Hospital, 22 Nov 2026 (“Discontinued on admission - AKI”)."
    )
    regular, stopped = shown["Medicines"].split("Stopped or ended, or not taken")
    assert regular.count("Repeat") + regular.count("Prescribed 1 Apr") == 1
    assert "Was prescribed" in stopped


def test_the_reason_of_a_status_may_say_that_an_active_medicine_is_on_hold() -> None:
    shown = told(listed(NAME), order("b", HOSPITAL, NAME, "2.5 mg OD", statusReason={"text": "On hold - AKI stage 2"}))
    assert "PAUSED by Vale Royal Hospital" in shown["Please note"]
    assert "2.5 mg once a day" in shown["Medicines"].partition("\nPaused\n")[2]


def test_a_course_that_its_words_call_completed_is_no_stop_but_is_over() -> None:
    shown = told(use("a", HOSPITAL, "Doxycycline 100mg capsules", "Course completed 14 Nov"))["Medicines"]
    assert shown.startswith("Stopped or ended")
    assert "ENDED by Vale Royal Hospital" in shown


def test_a_stop_of_a_substance_names_each_strength_that_goes_on() -> None:
    strengths = [order(f"w{n}", GP, f"Warfarin {n}mg tablets", "As directed", "2026-04-01") for n in (1, 3)]
    notice = told(*strengths, use("b", HOSPITAL, "Warfarin", status="stopped"))["Please note"]
    assert "Warfarin 1mg tablets" in notice.partition(": STOPPED")[0]
    assert "Warfarin 3mg tablets" in notice.partition(": STOPPED")[0]


def test_a_stop_is_not_dated_in_the_future() -> None:
    period = {"start": "2025-01-01", "end": "2026-12-20"}
    shown = told(use("a", GP, NAME, status="stopped", effectivePeriod=period))["Medicines"]
    assert "STOPPED by Harbour Street Surgery, 22 Nov 2026" in shown


def test_a_note_that_stops_two_strengths_names_both() -> None:
    note = [{"text": "Warfarin discontinued on admission; replaced by apixaban"}]
    strengths = [order(f"w{n}", GP, f"Warfarin {n}mg tablets", "As directed", "2026-04-01") for n in (1, 3)]
    notice = told(*strengths, order("b", HOSPITAL, "Apixaban 5mg tablets", "5 mg BD", note=note))["Please note"]
    assert notice.startswith("Warfarin 1mg tablets, Warfarin 3mg tablets: Stopped by a note?")


@pytest.mark.parametrize(("status", "act"), [("stopped", "STOPPED"), ("on-hold", "PAUSED")])
def test_the_end_of_one_ingredient_is_told_at_a_combination_that_contains_it(status: str, act: str) -> None:
    stopped = use("b", HOSPITAL, "Amlodipine", status=status, statusReason=[{"text": "Ankle swelling"}])
    notice = told(listed("Exforge 5mg/80mg tablets"), stopped)["Please note"]
    assert notice.startswith(f"Exforge 5mg/80mg tablets: {act}: Amlodipine, by Vale Royal Hospital")
    assert "Please note" not in told(listed("Exforge 5mg/80mg tablets"), use("b", HOSPITAL, "Ramipril", status=status))


def test_a_source_that_goes_on_with_the_ingredient_ended_another_product_of_it() -> None:
    on, over = use("b", HOSPITAL, "Amlodipine 5mg tablets"), use("c", HOSPITAL, "Amlodipine 10mg", status="stopped")
    assert "Please note" not in told(listed("Exforge 5mg/80mg tablets"), on, over)


def test_what_replaces_a_medicine_is_not_stopped() -> None:
    stopped = use("a", HOSPITAL, "Apixaban 5mg tablets", "Stop: replaced by edoxaban")
    notice = told(listed("Apixaban 5mg tablets"), stopped, order("b", HOSPITAL, "Edoxaban 60mg tablets", "60 mg OD"))
    assert notice["Please note"].startswith("Apixaban 5mg tablets: STOPPED")
    assert "Stopped by a note?" not in notice["Please note"]
    note = order("b", HOSPITAL, "Edoxaban 60mg tablets", "60 mg OD", note=[{"text": "Warfarin replaced by edoxaban"}])
    assert "Warfarin 3mg tablets: Stopped by a note?" in told(listed("Warfarin 3mg tablets"), note)["Please note"]


def test_an_order_not_to_give_a_class_is_told_at_its_medicines() -> None:
    forbidden = order("b", HOSPITAL, "NSAIDs", doNotPerform=True, note=[{"text": "CKD 4"}])
    notice = told(listed("Ibuprofen 400mg tablets"), forbidden)["Please note"]
    assert notice.startswith("Ibuprofen 400mg tablets: DO NOT GIVE: NSAIDs, by order of Vale Royal Hospital")
    assert "Please note" not in told(listed("Paracetamol 500mg tablets"), forbidden)


def test_a_stopped_medicine_without_a_name_is_told_at_the_top() -> None:
    sent = {"coding": [{"system": "http://snomed.info/sct", "code": "774656009"}]}
    stopped = use("b", HOSPITAL, "", status="stopped", medicationCodeableConcept=sent)
    notice = told(listed("Aspirin 75mg tablets"), stopped)["Please note"]
    assert notice.startswith("Medicine not named by its source: code 774656009: STOPPED by Vale Royal Hospital")
    assert "Please note" not in told(use("b", HOSPITAL, "", medicationCodeableConcept=sent))


def test_an_instruction_may_hold_the_medicine() -> None:
    held = [{"text": "4 mg OD", "additionalInstruction": [{"text": "ON HOLD - do not give"}]}]
    shown = told(use("a", HOSPITAL, "Perindopril 4mg tablets", dosage=held))["Medicines"]
    assert shown.startswith("Paused")


def test_what_its_words_ended_long_ago_stays_in_sight_as_long_as_it_is_sent_as_active() -> None:
    shown = told(order("a", GP, "Acitretin 25mg capsules", on="2023-02-25", note=[{"text": "Finished June 2023"}]))
    assert "Acitretin" in shown["Medicines"].partition("Stopped or ended")[2].partition("More is held")[0]


def test_what_its_source_calls_completed_leaves_the_rows_in_time() -> None:
    finished = order(
        "a", GP, "Acitretin 25mg", on="2023-02-25", status="completed", note=[{"text": "Finished June 2023"}]
    )
    old = replace(finished, recorded_at=NOW - timedelta(days=900))
    assert "Acitretin" not in told(old)["Medicines"].partition("More is held")[0]


def test_what_is_only_proposed_contradicts_nothing() -> None:
    proposal = order("b", "FA123", NAME, "Reduce to 1.25 mg then stop", intent="proposal")
    assert "Please note" not in told(listed(NAME), proposal)
    assert "Please note" in told(listed(NAME), order("b", "FA123", NAME, "1.25 mg once a day"))


def test_one_source_alone_that_wrote_stopped_has_no_current_line() -> None:
    assert told(use("a", GP, NAME, "STOPPED 12/11/26"))["Medicines"].startswith("Stopped or ended")


def test_a_medicine_that_one_source_stopped_and_another_paused_has_one_notice() -> None:
    stopped = use("b", HOSPITAL, NAME, status="stopped", statusReason=[{"text": "Bradycardia"}])
    paused = use("c", "RV9", "Bisoprolol", status="on-hold", statusReason=[{"text": "Awaiting clinic"}])
    notice = told(listed(NAME), stopped, paused)["Please note"]
    assert notice.count("Bisoprolol 2.5mg tablets:") == 1
    assert notice.count("Still on") == 1
    assert "STOPPED" in notice
    assert "PAUSED" in notice

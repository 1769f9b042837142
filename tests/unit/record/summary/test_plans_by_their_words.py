"""Plans, objections and corrections without a code are known by words, and an end is told only where it counts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.unit.record.summary.test_identity_notices import doubted
from tests.unit.record.summary.written import GP, HOSPITAL, NOW, said, term, told

PLANS = "Plans for emergency care, and advance decisions"
SCOPE = term("consentscope", "patient-privacy")
PRIVACY: dict[str, Any] = {"scope": SCOPE, "dateTime": "2026-02-01", "status": "active"}


def document(title: str, **elements: Any) -> dict[str, Any]:
    return {"status": "current", "type": {"text": "Scanned document"}, "content": [{"attachment": {"title": title}}]}


@pytest.mark.parametrize("title", ["ADRT signed", "LPA certified copy", "Deputyship order"])
def test_a_scanned_document_is_named_by_the_title_that_makes_it_a_plan(title: str) -> None:
    shown = told(said("DocumentReference", "d", **document(title)))

    assert title in shown[PLANS].splitlines()[2]


def test_minutes_about_harm_are_marked() -> None:
    shown = told(said("DocumentReference", "d", **document("MARAC minutes")))

    assert "Not for the person's copy" in shown["Last letters and documents"]


def test_a_titled_plan_that_one_source_revoked_contradicts_another_that_holds_it() -> None:
    held = said("DocumentReference", "d", GP, date="2026-02-01T10:00:00Z", **document("ReSPECT form"))
    revoked = said("CarePlan", "c", HOSPITAL, status="revoked", intent="plan", title="ReSPECT form")

    assert "ENDED: ReSPECT form" in told(held, revoked)["Please note"]
    assert "Please note" not in told(held, said("CarePlan", "c", HOSPITAL, status="revoked", title="Reablement"))


def test_a_plan_whose_period_is_over_is_no_longer_contradicted() -> None:
    ended = said("Flag", "e", HOSPITAL, status="inactive", code={"text": "DNACPR"}, period={"start": "2025-01-01"})

    def notice(end: str) -> bool:
        period = {"start": "2025-01-01", "end": end}
        held = said("Flag", "f", GP, status="active", code={"text": "DNACPR"}, period=period)
        return "Please note" in told(held, ended)

    assert notice("2027-01-01")
    assert not notice("2026-01-01")


def test_a_code_of_a_decision_without_words_is_named() -> None:
    consent = said("Consent", "c", status="active", category=[term("consentcategorycodes", "dnr")])

    assert "Do not resuscitate" in told(consent)[PLANS]


def test_a_withdrawn_objection_and_a_refusal_are_told_as_what_they_are() -> None:
    withdrawn = said("Observation", "o", status="final", code={"text": "Dissent withdrawn for sharing of record"})
    deny = said("Consent", "c", HOSPITAL, category=[{"text": "Sharing"}], provision={"type": "deny"}, **PRIVACY)

    assert told(withdrawn)["Please note"].startswith("Had objected")
    assert "Sharing: not permitted" in told(withdrawn, deny)["Please note"]


def test_a_corrected_report_without_a_code_marks_its_copy() -> None:
    same: dict[str, Any] = {"code": {"text": "Chest X-ray"}, "effectiveDateTime": "2026-11-20T09:00:00Z"}
    corrected = said("DiagnosticReport", "r", HOSPITAL, status="corrected", conclusion="Nodule", **same)
    copy = said(
        "DiagnosticReport", "k", GP, recorded=NOW - timedelta(days=1), status="final", conclusion="Normal", **same
    )

    assert "DO NOT USE: see the correction.\nNormal" in told(corrected, copy)["Results"]


def test_a_baby_that_a_source_knows_from_before_it_was_named_raises_no_doubt() -> None:
    record = {"name": [{"family": "Case", "given": ["Isla"]}], "gender": "female", "birthDate": "2026-11-20"}
    before = {"name": [{"family": "Morgan", "given": ["Baby"]}], "gender": "female", "birthDate": "2026-11-20"}

    assert doubted(before, record) == []
    assert doubted({**before, "birthDate": "2026-10-20"}, record) != []

"""What words say about resuscitation, and when an ended decision contradicts one in force."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from tests.unit.record.summary.written import GP, HOSPITAL, code, said

from onestory.record.merge.engine import merge
from onestory.record.merge.model import Statement
from onestory.record.merge.reading import UNCLEAR, decision_in
from onestory.record.merge.rules import merge_rules

AUGUST, SEPTEMBER = datetime(2026, 8, 12, tzinfo=UTC), datetime(2026, 9, 1, tzinfo=UTC)
NOVEMBER = datetime(2026, 11, 14, tzinfo=UTC)


@pytest.mark.parametrize(
    ("words", "decision"),
    [
        ("CPR attempts recommended. For ITU.", "cpr"),
        ("For full escalation", "cpr"),
        ("Not for CPR: frailty", "no-cpr"),
        ("CPR attempts NOT recommended", "no-cpr"),
        ("DNACPR in place, discussed with family", "no-cpr"),
        ("No DNACPR", "no-cpr-ended"),
        ("DNACPR revoked 3 May", "no-cpr-ended"),
        ("Discussion about DNACPR with family", UNCLEAR),
        ("Awaiting DNACPR", UNCLEAR),
        ("Chest X-ray", ""),
    ],
)
def test_words_decide_about_resuscitation(words: str, decision: str) -> None:
    assert decision_in(words) == decision


def kinds(*statements: Statement) -> set[str]:
    return {conflict.kind for fact in merge(statements, merge_rules()).facts for conflict in fact.conflicts}


def dnacpr(name: str, organisation: str, recorded: datetime, **elements: Any) -> Statement:
    named = code("450476008", "Not for attempted cardiopulmonary resuscitation")
    return said("CarePlan", name, organisation, recorded=recorded, category=[named], **elements)


def test_a_revoked_decision_contradicts_an_older_one_that_another_source_holds() -> None:
    held = dnacpr("held", GP, SEPTEMBER, status="active")
    assert kinds(dnacpr("ended", HOSPITAL, NOVEMBER, status="revoked"), held) == {"plan-ended"}


def test_a_decision_that_was_made_after_another_ended_contradicts_nothing() -> None:
    later = dnacpr("later", GP, NOVEMBER, status="active")
    assert kinds(dnacpr("ended", HOSPITAL, AUGUST, status="revoked"), later) == set()


def test_a_form_that_its_own_source_replaced_contradicts_nothing() -> None:
    old = dnacpr("old", HOSPITAL, NOVEMBER, status="completed")
    assert kinds(old, dnacpr("new", HOSPITAL, SEPTEMBER, status="active")) == set()


def test_a_flag_that_its_source_forgot_contradicts_the_plan_that_it_revoked() -> None:
    flag = said(
        "Flag", "flag", HOSPITAL, recorded=AUGUST, status="active", code=code("450476008", "Not for attempted CPR")
    )
    assert kinds(flag, dnacpr("plan", HOSPITAL, NOVEMBER, status="revoked")) == {"plan-ended"}


def test_an_order_not_to_resuscitate_contradicts_a_plan_in_words() -> None:
    order = said(
        "ServiceRequest", "order", doNotPerform=True, status="active", code=code("89666000", "Cardiopulmonary resus")
    )
    form = said("DocumentReference", "form", HOSPITAL, status="current", type={"text": "ReSPECT form"}, description="")
    told = said("CarePlan", "plan", HOSPITAL, status="active", title="ReSPECT form", description="For full escalation")
    assert kinds(order, form) == set()
    assert kinds(order, told) == {"plan"}

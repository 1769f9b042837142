"""Advice is converted to a referral: the advice ends, and the referral begins."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.referral.conversing import advice, converted, done, said, urgent
from tests.unit.referral.made import PAIN, PHYSIO, PRACTICE

from onestory.referral.conversation.conversion import MAY_CONVERT_EXTENSION, Conversion
from onestory.referral.conversation.domain import Category
from onestory.referral.lifecycle.model import Action, Referral, ReferralKind, Side, Status
from onestory.shared.errors import Conflict, Forbidden, Unprocessable

ALLOWED: dict[str, Any] = {"extension": [{"url": MAY_CONVERT_EXTENSION, "valueBoolean": True}]}


def test_the_advice_ends_where_the_referral_begins() -> None:
    asked = said(advice(), Side.RECIPIENT, Category.QUESTION).referral

    ended, made = converted(asked, Side.REQUESTER)

    assert (ended.referral.status, ended.referral.business_status) == (Status.COMPLETED, "ADVICE_CONVERTED")
    assert (ended.referral.holder, ended.referral.next_actor, ended.referral.due_at) == (None, None, None)
    assert (made.referral.kind, made.referral.status, made.referral.version) == (
        ReferralKind.REFERRAL,
        Status.REQUESTED,
        1,
    )
    assert (made.referral.holder, made.referral.next_actor) == (PRACTICE, PHYSIO)
    assert made.referral.person == asked.person
    assert made.referral.correlation_id == asked.correlation_id


def test_what_was_asked_goes_along_and_what_made_it_advice_does_not() -> None:
    request = {
        "reasonCode": [{"text": "Leg ulcer"}],
        "note": [{"text": "Since May"}],
        "supportingInfo": [{"display": "A letter"}],
        "identifier": [{"system": "https://fhir.nhs.uk/Id/UBRN", "value": "1"}],
        "authoredOn": "2026-05-01",
        **ALLOWED,
    }

    _, made = converted(advice(**request), Side.REQUESTER)

    body = made.referral.service_request
    assert (body["reasonCode"], body["note"]) == (request["reasonCode"], request["note"])
    assert [each.get("reference", "") for each in body["supportingInfo"]] == [
        "",
        "Communication/m-1",
        "Communication/m-2",
    ]
    assert body["category"] == [{"coding": [{"system": "https://example.org", "code": "x"}]}]
    assert not {"identifier", "authoredOn", "extension"} & body.keys()


def test_advice_becomes_the_same_referral_whoever_makes_it_and_whenever() -> None:
    asked = advice(**ALLOWED)

    first = converted(asked, Side.REQUESTER)[1].referral
    later = converted(asked, Side.RECIPIENT, Conversion(PAIN))[1].referral

    assert first.referral_id == later.referral_id


@pytest.mark.parametrize(("priority", "is_taken"), [("routine", False), ("urgent", True), ("stat", True)])
def test_a_referral_is_as_urgent_as_the_advice_was_or_more(priority: str, is_taken: bool) -> None:
    wanted = Conversion(PHYSIO, priority)

    if not is_taken:
        with pytest.raises(Unprocessable):
            converted(advice(), Side.REQUESTER, wanted)
        return

    assert converted(advice(), Side.REQUESTER, wanted)[1].referral.priority == priority


def test_the_team_that_advises_converts_only_where_it_was_allowed_to() -> None:
    with pytest.raises(Forbidden):
        converted(advice(), Side.RECIPIENT)
    with pytest.raises(Forbidden):
        converted(advice(extension=[{"url": MAY_CONVERT_EXTENSION, "valueBoolean": False}]), Side.RECIPIENT)

    ended, made = converted(advice(**ALLOWED), Side.RECIPIENT)

    assert ended.context.actor.party == made.context.actor.party == PHYSIO
    assert made.referral.requester == PRACTICE


@pytest.mark.parametrize(
    "other",
    [
        urgent(),
        replace(urgent(), kind=ReferralKind.VALIDATION),
        replace(advice(), status=Status.DRAFT),
        done(advice(), Action.REJECT, Side.RECIPIENT),
        done(advice(), Action.CANCEL, Side.REQUESTER),
        converted(advice(), Side.REQUESTER)[0].referral,
    ],
    ids=["a referral", "a validation", "a draft", "rejected", "cancelled", "converted before"],
)
def test_what_is_no_open_request_for_advice_is_not_converted(other: Referral) -> None:
    with pytest.raises(Conflict):
        converted(other, Side.REQUESTER)

"""A holder refers on: the new referral continues the one that it holds, and those on the journey hear of it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from tests.unit.referral.made import PAIN, PHYSIO, PRACTICE, SENT, after, done, sent

from onestory.referral.lifecycle.creation import ReferralRequest, parse_service_request
from onestory.referral.lifecycle.journeys import (
    continued_referral,
    is_on_journey,
    others_on_journey,
    parties_on_journey,
    unlinked_warning,
    with_based_on,
    with_journey_notices,
)
from onestory.referral.lifecycle.model import Action, Referral, ReferralParties, Side, Status
from onestory.referral.lifecycle.render import carried_ids
from onestory.shared.errors import Unprocessable
from onestory.shared.events import Entry, Operation, Party

HELD = after(sent(), (Action.ACCEPT, Side.RECIPIENT))
RECIPIENT, REQUESTER = frozenset({Side.RECIPIENT}), frozenset({Side.REQUESTER})


def parties(referral: Referral, **changes: Any) -> ReferralParties:
    """The parties of a referral."""
    names = ReferralParties.__slots__
    return replace(ReferralParties(**{name: getattr(referral, name) for name in names}), **changes)


def asking(*based_on: str, **elements: Any) -> ReferralRequest:
    """A request that names these ServiceRequests in basedOn."""
    named = {"basedOn": [{"reference": f"ServiceRequest/{name}"} for name in based_on]} if based_on else {}
    request = {
        "resourceType": "ServiceRequest",
        "status": "active",
        "intent": "order",
        "subject": {"reference": "Patient/9000000009"},
        "performer": [{"reference": "HealthcareService/link-workers"}],
    }
    return parse_service_request({**request, **named, **elements})


def test_the_only_held_referral_is_continued_and_named() -> None:
    held = parties(HELD)
    continued = continued_referral(asking(), [held], {held.referral_id: RECIPIENT}, of_practice=False)

    assert continued is not None
    assert continued.party == PHYSIO
    assert with_based_on(asking(), continued).body["basedOn"] == [{"reference": f"ServiceRequest/{held.referral_id}"}]


def test_a_named_referral_is_continued_by_its_holder_or_its_requester() -> None:
    held, named = parties(HELD), asking(HELD.referral_id)
    by_holder = continued_referral(named, [held], {held.referral_id: RECIPIENT}, of_practice=False)
    by_requester = continued_referral(named, [held], {held.referral_id: REQUESTER}, of_practice=True)

    assert by_holder is not None
    assert by_requester is not None
    assert (by_holder.party, by_requester.party) == (PHYSIO, PRACTICE)
    assert with_based_on(named, by_holder) == named


@pytest.mark.parametrize(
    "referral", [sent(), after(HELD, (Action.START, Side.RECIPIENT), (Action.COMPLETE, Side.RECIPIENT))]
)
def test_a_team_that_does_not_hold_it_cannot_continue_it(referral: Referral) -> None:
    one = parties(referral)

    with pytest.raises(Unprocessable, match="basedOn"):
        continued_referral(asking(one.referral_id), [one], {one.referral_id: RECIPIENT}, of_practice=False)
    assert continued_referral(asking(), [one], {one.referral_id: RECIPIENT}, of_practice=False) is None


def test_a_stranger_continues_nothing() -> None:
    held = parties(HELD)

    with pytest.raises(Unprocessable):
        continued_referral(asking(held.referral_id), [held], {}, of_practice=False)
    assert continued_referral(asking(), [held], {}, of_practice=False) is None


def test_the_registered_practice_begins_a_journey_unless_it_names_a_referral() -> None:
    held = parties(HELD)

    assert continued_referral(asking(), [held], {held.referral_id: RECIPIENT}, of_practice=True) is None


def test_one_of_several_held_referrals_has_to_be_named() -> None:
    held = [parties(HELD), parties(HELD, referral_id=f"{HELD.referral_id}x")]
    sides = {each.referral_id: RECIPIENT for each in held}

    assert continued_referral(asking(), held, sides, of_practice=False) is None
    (warning,) = unlinked_warning(HELD, held, sides, of_practice=False)
    assert "basedOn" in warning
    assert unlinked_warning(replace(HELD, based_on=HELD.referral_id), held, sides, of_practice=False) == ()
    assert unlinked_warning(HELD, held[:1], sides, of_practice=False) == ()


def test_those_on_the_journey_hear_of_the_outcome_and_not_of_each_step() -> None:
    onward = replace(sent(), requester=PHYSIO, sender=PHYSIO, referrer=PHYSIO, recipient=PAIN, based_on="first")
    held = after(onward, (Action.ACCEPT, Side.RECIPIENT), (Action.START, Side.RECIPIENT))
    first = parties(HELD, referral_id="first")

    told = with_journey_notices(done(held, Action.COMPLETE, Side.RECIPIENT), [first])
    quiet = with_journey_notices(done(held, Action.HOLD, Side.RECIPIENT), [first])

    journey = [(each.party, each.reason) for each in told.notices if each.recipient == "journey"]
    assert journey == [(PRACTICE, "referral-completed")]
    assert all(each.recipient != "journey" for each in quiet.notices)


def test_the_registered_practice_hears_of_a_journey_that_a_hospital_began() -> None:
    onward = replace(sent(), requester=PHYSIO, sender=PHYSIO, referrer=PHYSIO, recipient=PAIN, based_on="first")
    hospital = Party("RX9")
    first = parties(HELD, referral_id="first", requester=hospital, referrer=hospital, sender=hospital)
    change = done(onward, Action.ACCEPT, Side.RECIPIENT)

    told = {(each.recipient, each.party) for each in with_journey_notices(change, [first], "A81001").notices}
    assert {("practice", PRACTICE), ("journey", hospital)} <= told
    alone = with_journey_notices(replace(change, referral=replace(change.referral, based_on="")), [], "A81001")
    assert all(each.recipient != "practice" for each in alone.notices)


def test_a_rejection_comes_back_to_the_team_that_referred_on() -> None:
    onward = replace(sent(), requester=PHYSIO, sender=PHYSIO, referrer=PHYSIO, recipient=PAIN)
    rejected = after(onward, (Action.REJECT, Side.RECIPIENT))

    assert rejected.holder == rejected.next_actor == PHYSIO


def test_a_journey_is_read_by_who_has_taken_part() -> None:
    first, second = parties(HELD, referral_id="first"), parties(sent(), based_on="first")
    third = parties(sent(), referral_id="other")

    assert others_on_journey("first", [first, second, third]) == [second]
    assert others_on_journey(second.referral_id, [first, second, third]) == [first]
    assert others_on_journey("unknown", [first]) == []
    assert is_on_journey(first, RECIPIENT)
    assert not is_on_journey(second, RECIPIENT)
    assert is_on_journey(second, REQUESTER)
    assert not is_on_journey(parties(sent("draft")), REQUESTER)
    assert PHYSIO in parties_on_journey(first)
    assert PHYSIO not in parties_on_journey(second)
    assert not is_on_journey(replace(first, status=Status.REJECTED), RECIPIENT)


def test_a_change_carries_the_resources_of_the_person_that_it_names() -> None:
    key, other = HELD.person_key, "b" * 26
    own, named, with_message = (f"{key}-{letter * 26}" for letter in "cde")
    names = [f"Observation/{named}", f"Condition/{other}-{'f' * 26}"]
    content = json.dumps({"supportingInfo": [{"reference": name} for name in names]}, separators=(",", ":")).encode()
    written = Entry("ServiceRequest", "one", own, SENT, Operation.ASSERT, content)

    assert carried_ids(key, [written], [with_message, own]) == (named, with_message)

"""Claims of a team's members on a referral: who may claim and release it, and when a claim ends."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID, uuid5

import pytest

from onestory.referral.clocks import clock
from onestory.referral.lifecycle import creation
from onestory.referral.lifecycle.decide import decide
from onestory.referral.lifecycle.model import (
    Action,
    ChangeContext,
    Command,
    Reason,
    Referral,
    ReferralChange,
    Side,
    Status,
)
from onestory.referral.worklist.claims import claim, release
from onestory.shared.errors import Conflict, Forbidden, Unprocessable
from onestory.shared.events import Actor, Party
from onestory.shared.identity import Keys

KEYS, CLOCKS = Keys(b"a secret for tests, of thirty-two bytes"), clock.load_clocks()
PRACTICE, NURSES, THERAPISTS = Party("A81001"), Party("RY001", "nurses"), Party("RY001", "therapists")
SOME = UUID("01930000-0000-7000-8000-000000000001")
BEGAN = datetime(2026, 5, 1, 9, tzinfo=UTC)
TEAM = frozenset({Side.RECIPIENT})
AWAY = Reason("", {"text": "On leave until June"})


def doing(number: int, user: str = "555") -> ChangeContext:
    return ChangeContext(uuid5(SOME, str(number)), Actor(NURSES, user, "R8001"), BEGAN + timedelta(hours=number), "c-1")


@pytest.fixture
def sent() -> Referral:
    asked = creation.parse_service_request(
        {
            "resourceType": "ServiceRequest",
            "status": "active",
            "intent": "order",
            "subject": {"reference": "Patient/9990000018"},
            "performer": [{"reference": "HealthcareService/nurses"}],
        }
    )
    asking = creation.ReferralOrigin(PRACTICE, "1", "local-1")
    return creation.create_referral(asked, NURSES, asking, doing(0), CLOCKS, KEYS).referral


def extensions(changed: ReferralChange) -> str:
    (task,) = [each for each in changed.resources if each.resource_type == "Task"]
    return str(task.body["extension"])


def test_a_claim_is_a_change_of_its_own_that_leaves_clock_and_status_alone(sent: Referral) -> None:
    changed = claim(sent, TEAM, doing(1))

    assert changed.action == "claim"
    assert (changed.referral.claimed_by, changed.referral.version) == ("555", sent.version + 1)
    assert (changed.referral.due_at, changed.referral.status) == (sent.due_at, sent.status)


def test_a_claim_is_seen_on_the_task_without_who_made_it_and_nobody_is_told(sent: Referral) -> None:
    changed = claim(sent, TEAM, doing(1))

    assert "referral-claimed" in extensions(changed)
    assert "555" not in str([each.body for each in changed.resources])
    assert changed.notices == ()


def test_what_somebody_else_has_claimed_is_refused_without_a_name(sent: Referral) -> None:
    claimed = claim(sent, TEAM, doing(1)).referral

    with pytest.raises(Conflict) as refused:
        claim(claimed, TEAM, doing(2, "777"))

    assert "555" not in str(refused.value)


def test_who_claimed_it_releases_it_and_somebody_else_says_why(sent: Referral) -> None:
    claimed = claim(sent, TEAM, doing(1)).referral

    own = release(claimed, TEAM, doing(2), None)
    with pytest.raises(Unprocessable):
        release(claimed, TEAM, doing(2, "777"), None)
    others = release(claimed, TEAM, doing(2, "777"), AWAY)

    assert (own.referral.claimed_by, own.reason) == ("", "")
    assert (others.referral.claimed_by, others.reason) == ("", "On leave until June")
    assert "referral-claimed" not in extensions(others)


def test_a_release_does_not_take_the_place_of_why_the_referral_is_as_it_is(sent: Referral) -> None:
    why = Reason("waiting", {"text": "Waits for the scan"})
    held = replace(claim(sent, TEAM, doing(1)).referral, status=Status.ON_HOLD, reason=why)

    assert release(held, TEAM, doing(2, "777"), AWAY).referral.reason == why


def test_the_recipient_alone_claims_and_releases(sent: Referral) -> None:
    claimed = claim(sent, TEAM, doing(1)).referral

    with pytest.raises(Forbidden):
        claim(sent, {Side.REQUESTER, Side.SENDER}, doing(1))
    with pytest.raises(Forbidden):
        release(claimed, {Side.REQUESTER}, doing(2), AWAY)


@pytest.mark.parametrize("status", [Status.DRAFT, Status.REJECTED, Status.FAILED])
def test_what_the_team_has_not_got_is_not_claimed(sent: Referral, status: Status) -> None:
    with pytest.raises(Conflict):
        claim(replace(sent, status=status), TEAM, doing(1))


@pytest.mark.parametrize("action", [Action.REJECT, Action.CANCEL, Action.REDIRECT])
def test_a_claim_ends_when_the_team_has_it_no_longer(sent: Referral, action: Action) -> None:
    claimed = claim(sent, TEAM, doing(1)).referral
    command = Command(action, AWAY, recipient=THERAPISTS if action is Action.REDIRECT else None)

    changed = decide(claimed, command, list(Side), doing(2), CLOCKS, partial(creation.task_id, KEYS))

    assert changed.referral.claimed_by == ""
    assert "referral-claimed" not in str([each.body for each in changed.resources])


def test_a_claim_stays_while_the_team_goes_on(sent: Referral) -> None:
    claimed = claim(sent, TEAM, doing(1)).referral

    changed = decide(claimed, Command(Action.ACCEPT), TEAM, doing(2), CLOCKS, partial(creation.task_id, KEYS))

    assert changed.referral.claimed_by == "555"

"""The referrals of a person as journeys: the requesters that open the record, and who reads outcomes."""

from __future__ import annotations

from onestory.record.person.journeys import StoredReferral, person_referrals
from onestory.shared.policy import Opener


def stored(name: str, requester: str, recipient: str, status: str = "accepted", based_on: str = "") -> StoredReferral:
    """A referral as it stands."""
    is_open = status not in ("completed", "cancelled")
    holder = recipient if status == "accepted" else requester if is_open else None
    return StoredReferral(
        name, requester, recipient, holder, status, is_open, based_on, None, [f"{name}-x {requester}"]
    )


def test_a_referral_that_continues_another_is_opened_by_both_requesters() -> None:
    first, onward = person_referrals(
        [stored("one", "A81001", "RZ1"), stored("two", "RZ1", "VA1", "requested", based_on="one")]
    )

    assert onward.openers == (Opener("RZ1"), Opener("A81001"))
    assert first.openers == (Opener("A81001"),)
    assert onward.responsible == {"RZ1", "VA1"}


def test_requesters_and_holders_are_on_the_journey_and_a_team_that_is_only_asked_is_not() -> None:
    first, second, other = person_referrals(
        [
            stored("one", "A81001", "RZ1", "completed"),
            stored("two", "RZ1", "VA1", "rejected", based_on="one"),
            stored("three", "RX1", "RX2"),
        ]
    )

    assert first.journey == second.journey == {"A81001", "RZ1"}
    assert other.journey == {"RX1", "RX2"}
    assert first.responsible == frozenset()
    assert first.carried == {("one-x", "A81001")}


def test_a_circle_of_journeys_ends() -> None:
    one, two = person_referrals([stored("one", "A", "B", based_on="two"), stored("two", "B", "A", based_on="one")])

    assert [opener.organisation for opener in one.openers] == ["A", "B"]
    assert [opener.organisation for opener in two.openers] == ["B", "A"]

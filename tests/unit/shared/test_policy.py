"""The access policy gives one decision with its reason."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from onestory.shared.networks import Networks
from onestory.shared.policy import Caller, OpenReferral, PolicySubject, Visibility, decide

NETWORKS = Networks(fallback={"A81001": "north", "A81002": "north", "B81001": "south"})
NOW = datetime(2026, 12, 1, tzinfo=UTC)


def caller(organisation: str, network: str) -> Caller:
    return Caller(organisation, "emis-web", "user-1", "R8000", network, "TREAT")


def test_the_network_of_the_registered_practice_sees_the_whole_record() -> None:
    subject = PolicySubject("A81001", frozenset({"A81001"}))

    assert decide(caller("A81002", "north"), subject, NETWORKS, NOW).visibility is Visibility.ALL


def test_a_source_outside_the_network_sees_what_it_said_itself() -> None:
    subject = PolicySubject("A81001", frozenset({"A81001", "RX1"}))

    assert decide(caller("RX1", "hospitals"), subject, NETWORKS, NOW).visibility is Visibility.OWN


def test_anybody_else_sees_nothing() -> None:
    subject = PolicySubject("A81001", frozenset({"A81001"}))

    assert decide(caller("B81001", "south"), subject, NETWORKS, NOW).visibility is Visibility.NONE


def test_no_network_never_matches_no_network() -> None:
    nobody = PolicySubject(None, frozenset())
    unlisted = PolicySubject("Z99999", frozenset())

    assert decide(caller("B81001", ""), nobody, NETWORKS, NOW).visibility is Visibility.NONE
    assert decide(caller("B81001", ""), unlisted, NETWORKS, NOW).visibility is Visibility.NONE


NURSES = caller("RZ1", "community")


def referred(requester: str, practice: str | None = "A81001", *, restricted: bool = False) -> PolicySubject:
    """A person whom this organisation has referred to the nurses."""
    referrals = (OpenReferral("A81001", frozenset({"RZ9"})), OpenReferral(requester, frozenset({"RZ1", "RZ2"})))
    return PolicySubject(practice, frozenset({requester}), referrals, restricted)


@pytest.mark.parametrize("requester", ["A81001", "A81002"])
def test_those_to_whom_the_network_has_referred_somebody_see_the_whole_record(requester: str) -> None:
    decision = decide(NURSES, referred(requester), NETWORKS, NOW)

    assert (decision.visibility, decision.reason) == (Visibility.ALL, "open-referral")


def test_a_practice_without_a_network_refers_its_own_people() -> None:
    assert decide(NURSES, referred("Z99999", "Z99999"), NETWORKS, NOW).reason == "open-referral"
    assert decide(NURSES, referred("Z99998", "Z99999"), NETWORKS, NOW).visibility is Visibility.NONE


def test_nobody_sees_more_because_of_a_referral_of_ones_own() -> None:
    to_oneself = PolicySubject("Z99999", frozenset({"Z99999"}), (OpenReferral("Z99999", frozenset({"Z99999", "RZ1"})),))

    assert decide(caller("Z99999", ""), to_oneself, NETWORKS, NOW).visibility is Visibility.OWN
    assert decide(NURSES, to_oneself, NETWORKS, NOW).reason == "open-referral"


@pytest.mark.parametrize("requester", ["B81001", "RX1", "RZ1", ""])
def test_a_referral_from_outside_the_network_opens_nothing(requester: str) -> None:
    decision = decide(NURSES, referred(requester), NETWORKS, NOW)

    assert decision.visibility is (Visibility.OWN if requester == "RZ1" else Visibility.NONE)


def test_somebody_without_a_practice_is_opened_by_no_referral() -> None:
    assert decide(NURSES, referred("A81001", None), NETWORKS, NOW).visibility is Visibility.NONE
    assert decide(NURSES, referred("", None), NETWORKS, NOW).visibility is Visibility.NONE
    assert decide(NURSES, referred("", ""), NETWORKS, NOW).visibility is Visibility.NONE


def test_a_referral_to_others_opens_nothing() -> None:
    assert decide(caller("RZ3", "community"), referred("A81001"), NETWORKS, NOW).visibility is Visibility.NONE


def test_a_referral_that_has_ended_opens_nothing() -> None:
    assert decide(NURSES, PolicySubject("A81001", frozenset({"A81001"})), NETWORKS, NOW).visibility is Visibility.NONE


def test_a_referral_alone_does_not_open_the_record_of_somebody_whom_few_may_see() -> None:
    subject = referred("A81001", restricted=True)

    assert decide(NURSES, subject, NETWORKS, NOW).visibility is Visibility.NONE
    assert decide(caller("A81002", "north"), subject, NETWORKS, NOW).reason == "registered-practice-network"


def test_who_sees_the_whole_record_anyway_does_so_for_the_older_reason() -> None:
    subject = PolicySubject("A81001", frozenset(), (OpenReferral("A81001", frozenset({"A81002"})),))

    assert decide(caller("A81002", "north"), subject, NETWORKS, NOW).reason == "registered-practice-network"


def test_only_a_referral_does_not_show_restricted_statements() -> None:
    subject = referred("A81001")

    assert not decide(NURSES, subject, NETWORKS, NOW).sees_restricted
    assert decide(caller("A81002", "north"), subject, NETWORKS, NOW).sees_restricted


def test_a_caller_is_the_same_with_another_role_network_and_purpose() -> None:
    one = Caller("A81001", "emis-web", "user-1", "R8000", "north", "TREAT")

    assert one == Caller("A81001", "emis-web", "user-1", "R8001", "south", "ETREAT", 1.0, True)
    assert {one} == {one, Caller("A81001", "emis-web", "user-1", "", "", "")}
    for other in (("A81002", "emis-web", "user-1"), ("A81001", "rio", "user-1"), ("A81001", "emis-web", "user-2")):
        assert one != Caller(*other, "R8000", "north", "TREAT")

"""The access policy gives one decision with its reason."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from onestory.shared.networks import Networks
from onestory.shared.policy import Caller, Opener, PersonReferral, PolicySubject, Visibility, decide

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


def from_one(requester: str, *responsible: str, **more: Any) -> PersonReferral:
    """An open referral by this organisation, which these have."""
    return PersonReferral(requester, frozenset(responsible), (Opener(requester),), **more)


def referred(requester: str, practice: str | None = "A81001", *, restricted: bool = False) -> PolicySubject:
    """A person whom this organisation has referred to the nurses."""
    referrals = (from_one("A81001", "RZ9"), from_one(requester, "RZ1", "RZ2"))
    return PolicySubject(practice, frozenset({requester}), referrals, restricted)


@pytest.mark.parametrize("requester", ["A81001", "A81002"])
def test_those_to_whom_the_network_has_referred_somebody_see_the_whole_record(requester: str) -> None:
    decision = decide(NURSES, referred(requester), NETWORKS, NOW)

    assert (decision.visibility, decision.reason) == (Visibility.ALL, "open-referral")


def test_a_practice_without_a_network_refers_its_own_people() -> None:
    assert decide(NURSES, referred("Z99999", "Z99999"), NETWORKS, NOW).reason == "open-referral"
    assert decide(NURSES, referred("Z99998", "Z99999"), NETWORKS, NOW).reason == "referral-content"


def test_nobody_sees_more_because_of_a_referral_of_ones_own() -> None:
    to_oneself = PolicySubject("Z99999", frozenset({"Z99999"}), (from_one("Z99999", "Z99999", "RZ1"),))

    assert decide(caller("Z99999", ""), to_oneself, NETWORKS, NOW).visibility is Visibility.OWN
    assert decide(NURSES, to_oneself, NETWORKS, NOW).reason == "open-referral"


@pytest.mark.parametrize("requester", ["B81001", "RX1", "RZ1", ""])
def test_a_referral_from_outside_the_network_opens_nothing(requester: str) -> None:
    decision = decide(NURSES, referred(requester), NETWORKS, NOW)

    assert decision.visibility is Visibility.OWN
    assert decision.content.knows_person is (requester != "RZ1")
    assert decision.content.items == frozenset()


def test_somebody_without_a_practice_is_opened_by_no_referral() -> None:
    for subject in (referred("A81001", None), referred("", None), referred("", "")):
        assert decide(NURSES, subject, NETWORKS, NOW).visibility is Visibility.OWN


def test_a_referral_to_others_opens_nothing() -> None:
    assert decide(caller("RZ3", "community"), referred("A81001"), NETWORKS, NOW).visibility is Visibility.NONE


def test_a_referral_that_has_ended_opens_nothing() -> None:
    assert decide(NURSES, PolicySubject("A81001", frozenset({"A81001"})), NETWORKS, NOW).visibility is Visibility.NONE


def test_a_referral_alone_does_not_open_the_record_of_somebody_whom_few_may_see() -> None:
    subject = referred("A81001", restricted=True)

    assert decide(NURSES, subject, NETWORKS, NOW).visibility is Visibility.OWN
    assert decide(caller("A81002", "north"), subject, NETWORKS, NOW).reason == "registered-practice-network"


def test_a_referral_sent_from_within_the_network_of_then_opens_the_record() -> None:
    then = PersonReferral("A81001", frozenset({"RZ1"}), (Opener("A81001", NOW, True),))

    assert decide(NURSES, PolicySubject("B81001", frozenset(), (then,)), NETWORKS, NOW).reason == "open-referral"
    ended = replace(then, responsible=frozenset())
    assert decide(NURSES, PolicySubject("B81001", frozenset(), (ended,)), NETWORKS, NOW).reason == "no-relationship"


def test_a_referral_opens_the_record_by_any_requester_on_its_journey() -> None:
    onward = PersonReferral("RZ1", frozenset({"VA1", "RZ1"}), (Opener("RZ1"), Opener("A81001")))
    subject = PolicySubject("A81001", frozenset(), (onward,))

    assert decide(caller("VA1", ""), subject, NETWORKS, NOW).reason == "open-referral"
    assert decide(NURSES, subject, NETWORKS, NOW).reason == "open-referral"
    alone = replace(subject, referrals=(replace(onward, openers=(Opener("RZ1"),)),))
    assert decide(NURSES, alone, NETWORKS, NOW).reason == "no-relationship"


def test_a_team_reads_what_the_sender_states_and_not_what_it_only_names() -> None:
    carried = frozenset({("one", "RX9"), ("two", "RX9"), ("mine", "RZ1")})
    content = decide(
        NURSES, PolicySubject("A81001", frozenset(), (from_one("RX9", "RZ1", carried=carried),)), NETWORKS, NOW
    ).content

    assert content.knows_person
    assert content.has("one", "RX9")
    assert not content.has("two", "A81001")
    assert not content.has("three", "RX9")


def test_a_team_reads_what_a_sender_with_the_record_names_of_a_restricted_person() -> None:
    carried = frozenset({("two", "A81001")})
    subject = PolicySubject("A81001", frozenset(), (from_one("A81001", "RZ1", carried=carried),), is_restricted=True)

    decision = decide(NURSES, subject, NETWORKS, NOW)

    assert decision.visibility is Visibility.OWN
    assert decision.content.has("two", "RX5")


def test_outcomes_stay_with_the_requester_and_those_on_the_journey() -> None:
    carried = frozenset({("outcome", "RZ1"), ("request", "RX9")})
    ended = PersonReferral("RX9", frozenset(), (Opener("RX9"),), frozenset({"RX9", "RZ1", "VA1"}), carried)
    subject = PolicySubject("A81001", frozenset(), (ended,))

    for organisation in ("RX9", "VA1"):
        content = decide(caller(organisation, ""), subject, NETWORKS, NOW).content
        assert content.has("outcome", "RZ1")
        assert not content.knows_person
    assert decide(caller("RZ7", ""), subject, NETWORKS, NOW).reason == "no-relationship"


def test_who_sees_the_whole_record_anyway_does_so_for_the_older_reason() -> None:
    subject = PolicySubject("A81001", frozenset(), (from_one("A81001", "A81002"),))

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

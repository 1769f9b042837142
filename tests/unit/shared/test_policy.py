"""One decision, with its reason."""

from __future__ import annotations

from onestory.shared.caller import Caller
from onestory.shared.policy import Subject, Visibility, may

NETWORKS = {"A81001": "north", "A81002": "north", "B81001": "south"}


def caller(organisation: str, network: str) -> Caller:
    return Caller(organisation, "emis-web", "user-1", "R8000", network, "TREAT")


def test_the_network_of_the_registered_practice_sees_the_whole_record() -> None:
    subject = Subject("A81001", frozenset({"A81001"}))

    assert may(caller("A81002", "north"), subject, NETWORKS).visibility is Visibility.ALL


def test_a_source_outside_the_network_sees_what_it_said_itself() -> None:
    subject = Subject("A81001", frozenset({"A81001", "RX1"}))

    assert may(caller("RX1", "hospitals"), subject, NETWORKS).visibility is Visibility.OWN


def test_anybody_else_sees_nothing() -> None:
    subject = Subject("A81001", frozenset({"A81001"}))

    assert may(caller("B81001", "south"), subject, NETWORKS).visibility is Visibility.NONE


def test_no_network_never_matches_no_network() -> None:
    nobody = Subject(None, frozenset())
    unlisted = Subject("Z99999", frozenset())

    assert may(caller("B81001", ""), nobody, NETWORKS).visibility is Visibility.NONE
    assert may(caller("B81001", ""), unlisted, NETWORKS).visibility is Visibility.NONE

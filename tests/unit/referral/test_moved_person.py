"""A move tells the former and the new practice, and lets the new practice act for the requester."""

from __future__ import annotations

from dataclasses import replace

from tests.unit.referral.made import CLOCKS, PAIN, PHYSIO, PRACTICE, after, doing, sent

from onestory.referral.lifecycle.decide import decide
from onestory.referral.lifecycle.model import Action, Command, Reason, Referral, Side, requesting_parties
from onestory.referral.person_news.domain import Move, News, news_change
from onestory.shared.events import Party

NEW, NEWEST = Party("A81004"), Party("A81005")


def moved(referral: Referral, former: str, practice: str, *, from_practice: bool = True) -> Referral:
    """The referral after a move of the person."""
    change = news_change(referral, doing(), News.MOVED, practice, Move(former, practice, from_practice))
    assert change is not None
    return change.referral


def acted(referral: Referral, party: Party) -> Referral:
    """The referral after this party has redirected it to another team."""
    other = PHYSIO if referral.recipient == PAIN else PAIN
    command = Command(Action.REDIRECT, Reason("", {"text": "Another team"}), recipient=other)
    by = doing(party=Party(party.organisation), number=9)
    return decide(referral, command, {Side.REQUESTER}, by, CLOCKS, lambda of, number: f"{of.task_id}-{number}").referral


def test_the_former_and_the_new_practice_are_told() -> None:
    change = news_change(sent(), doing(), News.MOVED, "A81004", Move("A81002", "A81004", True))

    assert change is not None
    told = {(notice.recipient, notice.party, notice.reason) for notice in change.notices}
    assert told == {
        ("requester", PRACTICE, "person-moved"),
        ("recipient", PHYSIO, "person-moved"),
        ("practice", Party("A81002"), "person-moved"),
        ("practice", NEW, "person-moved"),
    }


def test_the_new_practice_may_act_and_is_responsible_from_its_first_act() -> None:
    referral = moved(after(sent(), (Action.REJECT, Side.RECIPIENT)), "A81001", "A81004")
    assert requesting_parties(referral) == (PRACTICE, NEW)
    assert referral.holder == PRACTICE

    referral = acted(referral, NEW)

    assert (referral.requester, referral.referrer, referral.sender, referral.holder) == (PRACTICE, NEW, NEW, NEW)
    assert requesting_parties(referral) == (NEW, PRACTICE)
    failed = after(
        referral, (Action.ACCEPT, Side.RECIPIENT), (Action.START, Side.RECIPIENT), (Action.FAIL, Side.RECIPIENT)
    )
    assert (failed.holder, failed.next_actor) == (NEW, NEW)


def test_an_act_of_the_former_practice_leaves_it_responsible() -> None:
    referral = acted(moved(sent(), "A81001", "A81004"), PRACTICE)

    assert (referral.holder, referral.practice) == (PRACTICE, "A81004")


def test_who_stands_there_stays_so_until_the_next_practice_acts() -> None:
    referral = moved(acted(moved(sent(), "A81001", "A81004"), NEW), "A81004", "A81005")

    assert (referral.holder, referral.practice) == (NEW, "A81005")
    assert acted(referral, NEWEST).holder == NEWEST


def test_a_person_who_moves_back_needs_no_second_practice() -> None:
    assert moved(moved(sent(), "A81001", "A81004"), "A81004", "A81001").practice == ""


def test_a_second_move_before_the_first_practice_acts_names_the_last_one() -> None:
    assert moved(moved(sent(), "A81001", "A81004"), "A81004", "A81005").practice == "A81005"


def test_a_practice_acts_for_a_practice_and_not_for_a_hospital() -> None:
    hospital = Party("RZ9")
    referral = replace(sent(), requester=hospital, referrer=hospital, sender=hospital)

    assert moved(referral, "A81001", "A81004", from_practice=False).practice == ""
    assert moved(sent(), "A81002", "A81004").practice == "A81004"

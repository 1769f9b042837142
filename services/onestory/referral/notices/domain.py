"""Who is told of a change of a referral, and of what. `schemas/fhir/CodeSystem-referral-notice.json` has the codes."""

from __future__ import annotations

from collections.abc import Iterator

from onestory.referral.lifecycle.model import Referral, ReferralKind
from onestory.shared.events import Notice, Party

NOTICE = "https://onestory.nhs.uk/CodeSystem/referral-notice"
CODES = {
    "request": "referral-requested",
    "receive": "referral-received",
    "accept": "referral-accepted",
    "reject": "referral-rejected",
    "start": "referral-started",
    "hold": "referral-on-hold",
    "resume": "referral-resumed",
    "book": "referral-booked",
    "amend-booking": "referral-booking-changed",
    "cancel-booking": "referral-booking-cancelled",
    "complete": "referral-completed",
    "fail": "referral-failed",
    "cancel": "referral-cancelled",
    "redirect": "referral-redirected",
    "correct": "referral-entered-in-error",
    "escalate": "referral-overdue",
    "person-deceased": "person-deceased",
    "person-deceased-withdrawn": "person-deceased-withdrawn",
    "person-moved": "person-moved",
    "message": "referral-message",
    "ask": "referral-question",
    "answer": "referral-answered",
    "advise": "advice-answered",
    "convert": "advice-converted",
}
"""What is told of each action; of every other one, `CHANGED`."""
CHANGED = "referral-changed"
WITHDRAWN = "referral-withdrawn"
"""Told to the team that was asked before."""

# Who had the referral among its own people is nobody else's business.
_INTERNAL = frozenset({"claim", "release"})
# A person is told where to go and whom to expect, and not of each step on the way. That it was a mistake they have to
# know as well: else they wait for somebody who will never come.
_FOR_THE_PERSON = frozenset(
    [
        "request",
        "accept",
        "reject",
        "redirect",
        "book",
        "amend-booking",
        "cancel-booking",
        "complete",
        "fail",
        "cancel",
        "correct",
    ]
)


def notices(action: str, before: Referral, after: Referral, actor: Party | None) -> tuple[Notice, ...]:
    """Who is told that `actor` did this (None: the clock); each party once, and never the actor of its own act.

    The next actor is always told, unless it is the actor; or unless nothing changed for it, in what a team does within.
    """
    told: dict[Party, Notice] = {}
    for party, code in _parties(action, before, after):
        if party != actor:
            told.setdefault(party, Notice(_role(party, after), party, code))
    # A person who is told that a team was asked waits to be seen, and who is asked for advice sees nobody.
    if action in _FOR_THE_PERSON and after.sent_at is not None and after.kind is not ReferralKind.ADVICE:
        return (*told.values(), Notice("person", None, CODES[action]))
    return tuple(told.values())


def _parties(action: str, before: Referral, after: Referral) -> Iterator[tuple[Party, str]]:
    """Everybody whom it concerns, who has to act first."""
    code = CODES.get(action, CHANGED)
    if action in _INTERNAL:
        if after.next_actor is not None and after.next_actor != before.next_actor:
            yield after.next_actor, code
        return
    if after.recipient != before.recipient:
        yield after.recipient, CODES["request"]
    yield after.requester, code
    yield after.sender, code
    if after.sent_at is not None:
        # Whom nobody has asked yet is not told what becomes of a draft.
        yield after.recipient, code
        if before.recipient != after.recipient:
            yield before.recipient, WITHDRAWN
        yield before.sender, code
    if after.next_actor is not None:
        yield after.next_actor, code


def _role(party: Party, after: Referral) -> str:
    if party == after.requester:
        return "requester"
    return "holder" if party == after.holder else "recipient"

"""Decides which parties get a notice about a change of a referral, and with which code. Pure.

`schemas/fhir/CodeSystem-referral-notice.json` defines the codes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from onestory.referral.appointments.model import changed_appointments
from onestory.referral.lifecycle.model import Referral, ReferralKind, requesting_parties
from onestory.shared.events import Notice, Party

NOTICE_SYSTEM = "https://onestory.nhs.uk/CodeSystem/referral-notice"
NOTICE_CODES = {
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
    "did-not-attend": "referral-not-attended",
    "slot-withdrawn": "referral-slot-withdrawn",
    "slot-offered": "referral-slot-offered",
    "complete": "referral-completed",
    "fail": "referral-failed",
    "cancel": "referral-cancelled",
    "redirect": "referral-redirected",
    "correct": "referral-entered-in-error",
    "escalate": "referral-overdue",
    "person-deceased": "person-deceased",
    "person-deceased-withdrawn": "person-deceased-withdrawn",
    "person-moved": "person-moved",
    "person-death-stated": "person-death-stated",
    "person-death-stated-withdrawn": "person-death-stated-withdrawn",
    "hand-over": "referral-handed-over",
    "team-closed": "team-closed",
    "message": "referral-message",
    "ask": "referral-question",
    "answer": "referral-answered",
    "advise": "advice-answered",
    "convert": "advice-converted",
    "claim-ended": "referral-claim-ended",
    "letter": "referral-letter",
    "amend": "referral-amended",
    "prioritise": "referral-priority-changed",
}
"""The code for each action; any other action has `CHANGED`."""
CHANGED = "referral-changed"
WITHDRAWN = "referral-withdrawn"
"""The code for the former recipient after a redirection."""

# Which member of a team works on a referral concerns only this team.
_INTERNAL_ACTIONS = frozenset({"claim", "release"})
# The person learns which team will see them and when, but not each transition. They learn of a correction too:
# otherwise they would wait for a team that never comes.
_PERSON_ACTIONS = frozenset(
    [
        "request",
        "accept",
        "reject",
        "redirect",
        "book",
        "amend-booking",
        "cancel-booking",
        "did-not-attend",
        "complete",
        "fail",
        "cancel",
        "correct",
    ]
)


def notices(
    action: str, before: Referral, after: Referral, actor: Party | None, others: Collection[Party] = ()
) -> tuple[Notice, ...]:
    """The notices about a change by `actor` (None: no user made it): one for each party, and none for the actor.

    `others` are told too, though they are no parties.

    The next actor always gets one, unless it is the actor. After an action inside a team (claim, release) only a new
    next actor gets one.
    """
    by_party: dict[Party, Notice] = {}
    told = [(party, NOTICE_CODES.get(action, CHANGED)) for party in others]
    for party, code in (*_parties(action, before, after), *told):
        if party != actor:
            by_party.setdefault(party, Notice(_role(party, after, others), party, code))
    # No notice to the person about advice: the person would wait for an appointment, and no team will see them.
    if action in _PERSON_ACTIONS and after.sent_at is not None and after.kind is not ReferralKind.ADVICE:
        return (*by_party.values(), Notice("person", None, NOTICE_CODES[action]))
    return tuple(by_party.values())


def _parties(action: str, before: Referral, after: Referral) -> Iterator[tuple[Party, str]]:
    """The parties that a change concerns, each with a code. A party's first code counts."""
    code = NOTICE_CODES.get(action, CHANGED)
    if action == "claim-ended":
        yield after.recipient, code
        return
    if action in _INTERNAL_ACTIONS:
        if after.next_actor is not None and after.next_actor != before.next_actor:
            yield after.next_actor, code
        return
    if after.recipient != before.recipient:
        yield after.recipient, NOTICE_CODES["request"]
    for party in requesting_parties(after):
        yield party, code
    yield after.sender, code
    if after.sent_at is not None:
        # The recipient gets no notice about a draft: it has not been sent yet.
        yield after.recipient, code
        if before.recipient != after.recipient:
            yield before.recipient, WITHDRAWN
        yield before.sender, code
    for appointment in changed_appointments(before.appointments, after.appointments):
        # It may have been made by, or be with, a party that has left the referral since.
        yield appointment.booked_by, code
        yield appointment.team, code
    if after.next_actor is not None:
        yield after.next_actor, code


def _role(party: Party, after: Referral, others: Collection[Party]) -> str:
    if party in (after.requester, after.referrer):
        return "requester"
    if party == after.holder:
        return "holder"
    return "practice" if party in (Party(after.practice), *others) else "recipient"

"""What becomes of a referral when an appointment is made for it, moved or cancelled."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from onestory.referral.bars.domain.people import refuse_other_person
from onestory.referral.bars.work import Work
from onestory.referral.domain.clocks import Clocks
from onestory.referral.domain.command import Changed, Doing, Written
from onestory.referral.domain.decide import acting, finish, timed
from onestory.referral.domain.machine import Side
from onestory.referral.domain.referral import Kind, Referral, Status
from onestory.shared.errors import Conflict, Malformed


class Booked:
    """The change of a referral whose appointment is made, moved or cancelled (`starts_at` is None).

    One with somebody else than the referral has come to, such as a team that it was taken from, is told and no more.
    """

    def __init__(
        self,
        work: Work,
        written: Written,
        action: str,
        with_organisation: str,
        starts_at: datetime | None,
        clocks: Clocks,
    ) -> None:
        self._work = work
        self._written = written
        self._action = action
        self._with = with_organisation
        self._starts_at = starts_at
        self._clocks = clocks

    def __call__(self, referral: Referral, sides: frozenset[Side], doing: Doing) -> Changed:
        refuse_other_person(self._work.message, self._work.event.person, referral.person)
        if not self._written.shared_id.startswith(referral.person_key):
            # Without a number it would be another person's, and the record would take none of this change.
            says = "Whoever is booked for a referral is named as there: send the Patient with the same NHS number."
            raise Malformed(says, code="invariant", expression=self._work.message.patient.path)
        if not referral.is_open and self._action != "cancel-booking":
            says = f"The referral is {referral.status}, and has ended: no appointment can be made for it."
            raise Conflict(says, code="conflict")
        word = "NOT_BOOKED" if self._action == "cancel-booking" else "BOOKED"
        is_theirs = self._with == referral.recipient.organisation
        if referral.kind is Kind.ADVICE or not referral.is_open or not is_theirs:
            word = referral.business_status
        after = replace(referral, version=referral.version + 1, business_status=word)
        # Before somebody has accepted it, an appointment does not say that anybody has looked at it.
        if referral.status in (Status.ACCEPTED, Status.IN_PROGRESS) and referral.is_open and is_theirs:
            booked = timed(replace(after, until=self._starts_at), doing.at, self._clocks)
            after = _beneath_a_question(after, booked) if referral.acts_next else booked
        return finish(referral, after, self._action, acting(referral, sides, doing), [self._written])


def _beneath_a_question(asked: Referral, booked: Referral) -> Referral:
    """An appointment answers no question: it moves the time that the state itself gives, and puts off nobody's turn."""
    assert asked.due_at is not None
    assert booked.due_at is not None
    due_at = min(asked.due_at, booked.due_at) if asked.next_actor == asked.recipient else asked.due_at
    return replace(asked, until=booked.until, state_due_at=booked.due_at, due_at=due_at)

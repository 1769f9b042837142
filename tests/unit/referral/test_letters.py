"""The team that accepted adds the outcome letter, also after the end."""

from __future__ import annotations

import pytest
from tests.unit.referral.made import PHYSIO, PRACTICE, after, doing, sent

from onestory.referral.lifecycle.letters import add_letters
from onestory.referral.lifecycle.model import Action, Referral, Side, Status
from onestory.referral.lifecycle.render import task
from onestory.shared.errors import Conflict, Forbidden, Unprocessable

T = Side.RECIPIENT
ACCEPTED = after(sent(), (Action.ACCEPT, T))
COMPLETED = after(ACCEPTED, (Action.START, T), (Action.COMPLETE, T))
LETTER = {"reference": f"DocumentReference/{COMPLETED.person_key}-{'c' * 26}"}


@pytest.mark.parametrize("referral", [ACCEPTED, COMPLETED])
def test_a_letter_is_an_output_and_the_requester_is_told(referral: Referral) -> None:
    change = add_letters(referral, [LETTER], {T}, doing(party=PHYSIO, number=9))

    assert task(change.referral)["output"] == [{"type": {"text": "letter"}, "valueReference": LETTER}]
    assert (change.referral.status, change.referral.is_open) == (referral.status, referral.is_open)
    assert (PRACTICE, "referral-letter") in [(notice.party, notice.reason) for notice in change.notices]


def test_a_letter_is_by_the_team_that_accepted() -> None:
    with pytest.raises(Forbidden):
        add_letters(COMPLETED, [LETTER], {Side.REQUESTER}, doing())
    for referral in (sent(), after(sent(), (Action.REJECT, T))):
        with pytest.raises(Conflict):
            add_letters(referral, [LETTER], {T}, doing())
    assert COMPLETED.status is Status.COMPLETED


@pytest.mark.parametrize(
    "letters",
    [
        [],
        [{"reference": "DocumentReference/unknown"}],
        [{"reference": f"Observation/{COMPLETED.person_key}-{'c' * 26}"}],
        [{"reference": f"DocumentReference/{'b' * 26}-{'c' * 26}"}],
    ],
)
def test_a_letter_is_a_document_on_the_record_of_the_person(letters: list[dict[str, str]]) -> None:
    with pytest.raises(Unprocessable):
        add_letters(COMPLETED, letters, {T}, doing())

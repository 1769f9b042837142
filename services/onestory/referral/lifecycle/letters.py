"""The outcome letter of a referral: a DocumentReference among the outputs of its Task. Pure.

A letter is often written after the end. So a team may add it to a completed referral too.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from onestory.referral.lifecycle.decide import build_change, with_acting_party
from onestory.referral.lifecycle.model import (
    HELD_BY_RECIPIENT,
    ChangeContext,
    Json,
    Referral,
    ReferralChange,
    ReferralKind,
    Side,
    Status,
)
from onestory.shared.errors import Conflict, Forbidden, Unprocessable
from onestory.shared.identity import parse_shared_id

LETTER = "letter"
"""The operation, its action, and its parameter."""
DOCUMENT = "DocumentReference"


def add_letters(
    referral: Referral, letters: Sequence[Json], sides: Collection[Side], context: ChangeContext
) -> ReferralChange:
    """The change that adds letters to the outputs, by the team that accepted. Everything else stays.

    Raises `Forbidden`, `Conflict` before the acceptance and after another end, and `Unprocessable` where a letter is no
    DocumentReference on the person's record.
    """
    if Side.RECIPIENT not in sides:
        raise Forbidden("Only the team that has accepted a referral may add its letter.")
    may_write = referral.status in HELD_BY_RECIPIENT or referral.status is Status.COMPLETED
    if referral.kind is ReferralKind.ADVICE or not may_write:
        raise Conflict(
            f"The referral is {referral.status}: a letter belongs to an accepted or a completed one. For advice send "
            "$message.",
            code="conflict",
        )
    if not letters:
        raise Unprocessable(
            "Send the parameter letter: a Reference to a DocumentReference on the person's record.",
            code="required",
            expression="Parameters.parameter.where(name='letter')",
        )
    for letter in letters:
        kind, _, name = str(letter.get("reference", "")).rpartition("/")
        parsed = parse_shared_id(name)
        if not kind.endswith(DOCUMENT) or parsed is None or parsed.person_key != referral.person_key:
            raise Unprocessable(
                "Send a Reference to a DocumentReference on this person's record: publish the letter first.",
                code="value",
                expression="Parameters.parameter.where(name='letter')",
            )
    context = with_acting_party(referral, {Side.RECIPIENT}, context)
    outputs = tuple({"type": {"text": LETTER}, "valueReference": letter} for letter in letters)
    after = replace(referral, version=referral.version + 1, outputs=(*referral.outputs, *outputs))
    return build_change(referral, after, LETTER, context)

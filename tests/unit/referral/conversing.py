"""Builds messages about the referrals of `made`, and the conversion of advice."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from tests.unit.referral import made
from tests.unit.referral.made import CLOCKS, KEYS, PHYSIO, SENT

from onestory.referral.conversation.conversion import Conversion, convert
from onestory.referral.conversation.domain import Category, ConversationMessage, decide_message
from onestory.referral.lifecycle.creation import message_id
from onestory.referral.lifecycle.model import Action, ChangeContext, Json, Referral, ReferralChange, Side
from onestory.shared.fhir.references import ADVICE_CATEGORY

_CATEGORY = {
    "coding": [
        {"system": ADVICE_CATEGORY[0], "code": ADVICE_CATEGORY[1]},
        {"system": "https://example.org", "code": "x"},
    ]
}


def after(hours: float) -> datetime:
    """The time this many hours after the referral was sent."""
    return SENT + timedelta(hours=hours)


def urgent(**elements: Any) -> Referral:
    """An urgent referral from the practice to the physiotherapists. Its clocks run by night too."""
    return made.sent(**{"priority": "urgent", **elements})


def advice(**elements: Any) -> Referral:
    """An urgent request for advice from the practice to the physiotherapists."""
    return urgent(category=[_CATEGORY], **elements)


def done(referral: Referral, action: Action, side: Side) -> Referral:
    """The referral after this side takes this action."""
    return made.done(referral, action, side).referral


def said(
    referral: Referral, side: Side | Iterable[Side], category: Category, hours: float = 0, *about: Json
) -> ReferralChange:
    """The change that a message makes, this many hours after the referral was sent. Its author is on these sides."""
    sides = {side} if isinstance(side, Side) else set(side)
    message = ConversationMessage(category, ({"contentString": "Has she had a Doppler?"},), about)
    doing = made.doing(after(hours), number=referral.version + 1)
    return decide_message(referral, message, sides, doing, CLOCKS, partial(message_id, KEYS))


def converted(
    referral: Referral, side: Side, wanted: Conversion | None = None
) -> tuple[ReferralChange, ReferralChange]:
    """The change that ends the advice, and the change that creates the referral. This side converts it."""
    now: ChangeContext = made.doing(after(1), number=referral.version + 1)
    later: ChangeContext = made.doing(after(1), number=1000)
    return convert(referral, wanted or Conversion(PHYSIO), ["m-1", "m-2"], {side}, now, later, CLOCKS, KEYS)

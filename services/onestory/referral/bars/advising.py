"""A response to a request for advice: the advice, or that it is being looked into."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from onestory.referral.bars.domain.meaning import Meaning
from onestory.referral.domain.clocks import Clocks
from onestory.referral.domain.command import Changed, Doing
from onestory.referral.domain.conversation import MessageIds, say
from onestory.referral.domain.machine import Side
from onestory.referral.domain.message import Category, Message
from onestory.referral.domain.referral import Json, Referral
from onestory.shared.errors import Conflict


def advise(
    meaning: Meaning,
    about: Sequence[Json],
    referral: Referral,
    sides: Collection[Side],
    doing: Doing,
    clocks: Clocks,
    ids: MessageIds,
) -> Changed:
    """What the response says of advice, as a message about what it carries. Raises `Conflict` as `say` does."""
    if meaning is Meaning.NOT_ATTENDED:
        raise Conflict("Who is asked for advice sees nobody: send what you advise, or reject the request.")
    category = Category.ANSWER if meaning is Meaning.DONE else Category.INFORMATION
    return say(referral, Message(category, (), tuple(about)), sides, doing, clocks, ids)

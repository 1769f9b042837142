"""Which lists a change of a referral touches, and where in `care.referral` it was told."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from onestory.referral.domain.referral import Status
from onestory.referral.domain.worklist import Whose
from onestory.shared.events import ReferralChanged

_TOKEN = re.compile(r"[0-9a-z]{1,13}(?:\.[0-9a-z]{1,13}){0,255}")
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"

Offsets = Mapping[int, int]
"""Of each partition, the offset up to which (exclusive) everything is known."""


@dataclass(frozen=True, slots=True)
class Touch:
    """A change: of which referral, told where; the teams that had or have to do with it, and the organisations."""

    partition: int
    offset: int
    referral_id: str
    teams: tuple[str, ...]
    requester: str
    recipient: str

    def concerns(self, whose: Whose) -> bool:
        """Whether the list may be another one now."""
        return self.requester == whose.requester if whose.requester else bool(whose.recipients.intersection(self.teams))


def touch(partition: int, offset: int, event: ReferralChanged) -> Touch:
    """What the change touches. Who was asked before is among those who are told, or did it."""
    parties = [event.requester, event.holder, event.next_actor, event.actor.party, *(n.party for n in event.notices)]
    if event.status != Status.DRAFT:
        parties.append(event.recipient)
    teams = dict.fromkeys(sys.intern(each.team) for each in parties if each and each.team)
    requester, recipient = sys.intern(event.requester.organisation), sys.intern(event.recipient.organisation)
    return Touch(partition, offset, event.referral_id, tuple(teams), requester, recipient)


def to_token(offsets: Offsets) -> str:
    """The offsets as an opaque string, for Last-Event-ID."""
    return ".".join(_base36(offsets[partition]) for partition in sorted(offsets))


def from_token(token: str) -> Offsets | None:
    """The offsets of a token; None for what is none."""
    if not _TOKEN.fullmatch(token):
        return None
    return {partition: int(part, 36) for partition, part in enumerate(token.split("."))}


def _base36(number: int) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    return digits or "0"

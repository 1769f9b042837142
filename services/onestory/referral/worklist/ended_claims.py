"""Ends claims whose user has no role in force at the team any more: otherwise nobody works on the referral.

The rule is the one for acts (`lifecycle/parties.py`): a user of whom the directory knows a role at the team, or at its
organisation, needs a role at the team that is in force. A claim of a system, of which it knows none, stays.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

import structlog
from prometheus_client import CollectorRegistry, Counter

from onestory.referral.lifecycle.decide import build_change
from onestory.referral.lifecycle.handler import ReferralHandler
from onestory.referral.lifecycle.model import ChangeContext, Referral, ReferralChange
from onestory.shared.errors import Unavailable
from onestory.shared.events import Party
from onestory.shared.postgres.database import Database, Queries

CLAIM_ENDED = "claim-ended"
"""The action of the change that ends a claim. Its reason is this word too: the role has ended."""
_PAGE = 200

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class EndedClaim:
    """A claim of a user who has no role in force at the team."""

    referral_id: str
    team: Party
    subject: str


async def ended_claims(queries: Queries, now: datetime, limit: int) -> list[EndedClaim]:
    """Claims of users whose roles at the team have ended, at most `limit`. Those with a successor are handed over."""
    rows = await queries.fetch(
        """select r.referral_id, r.recipient_organisation, r.recipient_team, r.claimed_by from referral.referral r
           where r.is_open and r.claimed_by <> '' and exists (
               select from referral.role known where known.subject = r.claimed_by
                   and known.team_id <> ''
                   and (known.team_id = r.recipient_team or known.organisation = r.recipient_organisation)
           ) and not exists (
               select from referral.role here where here.subject = r.claimed_by and here.team_id = r.recipient_team
                   and here.active and (here.starts_at is null or here.starts_at <= $1)
                   and (here.ends_at is null or here.ends_at > $1)
           ) and not exists (
               select from referral.succession heir where heir.kind = 'user' and heir.old_user = r.claimed_by
                   and heir.old_team = r.recipient_team and (heir.starts_at is null or heir.starts_at <= $1)
           ) limit $2""",
        now,
        limit,
    )
    return [EndedClaim(row[0], Party(row[1], row[2]), row[3]) for row in rows]


def end_claim(referral: Referral, context: ChangeContext, claim: EndedClaim) -> ReferralChange | None:
    """The change that ends a claim, with a notice to the team; None where the claim has ended meanwhile."""
    if not referral.is_open or referral.claimed_by != claim.subject or referral.recipient != claim.team:
        return None
    after = replace(referral, version=referral.version + 1, claimed_by="")
    return replace(build_change(referral, after, CLAIM_ENDED, context), reason="role-ended")


class ClaimEnder:
    """Ends the claims of users whose roles have ended. Several processes may run it."""

    def __init__(self, database: Database, handler: ReferralHandler, registry: CollectorRegistry) -> None:
        self._database = database
        self._handler = handler
        self._failures = Counter(
            "onestory_referral_claims_failed", "Claims that could not be ended, tried again", registry=registry
        )

    async def tick(self, now: datetime) -> int:
        """Ends all such claims; returns their number. Raises `Unavailable`."""
        ended = 0
        for claim in await ended_claims(self._database, now, _PAGE):
            try:
                decide = partial(end_claim, claim=claim)
                ended += await self._handler.change_without_request(claim.referral_id, decide) is not None
            except Unavailable:
                raise
            except Exception as error:
                # One claim that cannot be ended must not keep the others.
                self._failures.inc()
                log.error("claim_not_ended", referral=claim.referral_id, error=type(error).__name__)
        return ended

"""Decides which referrals of a person a caller reads: its own, those on its journeys, and advice that it converted."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from onestory.referral.conversation.conversion import converted_id
from onestory.referral.lifecycle import journeys, parties
from onestory.referral.lifecycle import store as lifecycle_store
from onestory.referral.lifecycle.model import Referral, ReferralParties, Side
from onestory.referral.lifecycle.status_words import ADVICE_CONVERTED
from onestory.referral.lifecycle.store import ReferralResource
from onestory.shared.errors import Forbidden, NotFound
from onestory.shared.identity import Keys
from onestory.shared.policy import Caller
from onestory.shared.postgres.database import Queries


async def sides_by_referral(
    queries: Queries, caller: Caller, referrals: Collection[ReferralParties], now: datetime
) -> Mapping[str, frozenset[Side]]:
    """By referral id, the sides for which the caller may act; empty where it is no party."""
    roles, teams = await parties.roles_and_teams(queries, caller, referrals)
    return {each.referral_id: parties.sides_or_none(caller, each, roles, teams, now) for each in referrals}


async def readable_requests(
    queries: Queries, keys: Keys, caller: Caller, person_key: str, now: datetime
) -> list[ReferralResource]:
    """The ServiceRequests of a person's referrals that the caller reads, the last changed first.

    The same queries run whether the person has referrals or not. Content is read only for a reader.
    """
    referrals = await lifecycle_store.parties_of_person(queries, person_key)
    sides = await sides_by_referral(queries, caller, referrals, now)
    by_id = {referral.referral_id: referral for referral in referrals}

    def may_read(referral: ReferralParties | None) -> bool:
        if referral is None:
            return False
        if sides[referral.referral_id] or _is_on_journey(referral, referrals, sides):
            return True
        was_converted = referral.business_status == ADVICE_CONVERTED
        return was_converted and may_read(by_id.get(converted_id(referral, keys)))

    readable = [referral.referral_id for referral in referrals if may_read(referral)]
    return await lifecycle_store.service_requests(queries, person_key, readable) if readable else []


async def require_reader(queries: Queries, keys: Keys, caller: Caller, referral: Referral, now: datetime) -> None:
    """Raise `NotFound` or `Forbidden` unless the caller is a party to a referral, or reads it for another reason."""
    try:
        await parties.sides_of_caller(queries, caller, referral, now)
    except (NotFound, Forbidden):
        readable = await readable_requests(queries, keys, caller, referral.person_key, now)
        if referral.referral_id not in {request.referral_id for request in readable}:
            raise


def _is_on_journey(
    referral: ReferralParties, referrals: Collection[ReferralParties], sides: Mapping[str, frozenset[Side]]
) -> bool:
    others = journeys.others_on_journey(referral.referral_id, referrals)
    return referral.sent_at is not None and any(
        journeys.is_on_journey(other, sides[other.referral_id]) for other in others
    )

"""Who is party to a booking: the organisation that made it, and whoever acts for the team that it is with."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from onestory.referral.bars.store.bookings import Booking
from onestory.referral.domain.standing import refusal
from onestory.referral.store import directory
from onestory.shared.caller import Caller
from onestory.shared.database import Queries
from onestory.shared.events import Party


async def of_ones_own(queries: Queries, caller: Caller, bookings: Iterable[Booking]) -> list[Booking]:
    """Those to which the caller is party now: at the team a role has to be in force, as for its referrals."""
    found = list(bookings)
    roles = await directory.roles_of(queries, caller.subject) if found else []
    teams = {each.team_id: each for each in await directory.teams(queries, {each.team_id for each in found})}
    now = datetime.now(UTC)
    return [
        each
        for each in found
        if caller.organisation == each.organisation
        or not refusal(caller, Party(each.with_organisation, each.team_id), teams.get(each.team_id), roles, now)
    ]

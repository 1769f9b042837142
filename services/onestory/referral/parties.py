"""Who stands where in a referral, and which team takes one."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from onestory.referral.domain.creation import TeamNamed
from onestory.referral.domain.directory import Team
from onestory.referral.domain.machine import Side
from onestory.referral.domain.referral import Referral
from onestory.referral.domain.standing import refusal
from onestory.referral.store import directory
from onestory.shared.caller import Caller
from onestory.shared.database import Queries
from onestory.shared.errors import Forbidden, NotFound, Unprocessable
from onestory.shared.events import Party


async def sides(queries: Queries, caller: Caller, referral: Referral, now: datetime) -> frozenset[Side]:
    """On which sides a caller stands. Raises `NotFound` for strangers, `Forbidden` for a role not in force."""
    roles = await directory.roles_of(queries, caller.subject)
    team = await directory.team(queries, referral.recipient.team)
    passed_on = await directory.team(queries, referral.sender.team) if referral.sender.team else None
    parties = {Side.SENDER: (referral.sender, passed_on), Side.REQUESTER: (referral.requester, None)}
    if referral.sent_at is not None:
        # Whom nobody has asked yet knows of no draft.
        parties = {Side.RECIPIENT: (referral.recipient, team), **parties}
    why_not = {side: refusal(caller, party, team, roles, now) for side, (party, team) in parties.items()}
    found = frozenset(side for side, because in why_not.items() if because is None)
    if not found:
        known = {role.team_id for role in roles}
        near = [side for side, (party, _) in parties.items() if _is_near(caller, party, known)]
        raise Forbidden(str(why_not[near[0]])) if near else absent()
    return found


async def team_named(queries: Queries, named: TeamNamed) -> Team:
    """The team of the directory. Raises `Unprocessable` for one that takes no referrals."""
    teams = (
        await directory.team_by_dos_id(queries, named.dos_id)
        if named.dos_id
        else [team]
        if (team := await directory.team(queries, named.team_id))
        else []
    )
    if not teams:
        says = "The directory has no such team: check the id, or publish the HealthcareService first."
        raise Unprocessable(says, code="not-found", expression=named.path)
    active = [team for team in teams if team.active]
    if len(active) != 1:
        says = "This team takes no referrals any more." if not active else "Several teams have this service id."
        raise Unprocessable(f"{says} Choose another one.", code="business-rule", expression=named.path)
    return active[0]


def absent() -> NotFound:
    """The same words whether there is no such thing or the caller is no party to it."""
    return NotFound("There is nothing here that you may read.")


def _is_near(caller: Caller, party: Party, teams: Collection[str]) -> bool:
    """Whether somebody may know that there is something of this party: of its organisation, or once in its team."""
    return caller.organisation == party.organisation or (party.team != "" and party.team in teams)

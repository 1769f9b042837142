"""Who stands where in a referral, and which team takes one."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from onestory.referral.directory import store as directory_store
from onestory.referral.directory.model import Role, Team
from onestory.referral.lifecycle.creation import TeamNamed
from onestory.referral.lifecycle.machine import Side
from onestory.referral.lifecycle.model import Referral
from onestory.shared.errors import Forbidden, NotFound, Unprocessable
from onestory.shared.events import Party
from onestory.shared.http.caller import Caller
from onestory.shared.postgres.database import Queries

# For whom a caller may act: one's organisation, or a team in which one has a role at this moment.

_ENGLAND = ZoneInfo("Europe/London")


def require_standing(caller: Caller, party: Party, team: Team | None, roles: Sequence[Role], now: datetime) -> None:
    """Raise `Forbidden` unless the caller may act for this party; see `refusal`."""
    if because := refusal(caller, party, team, roles, now):
        raise Forbidden(because)


def refusal(caller: Caller, party: Party, team: Team | None, roles: Sequence[Role], now: datetime) -> str | None:
    """Why the caller may not act for this party now; None: the caller may.

    `team` is what the directory says of the party's team, `roles` are all that it knows of the caller's subject. Where
    it knows any at a team of the caller's organisation or of this one, a role at this very team has to be in force,
    whatever organisation the token names: so a visiting doctor may act, and one who has left may not. Of whom it knows
    none, such as a system, the organisation decides.
    """
    if team is None or not party.team:
        # A team that the directory has lost may not keep its organisation from finishing what it holds.
        return None if caller.organisation == party.organisation else _other_organisation()
    if not _is_listed(roles, {caller.organisation, team.organisation}):
        return None if caller.organisation == team.organisation else _other_organisation()
    here = [role for role in roles if role.team_id == team.team_id]
    if any(role.in_force(now) for role in here):
        return None
    return _no_role(team, here, now)


def _is_listed(roles: Sequence[Role], organisations: Collection[str]) -> bool:
    return any(role.team_id and role.organisation in organisations for role in roles)


def _no_role(team: Team, here: Sequence[Role], now: datetime) -> str:
    active = [role for role in here if role.active]
    to_come = [role.starts_at for role in active if role.starts_at and role.starts_at > now and not role.is_over(now)]
    if to_come:
        return f"Your role in {team.name} starts on {_day(min(to_come))}."
    if over := [role.ends_at for role in active if role.ends_at and role.is_over(now)]:
        # What ends at midnight has the day before as its last.
        return f"Your role in {team.name} ended on {_day(max(over) - timedelta(microseconds=1))}."
    return f"Your role in {team.name} has been withdrawn." if here else f"You hold no role in {team.name}."


def _other_organisation() -> str:
    return "You act for another organisation than the one whose turn it is."


def _day(moment: datetime) -> str:
    day = moment.astimezone(_ENGLAND).date()
    return f"{day.day} {day:%B %Y}"


async def sides(queries: Queries, caller: Caller, referral: Referral, now: datetime) -> frozenset[Side]:
    """On which sides a caller stands. Raises `NotFound` for strangers, `Forbidden` for a role not in force."""
    roles = await directory_store.roles_of(queries, caller.subject)
    team = await directory_store.team(queries, referral.recipient.team)
    passed_on = await directory_store.team(queries, referral.sender.team) if referral.sender.team else None
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
        await directory_store.team_by_dos_id(queries, named.dos_id)
        if named.dos_id
        else [team]
        if (team := await directory_store.team(queries, named.team_id))
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

"""For whom a caller may act: one's organisation, or a team in which one has a role at this moment."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from onestory.referral.domain.directory import Role, Team
from onestory.shared.caller import Caller
from onestory.shared.errors import Forbidden
from onestory.shared.events import Party

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

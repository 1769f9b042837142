"""Decides for which parties of a referral a caller may act, and finds the team that takes a referral."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from onestory.referral.directory import store as directory_store
from onestory.referral.directory.model import WEEKDAYS, Role, Team
from onestory.referral.lifecycle.creation import TeamReference
from onestory.referral.lifecycle.model import PartyFields, Side, requesting_parties
from onestory.shared.errors import Forbidden, NotFound, Unprocessable
from onestory.shared.events import Party
from onestory.shared.fhir.dates import uk_day
from onestory.shared.policy import Caller
from onestory.shared.postgres.database import Queries


def require_authority(caller: Caller, party: Party, team: Team | None, roles: Sequence[Role], now: datetime) -> None:
    """Raise `Forbidden` unless the caller may act for this party; see `refusal_reason`."""
    if reason := refusal_reason(caller, party, team, roles, now):
        raise Forbidden(reason)


def refusal_reason(caller: Caller, party: Party, team: Team | None, roles: Sequence[Role], now: datetime) -> str | None:
    """The reason why the caller may not act for this party now; None: the caller may.

    `team` is the party's team in the directory, `roles` are all roles of the caller's subject there. The rule depends
    on whether the directory has a role of the caller at any team of the caller's organisation or of this team's:

    - It has one: a role at this very team has to be in force, whatever organisation the token names. So a visiting
      doctor may act, and a doctor who has left may not.
    - It has none, as for a system: the caller's organisation decides.
    """
    if team is None or not party.team:
        # A team that the directory has lost may not keep its organisation from finishing what it holds.
        return None if caller.organisation == party.organisation else _other_organisation()
    if not _has_role_at(roles, {caller.organisation, team.organisation}):
        return None if caller.organisation == team.organisation else _other_organisation()
    here = [role for role in roles if role.team_id == team.team_id]
    if any(role.is_in_force(now) for role in here):
        return None
    return _role_refusal(team, here, now)


def _has_role_at(roles: Sequence[Role], organisations: Collection[str]) -> bool:
    return any(role.team_id and role.organisation in organisations for role in roles)


def _role_refusal(team: Team, here: Sequence[Role], now: datetime) -> str:
    active = [role for role in here if role.active]
    to_come = [role.starts_at for role in active if role.starts_at and role.starts_at > now and not role.has_ended(now)]
    if to_come:
        return f"Your role in {team.name} starts on {_day(min(to_come))}."
    if over := [role.ends_at for role in active if role.ends_at and role.has_ended(now)]:
        # A role that ends at midnight has the day before as its last day.
        return f"Your role in {team.name} ended on {_day(max(over) - timedelta(microseconds=1))}."
    if days := {day for role in active for day in role.weekdays}:
        return f"Your role in {team.name} is for {', '.join(day for day in WEEKDAYS if day in days)}."
    return f"Your role in {team.name} has been withdrawn." if here else f"You hold no role in {team.name}."


def _other_organisation() -> str:
    return "Your token is for another organisation than the one that may act now."


def _day(moment: datetime) -> str:
    day = uk_day(moment)
    return f"{day.day} {day:%B %Y}"


async def sides_of_caller(queries: Queries, caller: Caller, referral: PartyFields, now: datetime) -> frozenset[Side]:
    """The sides for which a caller may act.

    Raises `NotFound` where the caller is no party to the referral, `Forbidden` where the caller's role is not in force.
    """
    return sides(caller, referral, *await roles_and_teams(queries, caller, [referral]), now)


async def roles_and_teams(
    queries: Queries, caller: Caller, referrals: Iterable[PartyFields]
) -> tuple[Sequence[Role], Mapping[str, Team]]:
    """The caller's roles, and by id the teams of these referrals. It takes the same queries without any referral."""
    roles = await directory_store.roles_of_user(queries, caller.subject)
    team_ids = {party.team for referral in referrals for _, party in _parties(referral)}
    teams = await directory_store.teams_by_ids(queries, team_ids - {""})
    return roles, {team.team_id: team for team in teams}


def sides(
    caller: Caller, referral: PartyFields, roles: Sequence[Role], teams: Mapping[str, Team], now: datetime
) -> frozenset[Side]:
    """The sides for which a caller with these roles may act. Raises what `sides_of_caller` raises."""
    refusals = [
        (side, party, refusal_reason(caller, party, teams.get(party.team), roles, now))
        for side, party in _parties(referral)
    ]
    permitted = frozenset(side for side, _, reason in refusals if reason is None)
    if not permitted:
        own_teams = {role.team_id for role in roles}
        known = [reason for _, party, reason in refusals if _may_know_of(caller, party, own_teams)]
        raise Forbidden(str(known[0])) if known else referral_not_found()
    return permitted


def sides_or_none(
    caller: Caller, referral: PartyFields, roles: Sequence[Role], teams: Mapping[str, Team], now: datetime
) -> frozenset[Side]:
    """The sides for which a caller may act; empty where the caller is no party, or its role is not in force."""
    try:
        return sides(caller, referral, roles, teams, now)
    except (Forbidden, NotFound):
        return frozenset()


def _parties(referral: PartyFields) -> list[tuple[Side, Party]]:
    """The parties of a referral, each with its side: the person's new practice acts for the requester."""
    # A team does not see a draft for it: the referral has not been sent yet.
    recipient = [(Side.RECIPIENT, referral.recipient)] if referral.sent_at is not None else []
    return [
        *recipient,
        (Side.SENDER, referral.sender),
        *[(Side.REQUESTER, party) for party in requesting_parties(referral)],
    ]


async def active_team(queries: Queries, reference: TeamReference) -> Team:
    """The active team of a reference. Raises `Unprocessable` where the directory has none, or several."""
    teams = (
        await directory_store.teams_by_dos_id(queries, reference.dos_id)
        if reference.dos_id
        else [team]
        if (team := await directory_store.find_team(queries, reference.team_id))
        else []
    )
    if not teams:
        problem = "The directory has no such team: check the id, or publish the HealthcareService first."
        raise Unprocessable(problem, code="not-found", expression=reference.path)
    active = [team for team in teams if team.active]
    if len(active) != 1:
        problem = "This team takes no referrals any more." if not active else "Several teams have this service id."
        if not active and (successors := await directory_store.successors(queries, [team.team_id for team in teams])):
            problem += f" It is succeeded by {' and '.join(f'HealthcareService/{each}' for each in successors)}."
        raise Unprocessable(f"{problem} Choose another one.", code="business-rule", expression=reference.path)
    return active[0]


def referral_not_found() -> NotFound:
    """The error is the same whether there is no such resource or the caller is no party to it."""
    return NotFound("There is nothing here that you may read.")


def _may_know_of(caller: Caller, party: Party, teams: Collection[str]) -> bool:
    """Whether the caller may learn that this party has a referral.

    The caller has to be of the party's organisation, or to have or have had a role in its team.
    """
    return caller.organisation == party.organisation or (party.team != "" and party.team in teams)

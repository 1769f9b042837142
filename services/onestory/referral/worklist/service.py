"""Worklists: for whom somebody may read them, and what is on them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from onestory.referral.directory import store as directory_store
from onestory.referral.directory.model import Role, Team
from onestory.referral.lifecycle.model import Referral
from onestory.referral.lifecycle.parties import refusal
from onestory.referral.worklist import store as worklist_store
from onestory.referral.worklist.domain import Cursor, Filters, Sort, Whose, row, to_name
from onestory.referral.worklist.store import ListedReferral, ListQuery, StatusCount
from onestory.shared.errors import Forbidden, NotFound
from onestory.shared.events import Party
from onestory.shared.http.caller import Caller
from onestory.shared.identity import is_directory_id
from onestory.shared.postgres.database import Database, Queries


@dataclass(frozen=True, slots=True)
class WorklistPage:
    """Some rows of a list, how many there are of it in all, and where the next page begins; None: there is none."""

    at: datetime
    referrals: list[Referral]
    counts: list[StatusCount]
    next: Cursor | None

    @property
    def total(self) -> int:
        """How many rows all pages have."""
        return sum(each.number for each in self.counts)


class Worklists:
    """Reads lists. Whose list somebody may read is asked anew each time: roles end."""

    def __init__(self, database: Database, now: Callable[[], datetime] | None = None) -> None:
        self._database = database
        self._now = now or (lambda: datetime.now(UTC))

    async def team(self, caller: Caller, team_id: str) -> Whose:
        """The list of one team. Raises `Forbidden` for a role that is not in force, `NotFound` for strangers."""
        if not is_directory_id(team_id):
            raise _absent()
        team = await directory_store.team(self._database, team_id)
        roles = await directory_store.roles_of(self._database, caller.subject)
        organisation = team.organisation if team else await worklist_store.organisation_of(self._database, team_id)
        because = refusal(caller, Party(organisation or "", team_id), team, roles, self._now())
        if organisation and because is None:
            return Whose(teams=(team_id,), claimer=caller.subject)
        if organisation and (caller.organisation == organisation or any(each.team_id == team_id for each in roles)):
            raise Forbidden(str(because))
        raise _absent()

    async def organisation(self, caller: Caller, ods: str) -> Whose:
        """What one's own organisation has sent. Raises `NotFound` for any other."""
        if ods.upper() != caller.organisation:
            raise _absent()
        return Whose(requester=caller.organisation, claimer=caller.subject)

    async def mine(self, caller: Caller) -> Whose:
        """All teams in which the caller has a role in force, and what the caller has claimed for another."""
        roles, now = await directory_store.roles_of(self._database, caller.subject), self._now()
        teams = sorted({each.team_id for each in roles if each.team_id and each.in_force(now)})
        claimed = [
            each for each in await worklist_store.claimed_for(self._database, caller.subject) if each.team not in teams
        ]
        known = {
            each.team_id: each for each in await directory_store.teams(self._database, [each.team for each in claimed])
        }
        stands = [each.team for each in claimed if not refusal(caller, each, known.get(each.team), roles, now)]
        return Whose(teams=tuple(teams), claimer=caller.subject, claimed_for=tuple(sorted(stands)), across=True)

    async def owned_by(self, caller: Caller, ods: str) -> Whose:
        """What all teams of an organisation were asked for which the caller stands. Raises `NotFound` for strangers."""
        known = await directory_store.teams_of(self._database, ods.upper()) if ods.isalnum() else []
        teams = await self._standing(caller, known)
        if not teams:
            raise _absent()
        return Whose(teams=tuple(each.team_id for each in teams), claimer=caller.subject, received_only=True)

    async def teams(self, caller: Caller) -> list[Team]:
        """The teams whose lists the caller may read, by name."""
        roles = await directory_store.roles_of(self._database, caller.subject)
        named = await directory_store.teams(self._database, {each.team_id for each in roles if each.team_id})
        own = await directory_store.teams_of(self._database, caller.organisation)
        found = {each.team_id: each for each in await self._standing(caller, [*named, *own], roles)}
        return sorted(found.values(), key=lambda each: (each.name, each.team_id))

    async def page(self, whose: Whose, filters: Filters, sort: Sort, most: int, after: Cursor | None) -> WorklistPage:
        """A page, and counts of the same moment."""
        async with self._database.snapshot() as queries:
            now, snapshot = self._now(), await worklist_store.snapshot(queries)
            cursor = after or Cursor(now, "", snapshot, None)
            question = ListQuery(whose, filters, cursor.at)
            listed, following = await _rows(queries, question, sort, cursor, snapshot, most)
            counts = await worklist_store.counts(queries, question)
        return WorklistPage(now, [each.referral for each in listed], counts, following)

    async def written(self, referrals: Sequence[Referral], whose: Whose) -> list[dict[str, Any]]:
        """Rows as JSON, with the names that the directory has."""
        names, now = await directory_store.names(self._database, *to_name(referrals)), self._now()
        return [row(each, names, whose, now) for each in referrals]

    async def rows(self, whose: Whose, filters: Filters, referral_ids: Collection[str]) -> list[Referral]:
        """Those of these referrals that are on the list now."""
        return await worklist_store.rows(self._database, ListQuery(whose, filters, self._now()), referral_ids)

    async def gone(self, whose: Whose, filters: Filters, referral_ids: Collection[str]) -> dict[str, str]:
        """Why these referrals are not on the list: `filtered`, `elsewhere`, or the status with which they left it."""
        if not referral_ids:
            return {}
        found = await worklist_store.any_of(self._database, referral_ids)
        still = await self.rows(whose, Filters(), referral_ids) if filters != Filters() else []
        filtered = {each.referral_id for each in still}
        # What was never sent, the team has never heard of.
        told = [each for each in found if whose.requester or each.sent_at is not None]
        return {each.referral_id: "filtered" if each.referral_id in filtered else whose.left_by(each) for each in told}

    async def lateness(self) -> float:
        """By how many seconds those who follow lists hear of changes too late, at least."""
        return await worklist_store.lateness(self._database)

    async def tasks(self, referrals: Sequence[Referral]) -> list[tuple[str, bytes]]:
        """The id of each Task, and the Task as it is read."""
        found = await worklist_store.tasks(self._database, referrals)
        return [(each.task_id, found[each.task_id]) for each in referrals if each.task_id in found]

    async def _standing(
        self, caller: Caller, teams: Collection[Team], roles: Sequence[Role] | None = None
    ) -> list[Team]:
        if roles is None:
            roles = await directory_store.roles_of(self._database, caller.subject)
        now = self._now()
        return [each for each in teams if not refusal(caller, Party(each.organisation, each.team_id), each, roles, now)]


async def _rows(
    queries: Queries, question: ListQuery, sort: Sort, cursor: Cursor, snapshot: str, most: int
) -> tuple[list[ListedReferral], Cursor | None]:
    """The rows of a page, and where the next one begins: in this round, or in that of what has been changed since."""
    listed = await worklist_store.page(queries, question, sort, cursor, most + 1)
    if len(listed) > most:
        return listed[:most], Cursor(cursor.at, cursor.since, cursor.until, listed[most - 1].place)
    if cursor.until == snapshot or not await worklist_store.is_changed(queries, question, cursor.until):
        return listed, None
    again = Cursor(cursor.at, cursor.until, snapshot, None)
    return (listed, again) if listed else await _rows(queries, question, sort, again, snapshot, most)


def _absent() -> NotFound:
    return NotFound("There is no worklist here that you may read.")

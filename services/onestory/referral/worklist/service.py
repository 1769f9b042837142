"""Reads worklists: decides which lists a caller may read, and reads pages, rows and Tasks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from onestory.referral.directory import store as directory_store
from onestory.referral.directory.model import Role, Team
from onestory.referral.lifecycle.model import Referral
from onestory.referral.lifecycle.parties import refusal_reason
from onestory.referral.worklist import store as worklist_store
from onestory.referral.worklist.domain import Filters, Sort, WorklistCursor, WorklistScope, names_needed, row_to_json
from onestory.referral.worklist.store import ListedReferral, ListQuery, StatusCount
from onestory.shared.errors import Forbidden, NotFound
from onestory.shared.events import Party
from onestory.shared.identity import is_directory_id
from onestory.shared.policy import Caller
from onestory.shared.postgres.database import Database, Queries


@dataclass(frozen=True, slots=True)
class WorklistPage:
    """A page of a list at the time `at`, the counts of all pages, and the cursor of the next page, if there is one."""

    at: datetime
    referrals: list[Referral]
    counts: list[StatusCount]
    next: WorklistCursor | None

    @property
    def total(self) -> int:
        """The number of rows on all pages."""
        return sum(count.number for count in self.counts)


class Worklists:
    """Reads lists. It checks the caller's access at each request, because roles end."""

    def __init__(self, database: Database, now: Callable[[], datetime] | None = None) -> None:
        self._database = database
        self._now = now or (lambda: datetime.now(UTC))

    async def team_scope(self, caller: Caller, team_id: str) -> WorklistScope:
        """The list of one team.

        Raises `Forbidden` for a caller with a role at the team that is not in force, and for one of the team's own
        organisation without access. Raises `NotFound` for any other caller, whether the team exists or not.
        """
        if not is_directory_id(team_id):
            raise _not_found()
        team = await directory_store.find_team(self._database, team_id)
        roles = await directory_store.roles_of_user(self._database, caller.subject)
        organisation = team.organisation if team else await worklist_store.organisation_of_team(self._database, team_id)
        reason = refusal_reason(caller, Party(organisation or "", team_id), team, roles, self._now())
        if organisation and reason is None:
            return WorklistScope(teams=(team_id,), claimer=caller.subject)
        if organisation and (caller.organisation == organisation or any(role.team_id == team_id for role in roles)):
            raise Forbidden(str(reason))
        raise _not_found()

    async def organisation_scope(self, caller: Caller, ods: str) -> WorklistScope:
        """The referrals that the caller's organisation has sent. Raises `NotFound` for another organisation."""
        if ods.upper() != caller.organisation:
            raise _not_found()
        return WorklistScope(requester=caller.organisation, claimer=caller.subject)

    async def user_scope(self, caller: Caller) -> WorklistScope:
        """All teams in which the caller has a role in force, and what the caller has claimed for other teams."""
        roles, now = await directory_store.roles_of_user(self._database, caller.subject), self._now()
        teams = sorted({role.team_id for role in roles if role.team_id and role.is_in_force(now)})
        claimed = [
            party
            for party in await worklist_store.claimed_teams(self._database, caller.subject)
            if party.team not in teams
        ]
        known = {
            team.team_id: team
            for team in await directory_store.teams_by_ids(self._database, [party.team for party in claimed])
        }
        claimed_for = sorted(
            party.team for party in claimed if not refusal_reason(caller, party, known.get(party.team), roles, now)
        )
        return WorklistScope(
            teams=tuple(teams), claimer=caller.subject, claimed_for=tuple(claimed_for), all_teams_of_user=True
        )

    async def owner_scope(self, caller: Caller, ods: str) -> WorklistScope:
        """The referrals that an organisation's teams have received, of the teams that the caller may act for.

        Raises `NotFound` where there is no such team.
        """
        known = await directory_store.teams_of_organisation(self._database, ods.upper()) if ods.isalnum() else []
        teams = await self._accessible(caller, known)
        if not teams:
            raise _not_found()
        return WorklistScope(teams=tuple(team.team_id for team in teams), claimer=caller.subject, received_only=True)

    async def readable_teams(self, caller: Caller) -> list[Team]:
        """The teams whose lists the caller may read, by name."""
        roles = await directory_store.roles_of_user(self._database, caller.subject)
        with_role = await directory_store.teams_by_ids(self._database, {role.team_id for role in roles if role.team_id})
        own = await directory_store.teams_of_organisation(self._database, caller.organisation)
        teams = {team.team_id: team for team in await self._accessible(caller, [*with_role, *own], roles)}
        return sorted(teams.values(), key=lambda team: (team.name, team.team_id))

    async def page(
        self, scope: WorklistScope, filters: Filters, sort: Sort, page_size: int, cursor: WorklistCursor | None
    ) -> WorklistPage:
        """A page from the cursor on, or the first one, and counts of the same database snapshot."""
        async with self._database.snapshot() as queries:
            now, snapshot = self._now(), await worklist_store.current_snapshot(queries)
            cursor = cursor or WorklistCursor(now, "", snapshot, None)
            query = ListQuery(scope, filters, cursor.at)
            listed, next_cursor = await _page_rows(queries, query, sort, cursor, snapshot, page_size)
            counts = await worklist_store.count_by_status(queries, query)
        return WorklistPage(now, [row.referral for row in listed], counts, next_cursor)

    async def rows_to_json(self, referrals: Sequence[Referral], scope: WorklistScope) -> list[dict[str, Any]]:
        """The rows of these referrals as JSON, with names from the directory."""
        names, now = await directory_store.directory_names(self._database, *names_needed(referrals)), self._now()
        return [row_to_json(referral, names, scope, now) for referral in referrals]

    async def listed(self, scope: WorklistScope, filters: Filters, referral_ids: Collection[str]) -> list[Referral]:
        """The ones of these referrals that are on the list now."""
        query = ListQuery(scope, filters, self._now())
        return await worklist_store.listed_referrals(self._database, query, referral_ids)

    async def leaving_reasons(
        self, scope: WorklistScope, filters: Filters, referral_ids: Collection[str]
    ) -> dict[str, str]:
        """Why these referrals are not on the list: `filtered`, `elsewhere`, or the status with which they left it."""
        if not referral_ids:
            return {}
        referrals = await worklist_store.referrals_by_ids(self._database, referral_ids)
        unfiltered = await self.listed(scope, Filters(), referral_ids) if filters != Filters() else []
        filtered = {referral.referral_id for referral in unfiltered}
        # A team has never seen a referral that was not sent, so it gets no reason for it.
        seen = [referral for referral in referrals if scope.requester or referral.sent_at is not None]
        return {
            referral.referral_id: "filtered" if referral.referral_id in filtered else scope.leaving_reason(referral)
            for referral in seen
        }

    async def delay_s(self) -> float:
        """By how many seconds, at least, changes reach the readers of lists late."""
        return await worklist_store.outbox_age_s(self._database)

    async def tasks(self, referrals: Sequence[Referral]) -> list[tuple[str, bytes]]:
        """The id and the FHIR JSON of each referral's current Task."""
        tasks = await worklist_store.tasks(self._database, referrals)
        return [(referral.task_id, tasks[referral.task_id]) for referral in referrals if referral.task_id in tasks]

    async def _accessible(
        self, caller: Caller, teams: Collection[Team], roles: Sequence[Role] | None = None
    ) -> list[Team]:
        if roles is None:
            roles = await directory_store.roles_of_user(self._database, caller.subject)
        now = self._now()
        return [
            team
            for team in teams
            if not refusal_reason(caller, Party(team.organisation, team.team_id), team, roles, now)
        ]


async def _page_rows(
    queries: Queries, query: ListQuery, sort: Sort, cursor: WorklistCursor, snapshot: str, page_size: int
) -> tuple[list[ListedReferral], WorklistCursor | None]:
    """The rows of a page, and the cursor of the next one: in this round, or in the round of the rows changed since."""
    listed = await worklist_store.list_page(queries, query, sort, cursor, page_size + 1)
    if len(listed) > page_size:
        last = listed[page_size - 1]
        return listed[:page_size], WorklistCursor(cursor.at, cursor.since, cursor.until, last.sort_key)
    if cursor.until == snapshot or not await worklist_store.has_changes_since(queries, query, cursor.until):
        return listed, None
    next_round = WorklistCursor(cursor.at, cursor.until, snapshot, None)
    return (listed, next_round) if listed else await _page_rows(queries, query, sort, next_round, snapshot, page_size)


def _not_found() -> NotFound:
    return NotFound("There is no worklist here that you may read.")

"""`GET /worklists/breaches`: overdue referrals, the longest overdue first, until a party acts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import orjson
from starlette.requests import Request
from starlette.responses import Response

from onestory.referral.audit import ReferralAudit
from onestory.referral.clocks import store as clocks_store
from onestory.referral.clocks.store import BreachQuery
from onestory.referral.directory import store as directory_store
from onestory.referral.lifecycle.model import Referral
from onestory.referral.worklist import query as worklist_query
from onestory.referral.worklist.domain import WorklistScope, names_needed, row_to_json
from onestory.referral.worklist.query import read_code_or_id, read_instant
from onestory.referral.worklist.service import Worklists
from onestory.shared.fhir.dates import format_instant
from onestory.shared.http.cursor import TimeCursor, parse_time_cursor
from onestory.shared.policy import Caller
from onestory.shared.postgres.database import Database


@dataclass(frozen=True, slots=True)
class BreachPage:
    """A page of breaches. `total` and `escalated` count all pages; `next` is the cursor of the next page."""

    at: datetime
    referrals: Sequence[Referral]
    total: int
    escalated: int
    next: TimeCursor | None


class BreachList:
    """Reads the breach list. It checks the caller's roles for every page, because roles end."""

    def __init__(self, database: Database, lists: Worklists, now: Callable[[], datetime] | None = None) -> None:
        self._database = database
        self._lists = lists
        self._now = now or (lambda: datetime.now(UTC))

    async def scope(self, caller: Caller, team: str) -> WorklistScope:
        """The scope of one team; without a team, what the caller's organisation sent, and all teams that it may read.

        Raises `NotFound` and `Forbidden` for a team.
        """
        if team:
            return await self._lists.team_scope(caller, team)
        teams = await self._lists.readable_teams(caller)
        return WorklistScope(teams=tuple(team.team_id for team in teams), requester=caller.organisation)

    async def page(
        self, scope: WorklistScope, organisation: str, since: datetime, after: TimeCursor | None, limit: int
    ) -> BreachPage:
        """A page, and the counts at the same moment. Later pages have only breaches from before the first page."""
        now = after.at if after else self._now()
        query = BreachQuery(scope.requester, scope.teams, organisation, since, now)
        async with self._database.snapshot() as queries:
            matches = await clocks_store.page(queries, query, after, limit + 1)
            total, escalated = await clocks_store.count(queries, query)
        referrals = matches[:limit]
        last = referrals[-1] if len(matches) > limit else None
        next_cursor = TimeCursor(now, last.due_at, last.referral_id) if last and last.due_at else None
        return BreachPage(now, referrals, total, escalated, next_cursor)

    async def rows(self, page: BreachPage, scope: WorklistScope) -> list[dict[str, Any]]:
        """The breaches of a page as rows of a worklist, in JSON, with names from the directory."""
        names = await directory_store.directory_names(self._database, *names_needed(page.referrals))
        return [row_to_json(referral, names, _reader_scope(referral, scope), page.at) for referral in page.referrals]


def _reader_scope(referral: Referral, scope: WorklistScope) -> WorklistScope:
    """The part of the scope in which the reader sees this referral: the teams, if one of them is a party."""
    parties = (referral.recipient, referral.holder, referral.next_actor)
    if any(party and party.team and party.team in scope.teams for party in parties):
        return WorklistScope(teams=scope.teams, claimer=scope.claimer)
    return WorklistScope(requester=scope.requester, claimer=scope.claimer)


PATH = "/worklists/breaches"
PARAMETERS = ("team", "organisation", "since", "count", "cursor")


class ReadBreaches:
    """Answers a page as JSON. An access event of each person on it is recorded first."""

    def __init__(self, breaches: BreachList, audit: ReferralAudit, base_url: str) -> None:
        self._breaches = breaches
        self._audit = audit
        self._base_url = base_url

    async def __call__(self, request: Request, caller: Caller) -> Response:
        parameters = worklist_query.read_parameters(request, PARAMETERS)
        cursor, limit = parameters.pop("cursor", ""), worklist_query.read_page_size(parameters, "count")
        scope = await self._breaches.scope(caller, read_code_or_id(parameters, "team"))
        organisation = read_code_or_id(parameters, "organisation").upper()
        after = parse_time_cursor(cursor) if cursor else None
        page = await self._breaches.page(scope, organisation, read_instant(parameters, "since"), after, limit)
        ids = [referral.referral_id for referral in page.referrals]
        await self._audit.record_read(caller, ids, "worklist", "Task", request.state.correlation_id)
        query = page.next and urlencode({**parameters, "cursor": page.next.encode()})
        answer = {
            "at": format_instant(page.at),
            "counts": {"total": page.total, "escalated": page.escalated},
            "rows": await self._breaches.rows(page, scope),
            "next": f"{self._base_url}{PATH}?{query}" if query else None,
        }
        return Response(orjson.dumps(answer), media_type="application/json")

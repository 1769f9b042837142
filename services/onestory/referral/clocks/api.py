"""`GET /worklists/breaches`: what is late, the longest late first, until somebody acts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import orjson
from starlette.requests import Request
from starlette.responses import Response

from onestory.referral.audit import Trace
from onestory.referral.clocks import store as clocks_store
from onestory.referral.clocks.store import BreachQuery
from onestory.referral.directory import store as directory_store
from onestory.referral.lifecycle.model import Referral
from onestory.referral.worklist import query as worklist_query
from onestory.referral.worklist.domain import Whose, row, to_name
from onestory.referral.worklist.query import moment, name
from onestory.referral.worklist.service import Worklists
from onestory.shared.fhir.dates import format_instant
from onestory.shared.http.caller import Caller
from onestory.shared.http.cursor import TimeCursor, from_text, to_text
from onestory.shared.postgres.database import Database

# The breach list: what is late, for whoever takes part in it.


@dataclass(frozen=True, slots=True)
class BreachPage:
    """Some of what is late, how many there are in all, how many of them were escalated, and where the next begins."""

    at: datetime
    referrals: Sequence[Referral]
    total: int
    escalated: int
    next: TimeCursor | None


class Breaches:
    """Reads the list. For whom the caller may read is asked anew each time: roles end."""

    def __init__(self, database: Database, lists: Worklists, now: Callable[[], datetime] | None = None) -> None:
        self._database = database
        self._lists = lists
        self._now = now or (lambda: datetime.now(UTC))

    async def whose(self, caller: Caller, team: str) -> Whose:
        """One team's, or else what one's organisation has sent and all teams whose lists the caller may read.

        Raises `NotFound` and `Forbidden` for a team.
        """
        if team:
            return await self._lists.team(caller, team)
        teams = await self._lists.teams(caller)
        return Whose(teams=tuple(each.team_id for each in teams), requester=caller.organisation)

    async def page(
        self, whose: Whose, organisation: str, since: datetime, after: TimeCursor | None, most: int
    ) -> BreachPage:
        """A page, and counts of the same moment. What is late since the first page is not on the later ones."""
        now = after.at if after else self._now()
        question = BreachQuery(whose.requester, whose.teams, organisation, since, now)
        async with self._database.snapshot() as queries:
            found = await clocks_store.page(queries, question, after, most + 1)
            total, escalated = await clocks_store.count(queries, question)
        shown = found[:most]
        last = shown[-1] if len(found) > most else None
        following = TimeCursor(now, last.due_at, last.referral_id) if last and last.due_at else None
        return BreachPage(now, shown, total, escalated, following)

    async def written(self, page: BreachPage, whose: Whose) -> list[dict[str, Any]]:
        """Rows of a worklist, as JSON, with the names that the directory has."""
        names = await directory_store.names(self._database, *to_name(page.referrals))
        return [row(each, names, _side(each, whose), page.at) for each in page.referrals]


def _side(referral: Referral, whose: Whose) -> Whose:
    """On which side the reader stands: with the teams, where one of them takes part."""
    parties = (referral.recipient, referral.holder, referral.next_actor)
    if any(party and party.team and party.team in whose.teams for party in parties):
        return Whose(teams=whose.teams, claimer=whose.claimer)
    return Whose(requester=whose.requester, claimer=whose.claimer)


PATH = "/worklists/breaches"
PARAMETERS = ("team", "organisation", "since", "count", "cursor")


class ReadBreaches:
    """Answers a page as JSON. Everybody on it leaves a trace before it is shown."""

    def __init__(self, breaches: Breaches, trace: Trace, base_url: str) -> None:
        self._breaches = breaches
        self._trace = trace
        self._base_url = base_url

    async def __call__(self, request: Request, caller: Caller) -> Response:
        said = worklist_query.said(request, PARAMETERS)
        cursor, most = said.pop("cursor", ""), worklist_query.count(said, "count")
        whose = await self._breaches.whose(caller, name(said, "team"))
        organisation = name(said, "organisation").upper()
        after = from_text(cursor) if cursor else None
        page = await self._breaches.page(whose, organisation, moment(said, "since"), after, most)
        shown = [each.referral_id for each in page.referrals]
        await self._trace.read(caller, shown, "worklist", "Task", request.state.correlation_id)
        query = page.next and urlencode({**said, "cursor": to_text(page.next)})
        answer = {
            "at": format_instant(page.at),
            "counts": {"total": page.total, "escalated": page.escalated},
            "rows": await self._breaches.written(page, whose),
            "next": f"{self._base_url}{PATH}?{query}" if query else None,
        }
        return Response(orjson.dumps(answer), media_type="application/json")

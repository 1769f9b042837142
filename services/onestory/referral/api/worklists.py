"""`GET /worklists/...`: what is open for a team, of an organisation, or for oneself across teams."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any
from urllib.parse import urlencode

import orjson
from starlette.requests import Request
from starlette.responses import Response

from onestory.referral.api import worklist_asking
from onestory.referral.api.worklist_asking import Asked
from onestory.referral.domain.clocks import PRIORITIES
from onestory.referral.domain.worklist import OPEN, Cursor, Whose
from onestory.referral.store.worklists import Count
from onestory.referral.trace import Trace
from onestory.referral.worklists import Page, Worklists
from onestory.shared.caller import Caller
from onestory.shared.fhir.instants import format_instant

INTERACTION = "worklist"
Finding = Callable[[Request, Caller], Awaitable[Whose]]
"""Whose list is asked for. Raises `NotFound` and `Forbidden`."""


def findings(lists: Worklists) -> dict[str, Finding]:
    """Addresses of lists, and whose they are."""

    async def team(request: Request, caller: Caller) -> Whose:
        return await lists.team(caller, request.path_params["team"])

    async def organisation(request: Request, caller: Caller) -> Whose:
        return await lists.organisation(caller, request.path_params["ods"])

    async def mine(_request: Request, caller: Caller) -> Whose:
        return await lists.mine(caller)

    return {"/worklists/teams/{team}": team, "/worklists/organisations/{ods}": organisation, "/worklists/mine": mine}


class ReadList:
    """Answers a page of a list as JSON. Everybody on it leaves a trace before it is shown."""

    def __init__(self, finding: Finding, lists: Worklists, trace: Trace, base_url: str) -> None:
        self._finding = finding
        self._lists = lists
        self._trace = trace
        self._base_url = base_url

    async def __call__(self, request: Request, caller: Caller) -> Response:
        asked = worklist_asking.asked(request)
        whose = await self._finding(request, caller)
        page = await self._lists.page(whose, asked.filters, asked.sort, asked.most, asked.after)
        shown = [each.referral_id for each in page.referrals]
        _, rows = await asyncio.gather(
            self._trace.read(caller, shown, INTERACTION, "Task", request.state.correlation_id),
            self._lists.written(page.referrals, whose),
        )
        following = self._next(request, asked, page.next) if page.next else None
        return _json({"at": format_instant(page.at), "counts": _counts(page), "rows": rows, "next": following})

    def _next(self, request: Request, asked: Asked, following: Cursor) -> str:
        path = request.url.path
        query = urlencode({**asked.said, "cursor": asked.cursor(path, following)}, safe=",")
        return f"{self._base_url}{path}?{query}"


class ListTeams:
    """`GET /worklists/teams`: whose lists the caller may read. `name` is a part of what a team is called, or an id."""

    def __init__(self, lists: Worklists) -> None:
        self._lists = lists

    async def __call__(self, request: Request, caller: Caller) -> Response:
        wanted = worklist_asking.said(request, ("name",)).get("name", "").casefold()
        teams = [
            {
                "team": each.team_id,
                "name": each.name,
                "organisation": each.organisation,
                "dosServiceId": each.dos_service_id,
                "active": each.active,
            }
            for each in await self._lists.teams(caller)
            if wanted in each.name.casefold() or wanted in (each.team_id, each.dos_service_id)
        ]
        return _json({"teams": teams})


def _counts(page: Page) -> dict[str, Any]:
    return {
        "total": page.total,
        "breached": sum(each.breached for each in page.counts),
        "unclaimed": sum(each.unclaimed for each in page.counts),
        "byStatus": _by(map(str, OPEN), ((each.status, each) for each in page.counts)),
        "byPriority": _by(reversed(PRIORITIES), ((each.priority, each) for each in page.counts)),
    }


def _by(names: Iterable[str], counts: Iterable[tuple[str, Count]]) -> dict[str, int]:
    found = dict.fromkeys(names, 0)
    for name, count in counts:
        found[name] += count.number
    return {name: number for name, number in found.items() if number}


def _json(said: Any) -> Response:
    return Response(orjson.dumps(said), media_type="application/json")

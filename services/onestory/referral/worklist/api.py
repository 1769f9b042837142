"""`GET /worklists/...`: what is open for a team, of an organisation, or for oneself across teams."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlencode

import orjson
from starlette.requests import Request
from starlette.responses import Response

from onestory.referral.audit import Trace
from onestory.referral.clocks.domain import PRIORITIES
from onestory.referral.worklist import query
from onestory.referral.worklist import query as worklist_query
from onestory.referral.worklist.domain import ACTING, OPEN, Cursor, Filters, Sort, Whose, from_text, to_text
from onestory.referral.worklist.feed import Feed, Listener, Touch
from onestory.referral.worklist.query import WorklistQuery
from onestory.referral.worklist.service import WorklistPage, Worklists
from onestory.referral.worklist.store import StatusCount
from onestory.shared.errors import Forbidden, Malformed, NotFound, Unavailable
from onestory.shared.fhir.dates import format_instant
from onestory.shared.http.app import Declined
from onestory.shared.http.caller import Caller
from onestory.shared.http.openapi import FHIR_JSON
from onestory.shared.http.sse import EventStream, event, heartbeat
from onestory.shared.identity import is_ods_code_system

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
        asked = worklist_query.asked(request)
        whose = await self._finding(request, caller)
        page = await self._lists.page(whose, asked.filters, asked.sort, asked.most, asked.after)
        shown = [each.referral_id for each in page.referrals]
        _, rows = await asyncio.gather(
            self._trace.read(caller, shown, INTERACTION, "Task", request.state.correlation_id),
            self._lists.written(page.referrals, whose),
        )
        following = self._next(request, asked, page.next) if page.next else None
        return _json({"at": format_instant(page.at), "counts": _counts(page), "rows": rows, "next": following})

    def _next(self, request: Request, asked: WorklistQuery, following: Cursor) -> str:
        path = request.url.path
        query = urlencode({**asked.said, "cursor": asked.cursor(path, following)}, safe=",")
        return f"{self._base_url}{path}?{query}"


class ListTeams:
    """`GET /worklists/teams`: whose lists the caller may read. `name` is a part of what a team is called, or an id."""

    def __init__(self, lists: Worklists) -> None:
        self._lists = lists

    async def __call__(self, request: Request, caller: Caller) -> Response:
        wanted = worklist_query.said(request, ("name",)).get("name", "").casefold()
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


def _counts(page: WorklistPage) -> dict[str, Any]:
    return {
        "total": page.total,
        "breached": sum(each.breached for each in page.counts),
        "unclaimed": sum(each.unclaimed for each in page.counts),
        "byStatus": _by(map(str, OPEN), ((each.status, each) for each in page.counts)),
        "byPriority": _by(reversed(PRIORITIES), ((each.priority, each) for each in page.counts)),
    }


def _by(names: Iterable[str], counts: Iterable[tuple[str, StatusCount]]) -> dict[str, int]:
    found = dict.fromkeys(names, 0)
    for name, count in counts:
        found[name] += count.number
    return {name: number for name, number in found.items() if number}


def _json(said: Any) -> Response:
    return Response(orjson.dumps(said), media_type="application/json")


# `GET /fhir/Task?owner=HealthcareService/<id>`: a team's open Tasks (http://hl7.org/fhir/R4/http.html#search).
#
# A search without `owner`, or for one person, is the record's to answer.

OWNER, OWNED_BY = "owner", "owner:identifier"
SORTS = {"-priority": Sort.URGENCY, "authored-on": Sort.SENT, "-modified": Sort.CHANGED, "-_lastUpdated": Sort.CHANGED}
_KNOWN = (OWNER, OWNED_BY, "status", "priority", "_sort", "_count", "_cursor")
_OF_ONE_PERSON = {"patient", "subject", "_id", "identifier", "encounter", "focus", "based-on"}


class SearchTasks:
    """Answers a searchset of Tasks as they are at this moment."""

    def __init__(self, lists: Worklists, trace: Trace, base_url: str) -> None:
        self._lists = lists
        self._trace = trace
        self._base_url = base_url

    async def __call__(self, request: Request, caller: Caller) -> Response:
        names = {name.partition(":")[0].partition(".")[0] for name in request.query_params}
        if OWNER not in names or names & _OF_ONE_PERSON:
            raise Declined
        said = query.said(request, _KNOWN)
        cursor = said.pop("_cursor", "")
        filters = Filters(
            status=query.some(said, "status", ACTING),
            priority=query.some(said, "priority", PRIORITIES),
        )
        sort, most = _sort(said), query.count(said, "_count")
        after = from_text(cursor, said, sort) if cursor else None
        page = await self._lists.page(await self._whose(said, caller), filters, sort, most, after)
        shown = [each.referral_id for each in page.referrals]
        await self._trace.read(caller, shown, INTERACTION, "Task", request.state.correlation_id)
        following = self._url({**said, "_cursor": to_text(page.next, said)}) if page.next else ""
        tasks = await self._lists.tasks(page.referrals)
        here = self._url({**said, **({"_cursor": cursor} if cursor else {})})
        return Response(self._searchset(page.total, here, following, tasks), media_type=FHIR_JSON)

    async def _whose(self, said: Mapping[str, str], caller: Caller) -> Whose:
        if OWNER in said and OWNED_BY in said:
            raise Malformed(f"Ask by {OWNER} or by {OWNED_BY}, not by both.", code="invariant")
        if OWNED_BY in said:
            system, _, ods = said[OWNED_BY].rpartition("|")
            if not is_ods_code_system(system) or not ods:
                raise Malformed(f"{OWNED_BY} is the system of ODS codes, | and a code.", code="value")
            return await self._lists.owned_by(caller, ods)
        kind, _, team_id = said[OWNER].rpartition("/")
        if kind not in ("", "HealthcareService", f"{self._base_url}/HealthcareService") or not team_id:
            raise Malformed(f"{OWNER} is HealthcareService/<id in the directory>.", code="value")
        whose = await self._lists.team(caller, team_id)
        return Whose(teams=whose.teams, claimer=whose.claimer, received_only=True)

    def _url(self, said: Mapping[str, str]) -> str:
        return f"{self._base_url}/Task?{urlencode(said, safe=',|/:')}"

    def _searchset(self, total: int, here: str, following: str, tasks: Iterable[tuple[str, bytes]]) -> bytes:
        links = [{"relation": "self", "url": here}, *([{"relation": "next", "url": following}] if following else [])]
        entries = b",".join(
            b'{"fullUrl":"%s/Task/%s","resource":%s,"search":{"mode":"match"}}'
            % (self._base_url.encode(), task_id.encode(), content)
            for task_id, content in tasks
        )
        head = orjson.dumps({"resourceType": "Bundle", "type": "searchset", "total": total, "link": links})
        return head if not entries else head[:-1] + b',"entry":[' + entries + b"]}"


def _sort(said: Mapping[str, str]) -> Sort:
    wanted = said.get("_sort", "-priority")
    if wanted not in SORTS:
        raise Malformed(f"_sort is {' or '.join(SORTS)}.", code="value")
    return SORTS[wanted]


# `GET /worklists/.../events`: changes of a list as they come, as Server-Sent Events.
#
# `open` says from where on. `changed` has the row as it is now; `gone` why it left. `reset`: read the list anew.
# `late`: changes cannot be told at present, for so many seconds; 0 once they can. `closed` ends it, because the token
# or
# the right to read has ended.

_HEARTBEAT_S = 15.0
_LATE_S = 10.0


@dataclass(frozen=True, slots=True)
class _Following:
    """Who follows what."""

    request: Request
    caller: Caller
    filters: Filters
    listener: Listener


class FollowList:
    """Streams one list. Whether it may be read is asked before each event, and at each heartbeat."""

    def __init__(self, finding: Finding, lists: Worklists, trace: Trace, feed: Feed) -> None:
        self._finding = finding
        self._lists = lists
        self._trace = trace
        self._feed = feed

    async def __call__(self, request: Request, caller: Caller) -> Response:
        filters = query.filters(request)
        whose = await self._finding(request, caller)
        listener = self._feed.listen(whose, caller, request.headers.get("Last-Event-ID", ""))
        following = _Following(request, caller, filters, listener)
        return EventStream(self._events(following), partial(self._feed.leave, listener))

    async def _events(self, following: _Following) -> AsyncGenerator[bytes]:
        listener, expires_at, was_late = following.listener, following.caller.expires_at, False
        yield event("open", {}, listener.position)
        # Where it can be neither checked nor audited it ends: whoever comes back goes on from the last id.
        with suppress(Unavailable):
            while not self._feed.stopping:
                (changes, lost), position, before = listener.take(), self._feed.position, listener.whose
                if because := await self._over(following):
                    yield event("closed", because, listener.position)
                    return
                if lost or listener.whose.teams != before.teams:
                    yield event("reset", {}, listener.position)
                async for each in self._told(following, changes, before):
                    yield each
                is_late = (seconds := max(await self._lists.lateness(), self._feed.silent_s)) >= _LATE_S
                if is_late or was_late:
                    yield event("late", {"seconds": int(seconds) if is_late else 0}, listener.position)
                listener.position, was_late = position, is_late
                yield heartbeat(position)
                await listener.wait(min(_HEARTBEAT_S, expires_at - time.time()))

    async def _over(self, following: _Following) -> Mapping[str, str] | None:
        """Why the caller may not follow the list any longer, if so; else whose it is now is known."""
        if time.time() >= following.caller.expires_at:
            return {"reason": "token-expired", "diagnostics": "The token has expired: come back with a new one."}
        try:
            following.listener.whose = await self._finding(following.request, following.caller)
        except (Forbidden, NotFound) as error:
            return {"reason": "not-permitted", "diagnostics": error.issues[0].diagnostics}
        return None

    async def _told(self, following: _Following, changes: Collection[Touch], before: Whose) -> AsyncGenerator[bytes]:
        """Rows as they are now, then what is not on the list; once the persons of both have their trace."""
        if not changes:
            return
        listener, ids = following.listener, {each.referral_id for each in changes}
        rows = await self._lists.rows(listener.whose, following.filters, ids)
        shown = {each.referral_id for each in rows}
        # Of what never was on the list nothing is told.
        theirs = {each.referral_id for each in changes if each.concerns(before) or each.concerns(listener.whose)}
        gone = await self._lists.gone(listener.whose, following.filters, theirs - shown)
        correlation_id = following.request.state.correlation_id
        await self._trace.read(following.caller, shown | gone.keys(), INTERACTION, "Task", correlation_id)
        for row in await self._lists.written(rows, listener.whose):
            yield event("changed", row, listener.position)
        for referral_id, reason in gone.items():
            yield event("gone", {"referral": referral_id, "reason": reason}, listener.position)
